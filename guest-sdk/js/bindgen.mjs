#!/usr/bin/env node
// Makes bindings/ (types for editors, and a copy of the interface) from the interface; with --check, fails where they are stale.
// Needs jco: npm install (in this folder).
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const need = createRequire(path.join(process.env.WEIR_JS_TOOLS ?? here, "package.json"));
let types;
try {
  // By source, not by path: on Node 20 jco's own command line does not find files (1.35.0).
  const jco = createRequire(need.resolve("@bytecodealliance/jco"));
  const transpile = path.dirname(path.dirname(jco.resolve("@bytecodealliance/jco-transpile")));
  const made = await import(pathToFileURL(path.join(transpile, "vendor/js-component-bindgen-component.js")));
  await made.$init;
  types = made.generateTypes("policy", {
    wit: { tag: "source", val: fs.readFileSync(path.join(here, "wit/policy.wit"), "utf8") },
    world: "policy", tlaCompat: false, features: { tag: "all" }, guest: true,
  });
} catch (error) {
  console.error(`jco is missing or of another version (${error.message}): npm install in guest-sdk/js`);
  process.exit(2);
}

const wanted = new Map();
for (const [name, bytes] of types) {
  if (!name.startsWith("interfaces/")) continue;
  // The SDK takes and gives plain numbers (no number of the interface needs more than 53 bits), and the
  // build puts the version of the interface in.
  const text = Buffer.from(bytes).toString().replace(/\bbigint\b/g, "number").replace("./weir-policy-types.d.ts", "./types.d.ts").replace(/(weir:policy\/[a-z]+)@[0-9.]+/g, "$1");
  wanted.set(name.replace("interfaces/weir-policy-", ""), text);
}
// npm leaves links out of packages, and the build needs the interface itself.
wanted.set("policy.wit", fs.readFileSync(path.join(here, "wit/policy.wit"), "utf8"));
const folder = path.join(here, "bindings");
const there = new Set(fs.existsSync(folder) ? fs.readdirSync(folder) : []);
if (process.argv.includes("--check")) {
  const stale = [...wanted].some(([name, text]) => !there.has(name) || fs.readFileSync(path.join(folder, name), "utf8") !== text);
  if (stale || there.size !== wanted.size) {
    console.error("stale: run guest-sdk/js/bindgen.mjs");
    process.exit(1);
  }
} else {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder);
  for (const [name, text] of wanted) fs.writeFileSync(path.join(folder, name), text);
}
