/// <reference path="./types.d.ts" />
declare module 'weir:policy/reply' {
  /**
   * `none` leaves the reply as it is; a denial replaces it by a refusal.
   */
  export function reply(call: Summary, response: Response): Response | undefined;
  export type Summary = import('weir:policy/types').Summary;
  export type Response = import('weir:policy/types').Response;
  export type Denial = import('weir:policy/types').Denial;
}
