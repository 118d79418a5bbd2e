// What differs between the engines: StarlingMonkey takes 64-bit integers as BigInt, QuickJS as numbers.
// The build says which one it is.
/* global WEIR_BIGINT */
const big = typeof WEIR_BIGINT !== "undefined" && WEIR_BIGINT;

export const integer = (value) => (big ? BigInt(value) : value);

/** A value of the host with numbers for BigInts and undefined for what is not there. */
export function plain(value) {
  if (typeof value === "bigint") return Number(value);
  if (value === null) return undefined;
  if (typeof value !== "object" || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain);
  const made = {};
  for (const name of Object.keys(value)) made[name] = plain(value[name]);
  return made;
}
