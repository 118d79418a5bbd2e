/// <reference path="./types.d.ts" />
declare module 'weir:policy/audit' {
  /**
   * The call is over and settled; nothing here can change it.
   */
  export function finished(outcome: Outcome): void;
  export type Summary = import('weir:policy/types').Summary;
  export type Usage = import('weir:policy/types').Usage;
  /**
   * How a call ended.
   */
  export interface Outcome {
    /**
     * The call, as the last hook saw it.
     */
    call: Summary,
    /**
     * The channel that answered, if one did.
     */
    channel?: string,
    /**
     * The HTTP status that the caller got.
     */
    status: number,
    /**
     * The code of the denial that ended the call, if one did.
     */
    denied?: string,
    /**
     * How many attempts were made.
     */
    attempts: number,
    /**
     * From the request's arrival to the first byte of the reply, milliseconds.
     */
    firstByteMs: number,
    /**
     * From the request's arrival to the last byte of the reply, milliseconds.
     */
    totalMs: number,
    /**
     * What the call used.
     */
    usage: Usage,
  }
}
