/// <reference path="./types.d.ts" />
declare module 'weir:policy/events' {
  /**
   * A stream begins; `reply` is its number within this instance.
   * False: this stream is none of the policy's business and runs untouched.
   */
  export function open(reply: number, call: Summary): boolean;
  /**
   * The next event of the stream. A denial ends the stream with an error.
   */
  export function push(reply: number, event: Event): Action;
  /**
   * The stream ends, also where the caller hung up: what the policy still holds back.
   */
  export function close(reply: number): Array<Event>;
  export type Summary = import('weir:policy/types').Summary;
  export type Usage = import('weir:policy/types').Usage;
  export type Denial = import('weir:policy/types').Denial;
  /**
   * A piece of text.
   */
  export interface TextDelta {
    /**
     * Which of the choices of the reply it belongs to, from 0.
     */
    choice: number,
    /**
     * The new text, to be appended.
     */
    text: string,
  }
  /**
   * A piece of a tool call.
   */
  export interface ToolCallDelta {
    /**
     * Which of the choices of the reply it belongs to, from 0.
     */
    choice: number,
    /**
     * Which of the tool calls of that choice, from 0.
     */
    index: number,
    /**
     * The call's id, where this piece has it.
     */
    id?: string,
    /**
     * The tool's name, where this piece has it.
     */
    name?: string,
    /**
     * JSON text of the arguments, to be appended.
     */
    arguments: string,
  }
  /**
   * An event that has no neutral form.
   */
  export interface RawEvent {
    /**
     * The name of the server-sent event, where it has one.
     */
    name?: string,
    /**
     * Its data, as the provider sent it.
     */
    data: string,
  }
  /**
   * One event of a streamed reply.
   */
  export type Event = EventText | EventReasoning | EventToolCall | EventUsage | EventFinish | EventOther;
  /**
   * Text of the answer.
   */
  export interface EventText {
    tag: 'text',
    val: TextDelta,
  }
  /**
   * Text of the reasoning before the answer.
   */
  export interface EventReasoning {
    tag: 'reasoning',
    val: TextDelta,
  }
  /**
   * A piece of a tool call.
   */
  export interface EventToolCall {
    tag: 'tool-call',
    val: ToolCallDelta,
  }
  /**
   * What the call has used.
   */
  export interface EventUsage {
    tag: 'usage',
    val: Usage,
  }
  /**
   * The answer is complete, with the reason in the dialect's words.
   */
  export interface EventFinish {
    tag: 'finish',
    val: string,
  }
  /**
   * Anything else.
   */
  export interface EventOther {
    tag: 'other',
    val: RawEvent,
  }
  /**
   * What becomes of an event.
   */
  export type Action = ActionPass | ActionDrop | ActionReplace;
  /**
   * The host forwards the provider's own bytes.
   */
  export interface ActionPass {
    tag: 'pass',
  }
  /**
   * The caller does not see it.
   */
  export interface ActionDrop {
    tag: 'drop',
  }
  /**
   * The caller sees these instead.
   */
  export interface ActionReplace {
    tag: 'replace',
    val: Array<Event>,
  }
}
