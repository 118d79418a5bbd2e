/// <reference path="./types.d.ts" />
declare module 'weir:policy/answer' {
  /**
   * `none` lets the call go on; a response ends it, and no provider is called.
   */
  export function answer(call: Summary): Response | undefined;
  export type Summary = import('weir:policy/types').Summary;
  export type Response = import('weir:policy/types').Response;
  export type Denial = import('weir:policy/types').Denial;
}
