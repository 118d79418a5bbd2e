import assert from "node:assert/strict";
import { test } from "node:test";
import { Denial } from "weir-sdk";
import { ConfigError, Host } from "weir-sdk/testing";

import guard from "./guard";

const denied = (code: string) => (error: unknown) => error instanceof Denial && error.code === code;

test("a denied model", () => {
  const host = new Host(guard, { denied_models: ["gpt-4-*", "o1"] });
  host.authorize({ model: "gpt-4o" });
  for (const model of ["gpt-4-32k", "o1"]) assert.throws(() => host.authorize({ model }), denied("model_denied"));
});

test("outside the hours only the exempt plan passes", () => {
  const host = new Host(guard, { open_hour: 8, close_hour: 18, exempt_plan: "pro" });
  host.authorize();
  host.advance(8.5 * 3600);
  assert.throws(() => host.authorize({ labels: { plan: "free" } }), (error: any) => denied("closed")(error) && error.retryAfterMs === 41_400_000);
  host.authorize({ labels: { plan: "pro" } });
});

test("the instruction comes first", () => {
  const seen = new Host(guard, { instruction: "Be brief." }).rewrite();
  assert.deepEqual(seen.json().messages[0], { role: "system", content: "Be brief." });
  assert.equal(seen.headers["x-guard"], "js");
});

test("a bucket for each key", () => {
  assert.deepEqual(new Host(guard, { requests_per_minute: 60 }).limits({ key: "key_7" }),
    [{ key: "key:key_7", unit: "requests", window: { tag: "sliding", val: 60 }, limit: 60 }]);
});

test("channels of the region by priority, the tripped one last", () => {
  const eu = { region: "eu" };
  const channels = [
    { name: "tripped", labels: eu, facts: { priority: 9, trippedMs: 500 } }, { name: "low", labels: eu },
    { name: "us", labels: { region: "us" } }, { name: "high", labels: eu, facts: { priority: 2 } },
  ];
  assert.deepEqual(new Host(guard, { region: "eu" }, { channels }).route(), ["high", "low", "tripped"]);
  assert.throws(() => new Host(guard, { region: "asia" }, { channels }).route(), denied("no_channel"));
});

test("words of a stream", () => {
  const host = new Host(guard, { replace: { secret: "[redacted]" } });
  assert.equal(host.stream(["a secret, ", "another secret"]), "a [redacted], another [redacted]");
});

test("mistakes in the configuration", () => {
  const errors = (config: object) => { try { new Host(guard, config); } catch (error) { return (error as ConfigError).errors; } };
  assert.deepEqual(errors({ open_hour: 9, close_hour: 9 }), ["close_hour: must be from open_hour + 1 to 24"]);
  assert.deepEqual(errors({ denied_models: "o1" }), ['denied_models: must be a list, not "o1"']);
  assert.deepEqual(errors({ regoin: "eu" }), ["regoin: no such setting; did you mean `region`?"]);
});
