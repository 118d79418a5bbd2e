declare module 'weir:policy/lifecycle' {
  /**
   * Takes the policy's configuration as JSON. Errors refuse the policy version; each is a
   * sentence that names the setting it is about.
   */
  export function init(config: string): void;
}
