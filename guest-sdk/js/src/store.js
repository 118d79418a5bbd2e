// A small key-value store, private to the policy; outlives instances and versions.
import * as raw from "#host/store";
import { integer } from "./engine.js";
import { asked } from "./errors.js";
import { utf8 } from "./utf8.js";

export const get = (key) => raw.get(key) ?? undefined;
/** The value as text. */
export function getText(key) {
  const bytes = raw.get(key);
  return bytes == null ? undefined : utf8.decode(bytes);
}
export function set(key, value, { ttlMs } = {}) {
  const bytes = typeof value === "string" ? utf8.encode(value) : value;
  asked(() => raw.set(key, bytes, ttlMs));
}
export const remove = (key) => raw.remove(key);
export const add = (key, by = 1, { ttlMs } = {}) => Number(asked(() => raw.add(key, integer(by), ttlMs)));
