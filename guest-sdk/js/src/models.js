import * as raw from "#host/models";
import { plain } from "./engine.js";
import { asked } from "./errors.js";

/** Asks a model that was granted and waits for the whole answer; a text is a user's message. */
export function complete(model, messages, maxOutputTokens) {
  const list = typeof messages === "string" ? [{ role: "user", text: messages }] : messages;
  return plain(asked(() => raw.complete(model, list, maxOutputTokens)));
}
export const countTokens = (model, text) => raw.countTokens(model, text);
