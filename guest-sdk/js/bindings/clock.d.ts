declare module 'weir:policy/clock' {
  /**
   * Milliseconds since the Unix epoch.
   */
  export function nowMs(): number;
}
