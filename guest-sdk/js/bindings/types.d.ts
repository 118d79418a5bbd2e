declare module 'weir:policy/types' {
  /**
   * What the caller asked for, whatever dialect it asked in.
   * # Variants
   * 
   * ## `"chat"`
   * 
   * A conversation: chat completions, responses, messages, generate-content.
   * ## `"completion"`
   * 
   * Text in, text out, without roles.
   * ## `"embedding"`
   * 
   * Vectors for texts.
   * ## `"image"`
   * 
   * Pictures made or edited.
   * ## `"speech"`
   * 
   * Speech from text.
   * ## `"transcription"`
   * 
   * Text from speech, translated or not.
   * ## `"moderation"`
   * 
   * A judgement of content.
   * ## `"rerank"`
   * 
   * Documents ordered by relevance.
   * ## `"video"`
   * 
   * Video made or edited.
   * ## `"realtime"`
   * 
   * A two-way session over a WebSocket.
   * ## `"file"`
   * 
   * A file kept at the provider.
   * ## `"batch"`
   * 
   * Many calls handed in at once, answered later.
   * ## `"models"`
   * 
   * The list of models, or one of them.
   * ## `"count-tokens"`
   * 
   * How many tokens a prompt would take.
   * ## `"tool-call"`
   * 
   * A tool called through the gateway.
   * ## `"other"`
   * 
   * Anything else that the provider's API offers.
   */
  export type Operation = 'chat' | 'completion' | 'embedding' | 'image' | 'speech' | 'transcription' | 'moderation' | 'rerank' | 'video' | 'realtime' | 'file' | 'batch' | 'models' | 'count-tokens' | 'tool-call' | 'other';
  /**
   * The facts that most policies need, handed to every hook. All else is behind `call`. One string
   * only: each costs every hook of every call an allocation in the guest.
   */
  export interface Summary {
    /**
     * The kind of call.
     */
    operation: Operation,
    /**
     * As the caller asked, or as `rewrite` left it; empty where the operation has no model.
     */
    model: string,
    /**
     * True where the caller wants the reply as a stream of events.
     */
    streaming: boolean,
    /**
     * The host's estimate, from its tokenizer.
     */
    inputTokens: number,
    /**
     * What the call asks for at most, 0 where it sets no bound.
     */
    maxOutputTokens: number,
  }
  /**
   * One prompt message in the dialect-neutral view.
   */
  export interface Message {
    /**
     * "system", "user", "assistant" or "tool"; other words as the dialect has them.
     */
    role: string,
    /**
     * The text parts, joined by newlines; images, audio and files are left out.
     */
    text: string,
  }
  /**
   * Tokens and money of one call. Counts that the provider did not report are zero.
   */
  export interface Usage {
    /**
     * All tokens of the prompt, cached ones included.
     */
    inputTokens: number,
    /**
     * All tokens that were generated, reasoning included.
     */
    outputTokens: number,
    /**
     * The part of the input that was read from the provider's prompt cache.
     */
    cachedTokens: number,
    /**
     * The part of the input that was written to the provider's prompt cache.
     */
    cacheWriteTokens: number,
    /**
     * The part of the output that was reasoning.
     */
    reasoningTokens: number,
    /**
     * Millionths of the ledger's currency unit.
     */
    costMicros: number,
    /**
     * True where the host had to estimate because the provider reported nothing.
     */
    estimated: boolean,
  }
  /**
   * A refusal, rendered by the host in the caller's dialect.
   */
  export interface Denial {
    /**
     * 400 to 599.
     */
    status: number,
    /**
     * Machine-readable, snake_case.
     */
    code: string,
    /**
     * One sentence for the caller that says what to do about it.
     */
    message: string,
    /**
     * Milliseconds after which the same call may succeed, where waiting helps.
     */
    retryAfterMs?: number,
  }
  /**
   * A whole reply, a provider's or a policy's own.
   */
  export interface Response {
    /**
     * The HTTP status, 200 to 599.
     */
    status: number,
    /**
     * Names in lower case, in order, repeated where the header repeats.
     */
    headers: Array<[string, string]>,
    /**
     * The bytes of the body, without any transfer or content encoding.
     */
    body: Uint8Array,
  }
}
