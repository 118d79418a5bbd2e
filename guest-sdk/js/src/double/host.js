// What the double of the gateway holds while a hook runs, and what the interface's functions ask.

let current;

/** The host whose hook runs; `edit` and the others note what they did in `host.seen`. */
export function host() {
  if (!current) throw new Error("the host was called outside of a hook of a Host");
  current.seen.imports += 1;
  return current;
}
export function enter(one) { current = one; }
