// The policy weir-template; README.md says what it does.
// weir:if access rewrite route
import { Denial, definePolicy, settings as s } from "weir-sdk";
// weir:end
// weir:unless access rewrite route
import { definePolicy, settings as s } from "weir-sdk";
// weir:end
// weir:if access
import { matches } from "weir-sdk";
// weir:end
// weir:if rewrite
import { HostError, edit } from "weir-sdk";
// weir:end
// weir:if limit
import { call, window } from "weir-sdk";
// weir:end
// weir:if answer
import { utf8 } from "weir-sdk";
// weir:end
// weir:if route
import { attempt, channels, usable } from "weir-sdk";
// weir:end
// weir:if events
import { textEvent } from "weir-sdk";
// weir:end
// weir:if audit
import { metrics } from "weir-sdk";
// weir:end

export default definePolicy({
  /** What may stand under [policy.config]. Errors name the setting. */
  settings: s.object({
    // weir:if access
    /** Models that nobody may use; a `*` stands for anything. */
    denied_models: s.list(s.text()).default([]),
    // weir:end
    // weir:if rewrite
    /** Put ahead of every prompt. */
    instruction: s.text().default(""),
    // weir:end
    // weir:if limit
    /** For each key; 0 for no limit. */
    requests_per_minute: s.integer({ min: 0 }).default(0),
    // weir:end
    // weir:if answer
    /** The answer to every call, while it is set. */
    notice: s.text().default(""),
    // weir:end
    // weir:if route
    /** Only channels with this label `region`. */
    region: s.text().default(""),
    // weir:end
    // weir:if reply
    /** What the header `x-stamp` of every reply says. */
    stamp: s.text().default(""),
    // weir:end
    // weir:if events
    /** Words of streamed answers, and what stands in their place. */
    replace: s.map(s.text()).default(new Map<string, string>()),
    // weir:end
  }),
  // weir:if access

  authorize(summary, { denied_models }) {
    if (denied_models.some((pattern) => matches(pattern, summary.model))) {
      throw Denial.forbidden("model_denied", `The model \`${summary.model}\` may not be used here.`);
    }
  },
  // weir:end
  // weir:if rewrite

  rewrite(_summary, { instruction }) {
    if (!instruction) return;
    try {
      edit.prependSystem(instruction);
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      throw Denial.badRequest("not_changed", `The instruction could not be added: ${error.message}`);
    }
  },
  // weir:end
  // weir:if limit

  limits(_summary, { requests_per_minute }) {
    if (!requests_per_minute) return [];
    return [{ key: `key:${call.key()}`, unit: "requests", window: window.sliding(60), limit: requests_per_minute }];
  },
  // weir:end
  // weir:if answer

  answer(_summary, { notice }) {
    if (!notice) return undefined;
    return { status: 503, headers: [["content-type", "text/plain"]], body: utf8.encode(notice) };
  },
  // weir:end
  // weir:if route

  route(_summary, candidates, { region }) {
    const there = candidates.filter((one) => !region || channels.label(one.channel, "region") === region);
    if (!there.length) throw new Denial(503, "no_channel", `No channel of the region \`${region}\` serves this model.`);
    // Channels that cannot be used now come last; within each group the highest priority first.
    there.sort((a, b) => Number(usable(b)) - Number(usable(a)) || b.priority - a.priority);
    return there.map((one) => attempt(one.channel));
  },
  // weir:end
  // weir:if reply

  reply(_summary, response, { stamp }) {
    if (!stamp) return undefined;
    return { ...response, headers: [...response.headers, ["x-stamp", stamp]] };
  },
  // weir:end
  // weir:if events

  open(_summary, { replace }) {
    if (!replace.size) return undefined;
    // One of these for each streamed answer.
    return {
      push(event) {
        if (event.tag !== "text") return undefined;
        let text = event.val.text;
        for (const [word, instead] of replace) text = text.replaceAll(word, instead);
        return text === event.val.text ? undefined : [textEvent(text, event.val.choice)];
      },
    };
  },
  // weir:end
  // weir:if audit

  finished(outcome) {
    metrics.count("calls_finished", 1, { status: String(outcome.status) });
  },
  // weir:end
});
