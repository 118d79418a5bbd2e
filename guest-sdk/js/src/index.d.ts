/// <reference path="../bindings/access.d.ts" />
/// <reference path="../bindings/answer.d.ts" />
/// <reference path="../bindings/audit.d.ts" />
/// <reference path="../bindings/call.d.ts" />
/// <reference path="../bindings/channels.d.ts" />
/// <reference path="../bindings/events.d.ts" />
/// <reference path="../bindings/firewall.d.ts" />
/// <reference path="../bindings/edit.d.ts" />
/// <reference path="../bindings/http.d.ts" />
/// <reference path="../bindings/limit.d.ts" />
/// <reference path="../bindings/models.d.ts" />
/// <reference path="../bindings/reply.d.ts" />
/// <reference path="../bindings/route.d.ts" />
/// <reference path="../bindings/secrets.d.ts" />
/// <reference path="../bindings/types.d.ts" />
// What a policy author writes against; the shapes of the interface are generated in ../bindings.

export type { Denial as DenialRecord, Message, Operation, Response, Summary, Usage } from "weir:policy/types";
export type { Rule, Unit, Window } from "weir:policy/limit";
export type { Attempt, Candidate } from "weir:policy/route";
export type { Event, RawEvent, TextDelta, ToolCallDelta } from "weir:policy/events";
export type { Outcome } from "weir:policy/audit";
import type { Message, Response, Summary } from "weir:policy/types";
import type { Rule, Window } from "weir:policy/limit";
import type { Attempt, Candidate } from "weir:policy/route";
import type { Event, EventText } from "weir:policy/events";
import type { Outcome } from "weir:policy/audit";
import type { Completion } from "weir:policy/models";

/** A refusal of the call, thrown by any hook; the gateway renders it in the caller's dialect. */
export class Denial extends Error {
  /** `status` 400 to 599, `code` in snake_case, `message` one sentence that says what to do. */
  constructor(status: number, code: string, message: string, more?: { retryAfterMs?: number });
  readonly status: number;
  readonly code: string;
  readonly retryAfterMs?: number;
  /** 400: the request itself is at fault. */
  static badRequest(code: string, message: string): Denial;
  /** 403: the caller may not do this. */
  static forbidden(code: string, message: string): Denial;
  /** 429: too much for now; the same call may succeed after that many milliseconds. */
  static tooMany(code: string, message: string, retryAfterMs: number): Denial;
}

/** What the host could not do, in its own words. */
export class HostError extends Error {}

/** What a policy remembers of one streamed reply. */
export interface Stream {
  /** The next event. Undefined passes the provider's own bytes on, a list takes its place (an empty one
   * drops it); a `Denial` ends the stream with an error. */
  push?(event: Event): Event[] | undefined | void;
  /** The stream ends, also where the caller hung up: what is still held back. */
  close?(): Event[];
}

/** The hooks of a policy; the component exports those that are there. `settings` come last. */
export interface Policy<S> {
  /** What may stand in the configuration; without it nothing may. */
  settings?: settings.Schema<S>;
  /** May this caller make this call at all? */
  authorize?(summary: Summary, settings: S): void;
  /** Change the request, with `edit`. */
  rewrite?(summary: Summary, settings: S): void;
  /** The limits that the call falls under. */
  limits?(summary: Summary, settings: S): Rule[];
  /** Answer without calling a provider. */
  answer?(summary: Summary, settings: S): Response | undefined;
  /** The attempts in order; candidates left out are not tried. */
  route?(summary: Summary, candidates: Candidate[], settings: S): Attempt[];
  /** Change a whole (not streamed) reply; undefined leaves it as it is. */
  reply?(summary: Summary, response: Response, settings: S): Response | undefined;
  /** A streamed reply begins; undefined lets it run untouched. */
  open?(summary: Summary, settings: S): Stream | undefined;
  /** The call is over and settled. */
  finished?(outcome: Outcome, settings: S): void;
}

/** Checks that there are no other names in it; `export default definePolicy({ ... })`. */
export function definePolicy<S = {}>(policy: Policy<S>): Policy<S>;

