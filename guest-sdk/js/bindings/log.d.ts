declare module 'weir:policy/log' {
  /**
   * Writes one line.
   */
  export function write(level: Level, message: string): void;
  /**
   * How much a line matters.
   * # Variants
   * 
   * ## `"trace"`
   * 
   * Every step, for finding a bug.
   * ## `"debug"`
   * 
   * What helps while developing.
   * ## `"info"`
   * 
   * What an operator may want to know.
   * ## `"warn"`
   * 
   * What an operator should look at.
   * ## `"error"`
   * 
   * What went wrong.
   */
  export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';
}
