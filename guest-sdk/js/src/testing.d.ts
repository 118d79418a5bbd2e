// A double of the gateway, so that tests run natively and always the same.
import type { Attempt, Candidate, Event, Message, Outcome, Policy, Response, Rule } from "./index.js";
import type { Completion } from "weir:policy/models";
import type { Request } from "weir:policy/http";
import type { Operation } from "weir:policy/types";

/** 2026-01-05T12:00:00Z, a Monday. */
export const NOON_MS: number;

/** What the policy has against the configuration. */
export class ConfigError extends Error {
  readonly errors: string[];
}

/** The call of a test; whatever is not said is plausible: a chat of tenant `acme`. */
export interface Call {
  operation?: Operation; model?: string; streaming?: boolean; inputTokens?: number; maxOutputTokens?: number;
  id?: string; dialect?: string; method?: string; path?: string; query?: [string, string][];
  tenant?: string; key?: string; clientIp?: string; labels?: Record<string, string>; headers?: Record<string, string>;
  /** JSON as a value, or bytes. */
  body?: unknown;
}

/** A channel that could serve the call; healthy unless `facts` say otherwise. */
export interface Channel {
  name: string; provider?: string; model?: string; labels?: Record<string, string>; facts?: Partial<Candidate>;
}

/** What one hook left behind. */
export interface Seen {
  /** How many calls into the host the hook made. */
  imports: number;
  rememberMs: number; model: string; headers: Record<string, string>; body: Uint8Array;
  /** The edits in order: the function's name, then its arguments. */
  edits: unknown[][];
  logs: [string, string][];
  metrics: { name: string; value: number; labels: Record<string, string> }[];
  bans: { ip: string; forMs: number; reason: string }[];
  /** The body after the edits. */
  json(): any;
}

/** The gateway's place in a test, with a policy in it. The store and the clock last from hook to hook. */
export class Host {
  /** Throws `ConfigError` where the policy refuses the configuration. */
  constructor(policy: Policy<any>, config?: object, more?: {
    channels?: Channel[]; secrets?: Record<string, string>; now?: Date | number;
    /** Answers what the policy sends; throws a sentence to refuse. */
    http?: (request: Request) => Response;
    models?: (model: string, messages: Message[], maxOutputTokens: number) => string | Completion;
  });
  seen: Seen;
  nowMs: number;
  advance(seconds: number): void;
  authorize(call?: Call): void;
  rewrite(call?: Call): Seen;
  limits(call?: Call): Rule[];
  answer(call?: Call): Response | undefined;
  /** With all channels as candidates: the names in order. */
  route(call?: Call): string[];
  attempts(call?: Call): Attempt[];
  reply(response: Response, call?: Call): Response | undefined;
  /** Runs a stream through the policy: what the caller gets. A text is an event of the answer's text. */
  events(given: (string | Event)[], call?: Call): Event[];
  /** The same, and only the text that comes out. */
  stream(given: (string | Event)[], call?: Call): string;
  finished(facts?: Partial<Outcome>, call?: Call): Seen;
}
