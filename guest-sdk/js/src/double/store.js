import { utf8 } from "../utf8.js";
import { host } from "./host.js";

function alive(one, key) {
  const entry = one.store.get(key);
  return entry && (entry.expiresMs === undefined || one.nowMs < entry.expiresMs) ? entry : undefined;
}
const expiry = (one, ttlMs) => (ttlMs == null ? undefined : one.nowMs + ttlMs);

export const get = (key) => alive(host(), key)?.value;
export function set(key, value, ttlMs) {
  const one = host();
  one.store.set(key, { value, expiresMs: expiry(one, ttlMs) });
}
export const remove = (key) => { host().store.delete(key); };
export function add(key, by, ttlMs) {
  const one = host();
  const entry = alive(one, key) ?? { value: utf8.encode("0"), expiresMs: expiry(one, ttlMs) };
  const text = utf8.decode(entry.value);
  if (!/^-?\d+$/.test(text)) throw "the value is not an integer";
  const sum = Number(text) + Number(by);
  one.store.set(key, { value: utf8.encode(String(sum)), expiresMs: entry.expiresMs });
  return sum;
}
