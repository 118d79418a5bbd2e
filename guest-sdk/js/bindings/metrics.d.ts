declare module 'weir:policy/metrics' {
  /**
   * Adds to a counter.
   */
  export function count(name: string, by: number, labels: Array<[string, string]>): void;
  /**
   * Puts a value into a histogram.
   */
  export function observe(name: string, value: number, labels: Array<[string, string]>): void;
}
