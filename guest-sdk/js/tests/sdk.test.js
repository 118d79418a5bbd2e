import assert from "node:assert/strict";
import { test } from "node:test";

import { Denial, HostError, attempt, call, channels, clock, definePolicy, edit, firewall, http, log, matches, metrics, models, secrets, settings as s, store, textEvent, window } from "weir-sdk";
import { ConfigError, Host } from "weir-sdk/testing";
import { adapt } from "weir-sdk/glue";
import { parse } from "../src/settings.js";
import { utf8 } from "../src/utf8.js";
import { world } from "../src/build.js";

/** A host whose policy does what the test says. */
const host = (authorize, more) => new Host({ authorize }, {}, more);

test("settings become a typed value", () => {
  const schema = s.object({
    rules: s.list(s.object({ limit: s.integer({ min: 1 }), unit: s.oneOf("a", "b").default("a") })).default([]),
    share: s.number({ max: 1 }).optional(),
    names: s.map(s.text()).default(new Map()),
  });
  assert.deepEqual(parse(schema, '{"rules":[{"limit":3}],"names":{"x":"y"}}').value,
    { rules: [{ limit: 3, unit: "a" }], share: undefined, names: new Map([["x", "y"]]) });
  const errors = (json) => parse(schema, json).errors;
  assert.deepEqual(errors('{"rules":[{"limit":"ten"}]}'), ['rules[0].limit: must be an integer from 1, not "ten"']);
  assert.deepEqual(errors('{"rules":[{}]}'), ["rules[0].limit: must be set"]);
  assert.deepEqual(errors('{"rule":[]}'), ["rule: no such setting; did you mean `rules`?"]);
  assert.deepEqual(errors('{"constructor":1}'), ["constructor: no such setting; there are: rules, share, names"]);
  assert.deepEqual(errors('{"share":2}'), ["share: must be a number up to 1, not 2"]);
  assert.deepEqual(errors("[]"), ["the configuration: must be a table, not []"]);
  assert.match(errors("{")[0], /^not JSON/);
  assert.deepEqual(parse(undefined, " ").value, {});
});

test("a wrong name in a policy is told", () => {
  assert.throws(() => definePolicy({ autorize() {} }), /a policy has no `autorize`; there are: settings, authorize/);
});

test("patterns", () => {
  for (const [pattern, text] of [["gpt-*", "gpt-4o"], ["*-mini*", "a-mini-mini-x"], ["*", ""], ["a*c", "abcbc"], ["o1", "o1"]]) assert(matches(pattern, text));
  for (const [pattern, text] of [["gpt-*", "o1"], ["a*b", "abc"], ["ab*ba", "aba"], ["o1", "o1-pro"]]) assert(!matches(pattern, text));
});

test("UTF-8 without the web platform", () => {
  const text = "aé€😀";
  assert.deepEqual(utf8.encode(text), new TextEncoder().encode(text));
  assert.equal(utf8.decode(utf8.encode(text)), text);
  for (const bytes of [[0xff], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80]]) assert.match(utf8.decode(new Uint8Array(bytes)), /^\ufffd+$/);
});

test("the call as it is given", () => {
  const run = host((summary) => {
    assert.deepEqual(summary, { operation: "chat", model: "m", streaming: false, inputTokens: 7, maxOutputTokens: 0 });
    assert.deepEqual([call.tenant(), call.label("plan"), call.label("other"), call.header("X-One")], ["acme", "pro", undefined, "1"]);
    assert.deepEqual([call.json("/a/0/b~1c"), call.json("/a/9"), call.json()], [[true], undefined, { a: [{ "b/c": [true] }] }]);
    call.remember(500);
  });
  run.authorize({ model: "m", inputTokens: 7, labels: { plan: "pro" }, headers: { "X-One": "1" }, body: { a: [{ "b/c": [true] }] } });
  assert.deepEqual([run.seen.rememberMs, run.seen.imports], [500, 8]);
  assert.throws(() => run.authorize({ modle: "x" }), /no `modle`/);
});

test("edits", () => {
  const run = host(() => {
    edit.setModel("n");
    edit.setHeader("X-A", "1");
    edit.removeHeader("Content-Type");
    edit.setJson("/temperature", 0.5);
    edit.setJson("/messages/-", { role: "user", content: "more" });
    edit.removeJson("/absent/deep");
    edit.prependSystem("first");
    edit.setMessageText(1, "changed");
    assert.throws(() => edit.setHeader("Authorization", "x"), HostError);
    assert.throws(() => edit.setJson("/a/b", 1), /nothing at/);
    assert.deepEqual(call.messages().map((one) => one.text), ["first", "changed", "more"]);
  });
  run.authorize();
  assert.deepEqual(run.seen.json(), { model: "n", temperature: 0.5, messages: [
    { role: "system", content: "first" }, { role: "user", content: "changed" }, { role: "user", content: "more" }] });
  assert.deepEqual(run.seen.headers, { "x-a": "1" });
});

