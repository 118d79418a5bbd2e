/// <reference path="./types.d.ts" />
declare module 'weir:policy/models' {
  /**
   * Asks a model that was granted; the hook waits for the whole answer.
   */
  export function complete(model: string, messages: Array<Message>, maxOutputTokens: number): Completion;
  /**
   * How many tokens the text is for that model, by the host's tokenizer.
   */
  export function countTokens(model: string, text: string): number;
  export type Message = import('weir:policy/types').Message;
  export type Usage = import('weir:policy/types').Usage;
  /**
   * A model's answer.
   */
  export interface Completion {
    /**
     * The text of the answer.
     */
    text: string,
    /**
     * What it used.
     */
    usage: Usage,
  }
}
