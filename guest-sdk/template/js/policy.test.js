import assert from "node:assert/strict";
import { test } from "node:test";
// weir:if access route
import { Denial } from "weir-sdk";
// weir:end
import { ConfigError, Host } from "weir-sdk/testing";

import policy from "./policy.js";

// weir:if access
test("a denied model", () => {
  const host = new Host(policy, { denied_models: ["o1*"] });
  host.authorize({ model: "gpt-4o" });
  assert.throws(() => host.authorize({ model: "o1-pro" }), Denial);
});

// weir:end
// weir:if rewrite
test("the instruction comes first", () => {
  const seen = new Host(policy, { instruction: "Be brief." }).rewrite();
  assert.deepEqual(seen.json().messages[0], { role: "system", content: "Be brief." });
});

// weir:end
// weir:if limit
test("a bucket for each key", () => {
  const [rule] = new Host(policy, { requests_per_minute: 60 }).limits({ key: "key_7" });
  assert.deepEqual([rule.key, rule.limit], ["key:key_7", 60]);
});

// weir:end
// weir:if answer
test("the notice is the answer", () => {
  assert.equal(new Host(policy, { notice: "Back at nine." }).answer()?.status, 503);
});

// weir:end
// weir:if route
test("without a channel of the region the call is denied", () => {
  assert.throws(() => new Host(policy, { region: "eu" }).route(), Denial);
});

// weir:end
// weir:if reply
test("replies are stamped", () => {
  const reply = new Host(policy, { stamp: "checked" }).reply({ status: 200, headers: [], body: new Uint8Array() });
  assert.deepEqual(reply?.headers, [["x-stamp", "checked"]]);
});

// weir:end
// weir:if events
test("words of a stream", () => {
  const host = new Host(policy, { replace: { secret: "[redacted]" } });
  assert.equal(host.stream(["a secret, ", "another secret"]), "a [redacted], another [redacted]");
});

// weir:end
// weir:if audit
test("finished calls are counted", () => {
  const seen = new Host(policy).finished({ status: 429 });
  assert.deepEqual(seen.metrics, [{ name: "calls_finished", value: 1, labels: { status: "429" } }]);
});

// weir:end
test("a setting that there is not", () => {
  assert.throws(() => new Host(policy, { regoin: "eu" }), ConfigError);
});
