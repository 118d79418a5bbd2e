/// <reference path="./types.d.ts" />
declare module 'weir:policy/rewrite' {
  /**
   * Ok keeps the edits that were made; a denial ends the call.
   */
  export function rewrite(call: Summary): void;
  export type Summary = import('weir:policy/types').Summary;
  export type Denial = import('weir:policy/types').Denial;
}
