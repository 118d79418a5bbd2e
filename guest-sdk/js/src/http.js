import * as raw from "#host/http";
import { asked } from "./errors.js";
import { utf8 } from "./utf8.js";

/** Sends a request to a host that was granted and waits for the whole response. */
export function send(url, { method = "GET", headers = {}, body = new Uint8Array(), timeoutMs = 1000 } = {}) {
  const bytes = typeof body === "string" ? utf8.encode(body) : body;
  return asked(() => raw.send({ method, url, headers: Object.entries(headers), body: bytes, timeoutMs }));
}
