/// <reference path="./types.d.ts" />
declare module 'weir:policy/route' {
  /**
   * The attempts in the order in which they are made; candidates left out are not tried.
   */
  export function route(call: Summary, candidates: Array<Candidate>): Array<Attempt>;
  export type Summary = import('weir:policy/types').Summary;
  export type Denial = import('weir:policy/types').Denial;
  /**
   * A channel that could serve this call, with what the host has measured of it. Numbers of four
   * bytes only, so that a guest takes fifty of them as they lie in its memory; names and labels are
   * behind `channels`.
   */
  export interface Candidate {
    /**
     * The channel's number: the same for as long as the gateway runs and the channel's settings
     * (its keys aside) do not change, and never another channel's. So what a policy finds out
     * about it may be remembered.
     */
    channel: number,
    /**
     * As configured; higher is preferred.
     */
    priority: number,
    /**
     * As configured; the share among channels of the same priority.
     */
    weight: number,
    /**
     * Failures over calls in the sliding window, 0 to 1; 0 below the minimum sample.
     */
    errorRate: number,
    /**
     * Calls in that window.
     */
    samples: number,
    /**
     * Time to the first byte, exponentially weighted mean, milliseconds; 0 where not measured.
     */
    firstByteMs: number,
    /**
     * Time to the last byte of replies that came whole, exponentially weighted mean, milliseconds;
     * 0 where not measured.
     */
    totalMs: number,
    /**
     * Output tokens per second after the first byte of streamed replies, exponentially weighted
     * mean; 0 where not measured.
     */
    tokensPerSecond: number,
    /**
     * Calls under way on the channel now.
     */
    inFlight: number,
    /**
     * Keys of the channel that are neither cooling down nor disabled.
     */
    usableKeys: number,
    /**
     * The share of the keys' known rate limits that is still free, 0 to 1; 1 where no limit is known.
     */
    headroom: number,
    /**
     * For how many more milliseconds the host's circuit breaker keeps the channel out; 0 where it
     * does not.
     */
    trippedMs: number,
    /**
     * Per million input tokens in millionths of the currency unit; negative where not known.
     */
    inputPrice: number,
    /**
     * Per million output tokens in millionths of the currency unit; negative where not known.
     */
    outputPrice: number,
  }
  /**
   * One try at one channel.
   */
  export interface Attempt {
    /**
     * The number of one of the candidates.
     */
    channel: number,
    /**
     * Time allowed to the first byte; the host's own setting where none.
     */
    firstByteTimeoutMs?: number,
    /**
     * Start the next attempt beside this one when no byte has come by then.
     */
    hedgeAfterMs?: number,
  }
}
