// Keeps the calls of some keys in some regions: where they are sent, and what would be sent on from there.
import { Denial, call, channels, definePolicy, edit, matches, metrics, settings as s } from "weir-sdk";
import type { Candidate, Summary } from "weir-sdk";

/** What the settings say in place of a residency's name. */
const ANY = "any", REFUSE = "refuse", ALL = "all";

/** The calls of a residency go to channels whose region fits one of its patterns; where there are several, one of each. */
interface Residency {
  name: string;
  regions: string[][];
}

const patterns = s.list(s.text());

const settings = s.object({
  label: s.text().default("data-residency"),
  region_label: s.text().default("region"),
  residencies: s.map(patterns).default(new Map([["eu", ["eu", "eu-*"]]])),
  unlabelled: s.text().default(ANY),
  policy_questions: s.text().default(ALL),
  hosted_tools: s.oneOf("refuse", "remove", "allow").default("refuse"),
  tools_that_leave: patterns.default(["web_search*", "web_fetch*", "x_search*", "mcp*", "google_search*", "google_maps*", "url_context*"]),
  fields_that_leave: patterns.default(["web_search_options", "search_parameters", "mcp_servers", "plugins"]),
  models_that_leave: patterns.default(["*-search-preview*", "*-search-api*", "*:online"]),
}).map((read) => {
  const names = [...read.residencies.keys()];
  if (!names.length) throw new Error("residencies: is empty, so no key could be kept anywhere");
  for (const [name, regions] of read.residencies) {
    if ([ANY, REFUSE, ALL, ""].includes(name)) throw new Error(`residencies: ${JSON.stringify(name)} cannot be a residency's name`);
    if (!regions.length) throw new Error(`residencies.${name}: is empty, so no channel would ever do`);
    if (regions.includes("*")) throw new Error(`residencies.${name}: "*" would keep calls nowhere; leave the residency out`);
  }
  const unlabelled = [...names, ANY, REFUSE];
  if (!unlabelled.includes(read.unlabelled)) throw new Error(`unlabelled: must be one of ${unlabelled.join(", ")}, not ${JSON.stringify(read.unlabelled)}`);
  const questions = [...names, ANY, ALL];
  if (!questions.includes(read.policy_questions)) throw new Error(`policy_questions: must be one of ${questions.join(", ")}, not ${JSON.stringify(read.policy_questions)}`);
  return read;
});

type Settings = s.Of<typeof settings>;

export default definePolicy({
  settings,

  rewrite(summary, settings) {
    const residency = residencyOf(settings);
    if (!residency) return;
    // Whoever may name a channel may name one elsewhere, and no policy is asked about it.
    if (call.header("x-weir-channel") !== undefined) {
      throw Denial.forbidden("channel_forced", "`x-weir-channel` cannot be used with a key whose calls stay in a region; leave it out.");
    }
    if (settings.hosted_tools !== "allow") keepIn(summary, residency, settings);
  },

  route(summary, candidates, settings) {
    const residency = residencyOf(settings);
    // In the order in which they came: what the policies before this one put first stays first.
    const there = residency ? candidates.filter((one) => isIn(one, residency, settings.region_label)) : candidates;
    if (residency && !there.length) {
      const model = summary.model ? `the model \`${summary.model}\`` : "this";
      throw Denial.forbidden("no_channel_in_region", `No channel in the region ${residency.name} serves ${model}; ask for another one, or the operator.`);
    }
    return there.map(({ channel }) => ({ channel }));
  },
});

