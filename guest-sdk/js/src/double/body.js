// RFC 6901 pointers into a body.

function steps(pointer) {
  if (pointer !== "" && !pointer.startsWith("/")) return undefined;
  return pointer.split("/").slice(1).map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

const has = (value, step) => typeof value === "object" && value !== null && Object.hasOwn(value, step);

export function find(value, pointer) {
  for (const step of steps(pointer) ?? ["\0"]) {
    if (!has(value, step)) return { found: false };
    value = value[step];
  }
  return { found: value !== undefined, value };
}

/** The value around the last step, and that step. */
export function place(body, pointer) {
  const all = steps(pointer);
  const last = all?.pop();
  for (const step of all ?? []) body = has(body, step) ? body[step] : undefined;
  if (last === undefined || typeof body !== "object" || body === null) throw `nothing at ${pointer}`;
  if (!Array.isArray(body)) return [body, last];
  const at = last === "-" ? body.length : Number(last);
  if (!Number.isInteger(at) || at < 0 || at > body.length) throw `nothing at ${pointer}`;
  return [body, at];
}
