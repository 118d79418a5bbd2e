// The call that the running hook is about. Each function is a call into the host.
import * as raw from "#host/call";

export const id = () => raw.id();
export const dialect = () => raw.dialect();
export const method = () => raw.method();
export const path = () => raw.path();
export const query = () => raw.query();
export const tenant = () => raw.tenant();
export const key = () => raw.key();
export const clientIp = () => raw.clientIp();
export const remember = (forMs) => raw.remember(forMs);
export const label = (name) => raw.label(name) ?? undefined;
export const header = (name) => raw.header(name) ?? undefined;
export const headers = () => raw.headers();
export const messages = () => raw.messages();
export const body = () => raw.body();

/** The value at a pointer into the body; undefined where there is nothing. */
export function json(pointer = "") {
  const text = raw.json(pointer);
  return text == null ? undefined : JSON.parse(text);
}
