// Constructors for the shapes that are long to write by hand.

/** The time over which a limit counts. */
export const window = {
  sliding: (seconds) => ({ tag: "sliding", val: seconds }),
  day: () => ({ tag: "day" }),
  week: () => ({ tag: "week" }),
  month: () => ({ tag: "month" }),
  lifetime: () => ({ tag: "lifetime" }),
  call: () => ({ tag: "call" }),
};

export const attempt = (channel, more = {}) => ({ channel, ...more });
export const usable = (candidate) => candidate.trippedMs === 0 && candidate.usableKeys > 0;
export const textEvent = (text, choice = 0) => ({ tag: "text", val: { choice, text } });

/** Whether a text fits a pattern in which each `*` stands for any run of characters. */
export function matches(pattern, text) {
  const [first, ...rest] = pattern.split("*");
  if (rest.length === 0) return text === pattern;
  if (!text.startsWith(first)) return false;
  const last = rest.pop();
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - at >= last.length && text.endsWith(last);
}
