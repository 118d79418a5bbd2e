// The policy of tests/bare in JavaScript: the engine and the interface, nothing else.
import { tenant } from "weir:policy/call@0.2.0";
import { nowMs } from "weir:policy/clock@0.2.0";
import { add } from "weir:policy/store@0.2.0";

const ALLOWED = 2;
const MINUTE_MS = 60000;

export const access = {
  // What is thrown is the error of the interface's `result`; `undefined` is its ok.
  authorize(call) {
    const who = tenant();
    if (call.model === "forbidden") {
      throw { status: 403, code: "model_denied", message: `\`forbidden\` is not for ${who}: ask for another model.` };
    }
    const leftMs = MINUTE_MS - (nowMs() % MINUTE_MS);
    if (add(who, 1, leftMs) > ALLOWED) {
      throw { status: 429, code: "enough", message: `${who} has made its two calls of this minute.`, retryAfterMs: leftMs };
    }
  },
};
