import assert from "node:assert/strict";
import { test } from "node:test";
import { Denial } from "weir-sdk";
import { ConfigError, Host, type Call } from "weir-sdk/testing";

import policy from "./policy";

const CHANNELS = [
  { name: "us", labels: { region: "us-east-1" } },
  { name: "paris", labels: { region: "eu-west-3" } },
  { name: "nowhere" },
  { name: "berlin", labels: { region: "eu" } },
];
const EU: Call = { labels: { "data-residency": "eu" } };
const host = (config = {}) => new Host(policy, config, { channels: CHANNELS });
const denied = (code: string) => (error: unknown) => error instanceof Denial && error.status === 403 && error.code === code;
const body = (more: object): Call => ({ ...EU, body: { model: "gpt-4o", messages: [], ...more } });

test("a labelled key's calls go to channels of its region, in the order in which they came", () => {
  assert.deepEqual(host().route(EU), ["paris", "berlin"]);
  assert.deepEqual(host().route(), ["us", "paris", "nowhere", "berlin"]);
  assert.deepEqual(host({ residencies: { eu: ["eu"] } }).route(EU), ["berlin"]);
  assert.throws(() => host({ residencies: { eu: ["ch"] } }).route(EU), denied("no_channel_in_region"));
});

test("keys without a label go anywhere, stay in a region, or are refused", () => {
  assert.deepEqual(host({ unlabelled: "eu" }).route(), ["paris", "berlin"]);
  assert.throws(() => host({ unlabelled: "refuse" }).rewrite(), denied("residency_unknown"));
  // A slip in a label lets nothing out.
  assert.throws(() => host().rewrite({ labels: { "data-residency": "EU" } }), denied("residency_unknown"));
});

test("what policies ask stays in every region at once, unless it may go elsewhere", () => {
  const question = { key: "policy:prompt-screen", tenant: "policies" };
  const residencies = { eu: ["eu", "eu-*"], france: ["eu-west-3"] };
  assert.deepEqual(host({ residencies }).route(question), ["paris"]);
  assert.deepEqual(host({ residencies, policy_questions: "eu" }).route(question), ["paris", "berlin"]);
  assert.equal(host({ residencies, policy_questions: "any" }).route(question).length, 4);
});

test("hosted tools are refused", () => {
  host().rewrite(body({ tools: [{ type: "function", function: { name: "web_search" } }, { name: "lookup", input_schema: {} }] }));
  for (const more of [
    { tools: [{ type: "web_search_preview" }] }, { tools: [{ type: "web_search_20250305", name: "web_search" }] },
    { tools: [{ type: "mcp", server_url: "https://example.com" }] }, { tools: [{ functionDeclarations: [] }, { googleSearch: {} }] },
    { web_search_options: {} }, { mcp_servers: [] },
  ]) {
    assert.throws(() => host().rewrite(body(more)), denied("would_leave_region"), JSON.stringify(more));
    host().rewrite({ ...body(more), labels: {} });
    host({ hosted_tools: "allow" }).rewrite(body(more));
  }
  assert.throws(() => host().rewrite({ ...EU, model: "gpt-4o-search-preview" }), denied("would_leave_region"));
  assert.throws(() => host().rewrite({ ...EU, headers: { "x-weir-channel": "us" } }), denied("channel_forced"));
});

test("hosted tools are taken out", () => {
  const removed = (more: object) => {
    const { model, messages, ...rest } = host({ hosted_tools: "remove" }).rewrite(body(more)).json();
    return rest;
  };
  const own = { type: "function", name: "mine" };
  assert.deepEqual(removed({ tools: [{ type: "web_search" }, own, { type: "mcp" }], tool_choice: "auto" }), { tools: [own], tool_choice: "auto" });
  assert.deepEqual(removed({ tools: [own, { type: "web_search" }], tool_choice: { type: "web_search" } }), { tools: [own] });
  const anthropic = { type: "web_fetch_20250910", name: "web_fetch" };
  assert.deepEqual(removed({ tools: [anthropic, own], tool_choice: { type: "tool", name: "web_fetch" } }), { tools: [own] });
  assert.deepEqual(removed({ tools: [anthropic], tool_choice: { type: "any" }, mcp_servers: [1] }), {});
  const gemini = [{ google_search: {}, functionDeclarations: [] }, { urlContext: {}, googleSearch: {} }];
  assert.deepEqual(removed({ tools: gemini }), { tools: [{ functionDeclarations: [] }] });
  assert.throws(() => host({ hosted_tools: "remove" }).rewrite({ ...EU, model: "gpt-4o:online" }), denied("would_leave_region"));
});

test("mistakes in the configuration", () => {
  for (const [config, error] of [
    [{ residencies: {} }, "residencies: is empty, so no key could be kept anywhere"],
    [{ residencies: { eu: [] } }, "residencies.eu: is empty, so no channel would ever do"],
    [{ residencies: { eu: ["*"] } }, 'residencies.eu: "*" would keep calls nowhere; leave the residency out'],
    [{ residencies: { any: ["eu"] } }, 'residencies: "any" cannot be a residency\'s name'],
    [{ unlabelled: "ue" }, 'unlabelled: must be one of eu, any, refuse, not "ue"'],
    [{ policy_questions: "ue" }, 'policy_questions: must be one of eu, any, all, not "ue"'],
    [{ hosted_tools: "drop" }, 'hosted_tools: must be one of refuse, remove, allow, not "drop"'],
  ] as const) {
    assert.throws(() => host(config), (thrown) => thrown instanceof ConfigError && thrown.errors.join() === error, error);
  }
});
