declare module 'weir:policy/secrets' {
  /**
   * The value; none where the name was not granted or has no value.
   */
  export function get(name: string): string | undefined;
}