/** Where the call has to stay; undefined where it may go anywhere. */
function residencyOf({ label, residencies, unlabelled, policy_questions }: Settings): Residency | undefined {
  const named = (name: string): Residency => ({ name, regions: [residencies.get(name) ?? []] });
  // A policy's question may repeat what any caller said, and is nobody's key: no label says where it may go.
  if (call.key().startsWith("policy:")) {
    if (policy_questions === ALL) return { name: [...residencies.keys()].join(" and "), regions: [...residencies.values()] };
    return policy_questions === ANY ? undefined : named(policy_questions);
  }
  const name = call.label(label);
  if (name !== undefined && residencies.has(name)) return named(name);
  if (name === undefined && unlabelled !== REFUSE) return unlabelled === ANY ? undefined : named(unlabelled);
  // A slip in a label must not let out what it was meant to keep in.
  const why = name === undefined ? `has no label \`${label}\`` : `has the label \`${label}\` with a value that is not known here`;
  throw Denial.forbidden("residency_unknown", `This key ${why}, so that nobody can say where its calls may go; ask the operator.`);
}

/** The regions of channels by their numbers, which never become another channel's. */
const regions = new Map<number, string>();

function isIn({ channel }: Candidate, residency: Residency, label: string): boolean {
  let region = regions.get(channel);
  if (region === undefined) {
    // Settings that change make new numbers; the old ones are of no use any more.
    if (regions.size >= 1_000) regions.clear();
    region = channels.label(channel, label) ?? "";
    regions.set(channel, region);
  }
  return region !== "" && residency.regions.every((fit) => fitsOne(fit, region));
}

/** Refuses, or takes out, what makes a provider send parts of a call to somebody else: searches, pages, other servers. */
function keepIn(summary: Summary, residency: Residency, settings: Settings): void {
  const { hosted_tools, tools_that_leave, fields_that_leave, models_that_leave } = settings;
  const refuse = (what: string) => {
    throw Denial.forbidden("would_leave_region", `${what} would send parts of this call out of the region ${residency.name}; leave it out.`);
  };
  // Nothing could be taken out of such a model.
  if (fitsOne(models_that_leave, summary.model)) refuse(`The model \`${summary.model}\``);
  const fields = fields_that_leave.filter((field) => call.json(`/${field}`) !== undefined);
  const tools = hostedTools(tools_that_leave);
  if (hosted_tools === "refuse") {
    if (fields.length) refuse(`\`${fields[0]}\``);
    if (tools.length) refuse(`The tool \`${tools[0].kind}\``);
    return;
  }
  for (const field of fields) edit.removeJson(`/${field}`);
  if (tools.length) removeTools(tools, tools_that_leave);
}

interface Hosted {
  kind: string;
  /** Its place in `tools`, and in Gemini's dialect, where one tool can be several, its name in there. */
  at: number;
  part?: string;
  name?: unknown;
}

function hostedTools(leaving: string[]): Hosted[] {
  const tools = call.json("/tools");
  if (!Array.isArray(tools)) return [];
  return tools.flatMap((tool, at): Hosted[] => {
    if (typeof tool !== "object" || tool === null) return [];
    if (typeof tool.type === "string") return [{ kind: tool.type, at, name: tool.name }];
    return Object.keys(tool).map((part) => ({ kind: snakeCase(part), at, part }));
  }).filter((tool) => fitsOne(leaving, tool.kind));
}

function removeTools(hosted: Hosted[], leaving: string[]): void {
  // From the last to the first, so that the places of the others stay as they are.
  for (const { at, part } of [...hosted].reverse()) {
    edit.removeJson(part === undefined ? `/tools/${at}` : `/tools/${at}/${part}`);
    if (part !== undefined && Object.keys(call.json(`/tools/${at}`)).length === 0) edit.removeJson(`/tools/${at}`);
  }
  const left: unknown[] = call.json("/tools");
  const choice = call.json("/tool_choice");
  const names = hosted.map((tool) => tool.name).filter((name) => name !== undefined);
  const isGone = typeof choice === "object" && choice !== null && (fitsOne(leaving, String(choice.type)) || names.includes(choice.name));
  if (!left.length) edit.removeJson("/tools");
  if (isGone || !left.length) edit.removeJson("/tool_choice");
  metrics.count("tools_removed", hosted.length);
}

const fitsOne = (fit: string[], text: string) => fit.some((pattern) => matches(pattern, text));
const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
