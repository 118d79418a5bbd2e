// A double of the gateway, so that tests run natively and always the same. See testing.d.ts.
import { enter } from "./double/host.js";
import { parse } from "./settings.js";
import { textEvent } from "./shapes.js";
import { utf8 } from "./utf8.js";

/** 2026-01-05T12:00:00Z, a Monday. */
export const NOON_MS = 1_767_614_400_000;

export class ConfigError extends Error {
  constructor(errors) {
    super(errors.join("\n"));
    this.errors = errors;
  }
}

const CALL = {
  operation: "chat", model: "gpt-4o", streaming: false, inputTokens: 10, maxOutputTokens: 0,
  id: "req_1", dialect: "openai.chat", method: "POST", path: "/v1/chat/completions", query: [],
  tenant: "acme", key: "key_1", clientIp: "192.0.2.1", labels: {}, headers: { "content-type": "application/json" },
};
const HEALTHY = {
  priority: 0, weight: 1, errorRate: 0, samples: 0, firstByteMs: 0, totalMs: 0, tokensPerSecond: 0, inFlight: 0,
  usableKeys: 1, headroom: 1, trippedMs: 0, inputPrice: -1, outputPrice: -1,
};

class Seen {
  imports = 0;
  rememberMs = 0;
  edits = [];
  logs = [];
  metrics = [];
  bans = [];
  constructor(model, headers, body) { Object.assign(this, { model, headers, body }); }
  /** The body after the edits; undefined where it is not JSON. */
  json() {
    try {
      return JSON.parse(utf8.decode(this.body));
    } catch {
      return undefined;
    }
  }
  setJson(value) { this.body = utf8.encode(JSON.stringify(value)); }
}

export class Host {
  constructor(policy, config = {}, { channels = [], secrets = {}, now = NOON_MS, http, models } = {}) {
    this.policy = policy;
    this.channels = channels;
    this.secrets = secrets;
    this.nowMs = Number(now);
    this.store = new Map();
    this.http = http ?? ((request) => { throw `${request.url} was not granted`; });
    this.models = (model, messages, max) => {
      if (!models) throw `${model} was not granted`;
      const answer = models(model, messages, max);
      const usage = { inputTokens: 0, outputTokens: 0, cachedTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0, costMicros: 0, estimated: true };
      return typeof answer === "string" ? { text: answer, usage } : answer;
    };
    this.#start();
    const { value, errors } = parse(policy.settings, JSON.stringify(config));
    if (errors.length) throw new ConfigError(errors);
    this.settings = value;
  }

  advance(seconds) { this.nowMs += Math.round(seconds * 1000); }

  authorize(call) { this.policy.authorize(this.#start(call), this.settings); }
  rewrite(call) { this.policy.rewrite(this.#start(call), this.settings); return this.seen; }
  limits(call) { return this.policy.limits(this.#start(call), this.settings); }
  answer(call) { return this.policy.answer(this.#start(call), this.settings); }
  reply(response, call) { return this.policy.reply(this.#start(call), response, this.settings); }
  attempts(call) {
    const candidates = this.channels.map((one, at) => ({ channel: at + 1, ...HEALTHY, ...one.facts }));
    return this.policy.route(this.#start(call), candidates, this.settings);
  }
  route(call) { return this.attempts(call).map((one) => this.channels[one.channel - 1]?.name ?? ""); }
  events(given, call = {}) {
    const sent = given.map((one) => (typeof one === "string" ? textEvent(one) : one));
    const stream = this.policy.open(this.#start({ streaming: true, ...call }), this.settings);
    if (!stream) return sent;
    const out = sent.flatMap((one) => stream.push?.(one) ?? [one]);
    return [...out, ...(stream.close?.() ?? [])];
  }
  stream(given, call) { return this.events(given, call).filter((one) => one.tag === "text").map((one) => one.val.text).join(""); }
  finished(facts = {}, call = {}) {
    const summary = this.#start(call);
    const usage = { inputTokens: summary.inputTokens, outputTokens: 0, cachedTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0, costMicros: 0, estimated: false };
    this.policy.finished({ call: summary, status: 200, attempts: 1, firstByteMs: 0, totalMs: 0, usage, ...facts }, this.settings);
    return this.seen;
  }

  #start(given = {}) {
    const unknown = Object.keys(given).find((name) => !(name in CALL) && name !== "body");
    if (unknown) throw new TypeError(`a call has no \`${unknown}\``);
    this.call = { ...CALL, ...given };
    const headers = Object.fromEntries(Object.entries(this.call.headers).map(([name, value]) => [name.toLowerCase(), value]));
    const body = this.call.body ?? { model: this.call.model, messages: [{ role: "user", content: "Hello" }] };
    this.seen = new Seen(this.call.model, headers, body instanceof Uint8Array ? body : utf8.encode(JSON.stringify(body)));
    enter(this);
    const { operation, model, streaming, inputTokens, maxOutputTokens } = this.call;
    return { operation, model, streaming, inputTokens, maxOutputTokens };
  }
}
