// Finds out what a policy needs, bundles it, and makes the component. Runs in Node only.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { hooksOf } from "./policy.js";

const SDK = path.dirname(fileURLToPath(import.meta.url));
const WIT = path.join(SDK, "../bindings/policy.wit");
const TOOLS = {
  esbuild: "esbuild@0.28.2",
  "componentize-qjs": "componentize-qjs@0.4.5",
  "@bytecodealliance/componentize-js": "@bytecodealliance/componentize-js@0.23.0",
};

/** A sentence for the person at the terminal. */
export class Trouble extends Error {}

/** A tool is missing; the sentence says how to get it. */
export class Missing extends Trouble {}

const ENGINES = { quickjs: "componentize-qjs", starlingmonkey: "@bytecodealliance/componentize-js" };

/** Where a tool is: in the project's own packages or in those beside the SDK. */
function root(name, from) {
  for (const place of [process.env.WEIR_JS_TOOLS, from, SDK].filter(Boolean)) {
    for (let folder = path.resolve(place); ; folder = path.dirname(folder)) {
      const found = path.join(folder, "node_modules", name);
      if (fs.existsSync(path.join(found, "package.json"))) return found;
      if (folder === path.dirname(folder)) break;
    }
  }
  return undefined;
}

const lacks = (name) => `${name} is missing: npm install --save-dev ${TOOLS[name]}`;

async function tool(name, from) {
  const found = root(name, from);
  if (!found) throw new Missing(lacks(name));
  return import(pathToFileURL(path.join(found, entry(found))));
}

/** Throws where anything is missing that building with this engine needs; all of it is named. */
function check(engine, from) {
  if (!(engine in ENGINES)) throw new Trouble(`no engine is called ${engine}; there are: ${Object.keys(ENGINES).join(", ")}`);
  const missing = ["esbuild", ENGINES[engine]].filter((name) => !root(name, from));
  if (missing.length) throw new Missing(missing.map(lacks).join("\n"));
}

/** The file that a package is imported by. Node finds it only from a module beside the package. */
function entry(folder) {
  const about = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
  let found = about.exports?.["."] ?? about.exports ?? about.main ?? "index.js";
  while (typeof found === "object") found = found.import ?? found.node ?? found.default ?? about.main ?? "index.js";
  return found;
}

export function version() {
  const found = /^package weir:policy@(.*);$/m.exec(fs.readFileSync(WIT, "utf8"));
  if (!found) throw new Trouble(`${WIT}: no package weir:policy there`);
  return found[1];
}

/** The host's functions: left to the component, or (where it is only looked at) answered by the double. */
const plugin = (inComponent) => ({
  name: "weir",
  setup(build) {
    build.onResolve({ filter: /^weir-sdk(\/.*)?$/ }, ({ path: name }) => {
      const file = { "weir-sdk": "index.js", "weir-sdk/testing": "testing.js", "weir-sdk/glue": "glue.js" }[name];
      return file ? { path: path.join(SDK, file), sideEffects: false } : undefined;
    });
    build.onResolve({ filter: /^#host\// }, ({ path: name }) => {
      const own = name.slice("#host/".length);
      if (inComponent) return { path: `weir:policy/${own}@${version()}`, external: true };
      return { path: path.join(SDK, "double", `${own}.js`) };
    });
  },
});

async function bundle(entry, { from, inComponent, define = {}, platform = "neutral" }) {
  const esbuild = await tool("esbuild", from);
  const run = esbuild.build ?? esbuild.default.build;
  try {
    const made = await run({
      stdin: { contents: entry, resolveDir: from, sourcefile: "weir-entry.js" },
      bundle: true, write: false, format: "esm", target: "es2022", platform, metafile: true, define,
      mainFields: ["module", "main"], conditions: ["import"], plugins: [plugin(inComponent)], logLevel: "silent",
    });
    return made;
  } catch (error) {
    const told = (error.errors ?? []).map((one) => `${one.location ? `${one.location.file}:${one.location.line}: ` : ""}${one.text}`);
    throw new Trouble(told.join("\n") || error.message);
  }
}

