declare module 'weir:policy/edit' {
  /**
   * Asks for another model, wherever the dialect keeps its name.
   */
  export function setModel(model: string): void;
  /**
   * Sets a header, replacing all of that name. Credentials and hop-by-hop headers are refused.
   */
  export function setHeader(name: string, value: string): void;
  /**
   * Removes all headers of that name; no error where there is none.
   */
  export function removeHeader(name: string): void;
  /**
   * Sets the value at an RFC 6901 pointer to this JSON text, making the last step where it
   * is missing.
   */
  export function setJson(pointer: string, json: string): void;
  /**
   * Removes the value at an RFC 6901 pointer; no error where there is none.
   */
  export function removeJson(pointer: string): void;
  /**
   * Puts a system instruction ahead of the prompt, in whatever dialect it is.
   */
  export function prependSystem(text: string): void;
  /**
   * Replaces the text of the message at this index of `call.messages`.
   */
  export function setMessageText(index: number, text: string): void;
  /**
   * Replaces the whole body.
   */
  export function replaceBody(body: Uint8Array): void;
}
