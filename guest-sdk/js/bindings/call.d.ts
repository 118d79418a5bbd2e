/// <reference path="./types.d.ts" />
declare module 'weir:policy/call' {
  /**
   * The request id that the caller sees in `x-request-id`.
   */
  export function id(): string;
  /**
   * For example "openai.chat", "openai.responses", "anthropic.messages", "gemini.generate".
   */
  export function dialect(): string;
  /**
   * The HTTP method, in upper case.
   */
  export function method(): string;
  /**
   * The path as the caller asked for it, without the query.
   */
  export function path(): string;
  /**
   * The parameters of the query, decoded and in order, repeated where the query repeats one; a
   * name without a value has an empty one. Never a credential. Since 0.2.
   */
  export function query(): Array<[string, string]>;
  /**
   * The name of the tenant that the virtual key belongs to.
   */
  export function tenant(): string;
  /**
   * The public id of the virtual key, never its secret.
   */
  export function key(): string;
  /**
   * The caller's address, as text; taken from a forwarding header only where the proxy is trusted.
   */
  export function clientIp(): string;
  /**
   * The answer that the running hook is about to give holds for that many milliseconds for every
   * call of this key, from this address, in this dialect, with this operation, model and streaming:
   * the host may use it again without asking. For `authorize` where it allows, and for the rules of
   * `limits`; anywhere else it does nothing. A minute at most, or what the
   * gateway's settings say, and never longer than the policy's version and the gateway's
   * configuration stay as they are. Not for an answer that depends on
   * anything else: headers, the body, tokens, the time, the store.
   */
  export function remember(forMs: number): void;
  /**
   * A label of the key, else of its tenant.
   */
  export function label(name: string): string | undefined;
  /**
   * The first header of that name, in any case. Never a credential: those are gone before
   * the first hook.
   */
  export function header(name: string): string | undefined;
  /**
   * All headers in order, names in lower case, without credentials.
   */
  export function headers(): Array<[string, string]>;
  /**
   * The JSON text at an RFC 6901 pointer into the body; none where there is nothing or the
   * body is not JSON.
   */
  export function json(pointer: string): string | undefined;
  /**
   * The prompt in the dialect-neutral view, system instructions first; empty where the
   * operation has no prompt.
   */
  export function messages(): Array<Message>;
  /**
   * The bytes of the request's body.
   */
  export function body(): Uint8Array;
  export type Message = import('weir:policy/types').Message;
}
