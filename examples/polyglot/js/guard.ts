// The policy of ../README.md in TypeScript.
import { Denial, attempt, call, channels, clock, definePolicy, edit, matches, settings as s, textEvent, usable, window } from "weir-sdk";

const HOUR_MS = 3_600_000;

const settings = s.object({
  open_hour: s.integer({ min: 0, max: 23 }).default(0),
  close_hour: s.integer({ min: 1, max: 24 }).default(24),
  exempt_plan: s.text().default(""),
  denied_models: s.list(s.text()).default([]),
  requests_per_minute: s.integer({ min: 0 }).default(0),
  instruction: s.text().default(""),
  region: s.text().default(""),
  replace: s.map(s.text()).default(new Map<string, string>()),
}).map((read) => {
  if (read.close_hour <= read.open_hour) throw new Error("close_hour: must be from open_hour + 1 to 24");
  return read;
});

export default definePolicy({
  settings,

  authorize(summary, { open_hour, close_hour, exempt_plan, denied_models }) {
    if (denied_models.some((pattern) => matches(pattern, summary.model))) {
      throw Denial.forbidden("model_denied", `The model \`${summary.model}\` may not be used here.`);
    }
    if (open_hour === 0 && close_hour === 24) return;
    if (exempt_plan && call.label("plan") === exempt_plan) return;
    const nowMs = clock.nowMs();
    const hour = Math.floor(nowMs / HOUR_MS) % 24;
    if (hour >= open_hour && hour < close_hour) return;
    const waitHours = (open_hour - hour + 24) % 24;
    throw new Denial(403, "closed", `Calls are allowed from ${open_hour} to ${close_hour} o'clock UTC.`, {
      retryAfterMs: waitHours * HOUR_MS - (nowMs % HOUR_MS),
    });
  },

  rewrite(_summary, { instruction }) {
    if (!instruction) return;
    edit.prependSystem(instruction);
    edit.setHeader("x-guard", "js");
  },

  limits(_summary, { requests_per_minute }) {
    if (!requests_per_minute) return [];
    return [{ key: `key:${call.key()}`, unit: "requests", window: window.sliding(60), limit: requests_per_minute }];
  },

  route(_summary, candidates, { region }) {
    const there = candidates.filter((one) => !region || channels.label(one.channel, "region") === region);
    if (!there.length) throw new Denial(503, "no_channel", `No channel of the region \`${region}\` serves this model.`);
    // Channels that cannot be used now come last; within each group the highest priority first.
    there.sort((a, b) => Number(usable(b)) - Number(usable(a)) || b.priority - a.priority);
    return there.map((one) => attempt(one.channel));
  },

  open(_summary, { replace }) {
    if (!replace.size) return undefined;
    return {
      push(event) {
        if (event.tag !== "text") return undefined;
        let text = event.val.text;
        for (const [word, instead] of replace) text = text.replaceAll(word, instead);
        return text === event.val.text ? undefined : [textEvent(text, event.val.choice)];
      },
    };
  },
});