/** The time over which a limit counts. */
export const window: {
  sliding(seconds: number): Window;
  day(): Window;
  week(): Window;
  month(): Window;
  lifetime(): Window;
  call(): Window;
};
/** A try at the channel of that number. */
export function attempt(channel: number, more?: Omit<Attempt, "channel">): Attempt;
/** The circuit breaker does not keep the channel out, and it has a key that may be used. */
export function usable(candidate: Candidate): boolean;
/** A piece of the answer's text. */
export function textEvent(text: string, choice?: number): EventText;
/** Whether a text fits a pattern in which each `*` stands for any run of characters. */
export function matches(pattern: string, text: string): boolean;

/** Bytes of a text and back; QuickJS has no TextEncoder. What is not valid UTF-8 is replaced. */
export const utf8: { encode(text: string): Uint8Array; decode(bytes: Uint8Array): string };

/** From configuration to a typed value; errors name the setting. */
export namespace settings {
  interface Schema<T> {
    default(value: T): Schema<T>;
    optional(): Schema<T | undefined>;
    /** Turns the value into another; what `change` throws is the error. */
    map<U>(change: (value: T) => U): Schema<U>;
    /** Never there; carries the type. */
    readonly type?: T;
  }
  /** The type of what a schema reads. */
  type Of<X> = X extends Schema<infer T> ? T : never;
  interface Bounds { min?: number; max?: number }
  function boolean(): Schema<boolean>;
  function text(): Schema<string>;
  function number(bounds?: Bounds): Schema<number>;
  function integer(bounds?: Bounds): Schema<number>;
  function oneOf<const T extends string | number>(...values: T[]): Schema<T>;
  function any(): Schema<unknown>;
  function list<T>(item: Schema<T>): Schema<T[]>;
  /** A table of any names. */
  function map<T>(item: Schema<T>): Schema<Map<string, T>>;
  /** A table of these names and no others. */
  function object<F extends Record<string, Schema<any>>>(fields: F): Schema<{ [K in keyof F]: Of<F[K]> }>;
}

/** The call that the running hook is about. Each function is a call into the host. */
export const call: Omit<typeof import("weir:policy/call"), "json"> & {
  /** The value at an RFC 6901 pointer into the body; undefined where there is nothing. */
  json(pointer?: string): any;
};
/** The channels of the gateway by their numbers. */
export const channels: typeof import("weir:policy/channels");
/** The host's clock, so that a test or a replay can set it. JavaScript's own stops in a component. */
export const clock: { nowMs(): number; now(): Date };
/** Changes to the request, from `rewrite` only; what the host refuses is thrown as `HostError`. */
export const edit: Omit<typeof import("weir:policy/edit"), "setJson"> & {
  /** Sets the value at an RFC 6901 pointer, making the last step where it is missing. */
  setJson(pointer: string, value: unknown): void;
};
/** Keeps an address out for a while. */
export const firewall: typeof import("weir:policy/firewall");
/** Outgoing HTTP to the hosts that the operator granted. */
export const http: {
  send(url: string, more?: { method?: string; headers?: Record<string, string>; body?: Uint8Array | string; timeoutMs?: number }): Response;
};
/** The policy's own log. */
export const log: Record<"trace" | "debug" | "info" | "warn" | "error", (message: unknown) => void>;
/** The policy's own metrics. */
export const metrics: {
  count(name: string, by?: number, labels?: Record<string, string>): void;
  observe(name: string, value: number, labels?: Record<string, string>): void;
};
/** Asks a model through the gateway itself, on the policy's own account. */
export const models: {
  complete(model: string, messages: string | Message[], maxOutputTokens: number): Completion;
  countTokens(model: string, text: string): number;
};
/** Values that the operator granted to this policy by name. */
export const secrets: typeof import("weir:policy/secrets");
/** A small key-value store, private to the policy; outlives instances and versions. */
export const store: {
  get(key: string): Uint8Array | undefined;
  getText(key: string): string | undefined;
  set(key: string, value: Uint8Array | string, more?: { ttlMs?: number }): void;
  remove(key: string): void;
  /** Adds atomically and returns the sum; a missing key counts as 0. */
  add(key: string, by?: number, more?: { ttlMs?: number }): number;
};
