/// <reference path="./types.d.ts" />
declare module 'weir:policy/http' {
  /**
   * Sends it and waits for the whole response. Redirects are not followed.
   */
  export function send(request: Request): Response;
  export type Response = import('weir:policy/types').Response;
  /**
   * One request.
   */
  export interface Request {
    /**
     * For example "GET".
     */
    method: string,
    /**
     * Absolute, http or https.
     */
    url: string,
    /**
     * In order; `host` and hop-by-hop headers are the gateway's.
     */
    headers: Array<[string, string]>,
    /**
     * The bytes of the body, empty for none.
     */
    body: Uint8Array,
    /**
     * The time allowed for the whole exchange, bounded by what is left of the hook's own.
     */
    timeoutMs: number,
  }
}