/** Runs a bundle in this process. */
async function run(text, folder) {
  const file = path.join(folder, "run.mjs");
  fs.writeFileSync(file, text);
  return import(pathToFileURL(file));
}

/** What a policy's source needs: its hooks and its imports. */
export async function find(file) {
  const source = path.resolve(file);
  if (!fs.existsSync(source)) throw new Trouble(`${file}: no such file`);
  const from = path.dirname(source);
  const entry = `export { default } from ${JSON.stringify(source)};`;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "weir-"));
  try {
    const native = await bundle(entry, { from, inComponent: false });
    const policy = (await run(native.outputFiles[0].text, folder)).default;
    const hooks = hooksOf(policy);
    if (!hooks.length) throw new Trouble(`${file}: its default export must be a policy with at least one hook: export default definePolicy({ ... })`);
    return { source, from, hooks };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

export function world(hooks, imports) {
  const at = version();
  const lines = [`import weir:policy/types@${at};`, ...imports.map((one) => `import ${one};`)];
  lines.push(...["lifecycle", ...hooks].map((one) => `export weir:policy/${one}@${at};`));
  return `package weir:build;\nworld weir-policy {\n${lines.map((line) => `  ${line}\n`).join("")}}\n`;
}

/** Makes the component; `engine` is "quickjs" or "starlingmonkey". Returns hooks, imports, file and bytes. */
export async function build(file, { output, engine = "quickjs" } = {}) {
  check(engine, path.dirname(path.resolve(file)));
  const { source, from, hooks } = await find(file);
  const entry = [
    `import policy from ${JSON.stringify(source)};`,
    `import { adapt } from "weir-sdk/glue";`,
    "const made = adapt(policy);",
    ...["lifecycle", ...hooks].map((hook) => `export const ${hook} = made.${hook};`),
  ].join("\n");
  const define = { WEIR_BIGINT: String(engine === "starlingmonkey") };
  const made = await bundle(entry, { from, inComponent: true, define });
  const [out] = Object.values(made.metafile.outputs);
  const imports = [...new Set(out.imports.map((one) => one.path))].sort();
  const foreign = imports.filter((one) => !one.startsWith("weir:policy/"));
  if (foreign.length) throw new Trouble(`a policy cannot import ${foreign.join(", ")}: there is no Node.js in a component`);

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "weir-"));
  try {
    fs.mkdirSync(path.join(folder, "wit/deps/weir-policy"), { recursive: true });
    fs.copyFileSync(WIT, path.join(folder, "wit/deps/weir-policy/policy.wit"));
    fs.writeFileSync(path.join(folder, "wit/world.wit"), world(hooks, imports));
    const bytes = await componentize(engine, made.outputFiles[0].text, path.join(folder, "wit"), from);
    const target = path.resolve(output ?? source.replace(/\.[^.]*$/, ".wasm"));
    // Beside the target and then renamed, so that a gateway which watches it never sees half a file.
    fs.writeFileSync(`${target}.new`, bytes);
    fs.renameSync(`${target}.new`, target);
    return { hooks, imports: imports.map((one) => one.replace(/^weir:policy\/|@.*$/g, "")), file: target, bytes: bytes.length };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

async function componentize(engine, jsSource, witPath, from) {
  if (engine === "quickjs") {
    const qjs = await tool(ENGINES.quickjs, from);
    const run = qjs.componentize ?? qjs.default.componentize;
    return (await run({ jsSource, witPath, world: "weir-policy", stubWasi: true, sync: true })).component;
  }
  const { componentize: run } = await tool(ENGINES.starlingmonkey, from);
  const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
  return (await run(jsSource, { witPath, worldName: "weir-policy", disableFeatures })).component;
}

/** Bundles a test (TypeScript too) with the double and returns the text, for `node --test`. */
export async function bundleTest(file) {
  const source = path.resolve(file);
  const made = await bundle(`import ${JSON.stringify(source)};`, { from: path.dirname(source), inComponent: false, platform: "node" });
  return made.outputFiles[0].text;
}