test("the store and the clock last", () => {
  const seen = [];
  const run = host(() => seen.push([store.add("n", 2, { ttlMs: 1000 }), store.getText("n"), clock.now().getUTCHours()]));
  run.authorize();
  run.advance(0.5);
  run.authorize();
  run.advance(0.5);
  run.authorize();
  assert.deepEqual(seen, [[2, "2", 12], [4, "4", 12], [2, "2", 12]]);
});

test("the other imports", () => {
  const run = host(() => {
    log.warn("careful");
    metrics.count("n", 2, { kind: "a" });
    assert.deepEqual([secrets.get("token"), secrets.get("other")], ["s", undefined]);
    firewall.ban("192.0.2.9", 10, "why");
    assert.deepEqual([channels.label(1, "region"), channels.name(2)], ["eu", ""]);
    assert.equal(models.complete("judge", "ok?", 5).text, "judge says ok?");
    assert.throws(() => http.send("https://a.example/"), /not granted/);
  }, { secrets: { token: "s" }, channels: [{ name: "one", labels: { region: "eu" } }], models: (model, [first]) => `${model} says ${first.text}` });
  run.authorize();
  assert.deepEqual(run.seen.logs, [["warn", "careful"]]);
  assert.deepEqual(run.seen.metrics, [{ name: "n", value: 2, labels: { kind: "a" } }]);
  assert.deepEqual(run.seen.bans, [{ ip: "192.0.2.9", forMs: 10, reason: "why" }]);
});

test("streams and routes", () => {
  const hold = () => {
    const held = [];
    return { push: (event) => { held.push(event); return []; }, close: () => [textEvent("held: "), ...held] };
  };
  const policy = { open: (summary) => (summary.model === "gpt-4o" ? hold() : undefined), route: (_, all) => all.toReversed().map((one) => attempt(one.channel)) };
  const run = new Host(policy, {}, { channels: [{ name: "a" }, { name: "b" }] });
  assert.equal(run.stream(["a", "b"]), "held: ab");
  assert.equal(run.stream(["a", "b"], { model: "other" }), "ab");
  assert.deepEqual(run.route(), ["b", "a"]);
});

test("a configuration is refused", () => {
  assert.throws(() => new Host({ authorize() {} }, { a: 1 }), (error) => error instanceof ConfigError && error.errors[0] === "a: no such setting; there are: none");
});

test("what a component exports", () => {
  const run = host(() => {});
  const made = adapt({
    settings: s.object({ n: s.integer() }),
    authorize(summary, { n }) {
      if (summary.model === "bad") throw new Error("a mistake");
      throw Denial.tooMany("slow", "Wait.", n);
    },
    limits: (_, { n }) => [{ key: "k", unit: "requests", window: window.day(), limit: n }],
    open: (summary) => (summary.streaming ? { push: (event) => (event.val.text === "?" ? [textEvent("!")] : []) } : undefined),
  });
  const thrown = (run) => { try { run(); } catch (error) { return error; } };
  assert.deepEqual(thrown(() => made.lifecycle.init("{}")), ["n: must be set"]);
  made.lifecycle.init('{"n":5}');
  assert.deepEqual(thrown(() => made.access.authorize({ model: "m" })), { status: 429, code: "slow", message: "Wait.", retryAfterMs: 5 });
  assert.match(thrown(() => made.access.authorize({ model: "bad" })).message, /a mistake/);
  assert.match(run.seen.logs[0][1], /a mistake/);
  assert.equal(made.limit.limits({})[0].limit, 5);
  assert.equal(made.events.open(1, { streaming: true }), true);
  assert.equal(made.events.open(2, { streaming: false }), false);
  assert.deepEqual(made.events.push(1, textEvent("?")), { tag: "replace", val: [textEvent("!")] });
  assert.deepEqual(made.events.push(1, textEvent(".")), { tag: "drop" });
  assert.deepEqual(made.events.push(2, textEvent("?")), { tag: "pass" });
  assert.deepEqual(made.events.close(1), []);
});

test("the world of a policy", () => {
  assert.match(world(["limit"], ["weir:policy/log@0.2.0"]), /import weir:policy\/log@0.2.0;\n {2}export weir:policy\/lifecycle@.*\n {2}export weir:policy\/limit@/);
});
