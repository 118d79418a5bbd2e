declare module 'weir:policy/channels' {
  /**
   * The channel's name in the configuration.
   */
  export function name(channel: number): string;
  /**
   * The provider behind it, for example "openai".
   */
  export function provider(channel: number): string;
  /**
   * What the channel calls the model of the running call.
   */
  export function model(channel: number): string;
  /**
   * A label of the channel, for example its region.
   */
  export function label(channel: number, name: string): string | undefined;
}
