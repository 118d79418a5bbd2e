// From a policy to the exports of a component. Runs in a component (and in the SDK's tests).
import * as log from "#host/log";
import { integer, plain } from "./engine.js";
import { Denial } from "./errors.js";
import { HOOKS } from "./policy.js";
import { parse } from "./settings.js";

/** What goes to the host: the same with BigInts where the interface has 64 bits. */
const rule = (one) => ({ ...one, limit: integer(one.limit) });
const COUNTS = ["inputTokens", "outputTokens", "cachedTokens", "cacheWriteTokens", "reasoningTokens", "costMicros"];
function event(one) {
  if (one.tag !== "usage") return one;
  const val = { ...one.val };
  for (const name of COUNTS) val[name] = integer(val[name]);
  return { tag: "usage", val };
}

/** A denial is thrown as the interface's record; a mistake is logged before it becomes a bare trap. */
function guarded(hook) {
  return (...given) => {
    try {
      return hook(...given);
    } catch (error) {
      if (error instanceof Denial) {
        throw { status: error.status, code: error.code, message: error.message, retryAfterMs: error.retryAfterMs };
      }
      const told = error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ""}` : String(error);
      log.write("error", told);
      throw error;
    }
  };
}

export function adapt(policy) {
  let settings;
  const streams = new Map();
  const lifecycle = {
    init(config) {
      const read = guarded(() => parse(policy.settings, config))();
      if (read.errors.length) throw read.errors;
      settings = read.value;
    },
  };
  const hook = (name) => guarded((...given) => policy[HOOKS[name]](...given.map(plain), settings));
  const limits = hook("limit");
  return {
    lifecycle,
    access: { authorize: guarded((call) => { policy.authorize(plain(call), settings); }) },
    rewrite: { rewrite: guarded((call) => { policy.rewrite(plain(call), settings); }) },
    limit: { limits: (call) => limits(call).map(rule) },
    answer: { answer: hook("answer") },
    route: { route: hook("route") },
    reply: { reply: hook("reply") },
    events: {
      open: guarded((reply, call) => {
        const stream = policy.open(plain(call), settings);
        if (stream) streams.set(reply, stream);
        return Boolean(stream);
      }),
      push: guarded((reply, given) => {
        const made = streams.get(reply)?.push?.(plain(given));
        if (made === undefined || made === null) return { tag: "pass" };
        return made.length ? { tag: "replace", val: made.map(event) } : { tag: "drop" };
      }),
      close: guarded((reply) => {
        const stream = streams.get(reply);
        streams.delete(reply);
        return (stream?.close?.() ?? []).map(event);
      }),
    },
    audit: { finished: guarded((outcome) => { policy.finished(plain(outcome), settings); }) },
  };
}
