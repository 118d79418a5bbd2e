/// <reference path="./types.d.ts" />
declare module 'weir:policy/access' {
  /**
   * Ok lets the call go on to the next policy; a denial ends it.
   */
  export function authorize(call: Summary): void;
  export type Summary = import('weir:policy/types').Summary;
  export type Denial = import('weir:policy/types').Denial;
}
