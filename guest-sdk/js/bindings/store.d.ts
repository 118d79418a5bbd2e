declare module 'weir:policy/store' {
  /**
   * The value of a key, if it has one that has not expired.
   */
  export function get(key: string): Uint8Array | undefined;
  /**
   * Sets a value; without `ttl-ms` it stays until it is removed or evicted.
   */
  export function set(key: string, value: Uint8Array, ttlMs: number | undefined): void;
  /**
   * Removes a key; nothing happens where it does not exist.
   */
  export function remove(key: string): void;
  /**
   * Adds to an integer atomically and returns the sum; a missing key counts as 0, and
   * `ttl-ms` applies when the key is made. An error where the value is not an integer.
   */
  export function add(key: string, by: number, ttlMs: number | undefined): number;
}
