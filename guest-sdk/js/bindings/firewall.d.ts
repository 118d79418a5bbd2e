declare module 'weir:policy/firewall' {
  /**
   * Bans an address for that many milliseconds; the reason goes to the log and the metrics.
   */
  export function ban(ip: string, forMs: number, reason: string): void;
}
