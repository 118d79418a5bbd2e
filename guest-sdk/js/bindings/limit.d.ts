/// <reference path="./types.d.ts" />
declare module 'weir:policy/limit' {
  /**
   * The limits of this call; an empty list for none. A denial ends the call.
   */
  export function limits(call: Summary): Array<Rule>;
  export type Summary = import('weir:policy/types').Summary;
  export type Denial = import('weir:policy/types').Denial;
  /**
   * What a limit counts.
   * # Variants
   * 
   * ## `"requests"`
   * 
   * Calls, one each.
   * ## `"input-tokens"`
   * 
   * Tokens of the prompt: the estimate first, what the provider counted at the end.
   * ## `"output-tokens"`
   * 
   * Tokens generated: what the call asks for at most first, the real number at the end.
   * ## `"total-tokens"`
   * 
   * Both kinds of tokens together.
   * ## `"cost-micros"`
   * 
   * Money, in millionths of the ledger's currency unit.
   * ## `"in-flight"`
   * 
   * Calls under way at the same time.
   */
  export type Unit = 'requests' | 'input-tokens' | 'output-tokens' | 'total-tokens' | 'cost-micros' | 'in-flight';
  /**
   * The time over which a limit counts.
   */
  export type Window = WindowSliding | WindowDay | WindowWeek | WindowMonth | WindowLifetime | WindowCall;
  /**
   * The last N seconds, sliding.
   */
  export interface WindowSliding {
    tag: 'sliding',
    val: number,
  }
  /**
   * The natural day, in the tenant's time zone.
   */
  export interface WindowDay {
    tag: 'day',
  }
  /**
   * The natural week, Monday first, in the tenant's time zone.
   */
  export interface WindowWeek {
    tag: 'week',
  }
  /**
   * The natural month, in the tenant's time zone.
   */
  export interface WindowMonth {
    tag: 'month',
  }
  /**
   * Never resets.
   */
  export interface WindowLifetime {
    tag: 'lifetime',
  }
  /**
   * As long as the call is under way; for `in-flight`.
   */
  export interface WindowCall {
    tag: 'call',
  }
  /**
   * One limit that the call falls under.
   */
  export interface Rule {
    /**
     * Calls that share a key share the counter. The host prefixes the policy's own namespace.
     */
    key: string,
    /**
     * What is counted.
     */
    unit: Unit,
    /**
     * Over which time.
     */
    window: Window,
    /**
     * How much of the unit the window holds at most.
     */
    limit: number,
  }
}
