#!/usr/bin/env node
// `weir-policy-js build FILE`: from a policy to a component. `weir-policy-js test FILE...`: its tests.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { build, bundleTest, Missing, Trouble } from "./build.js";

const USAGE = `usage: weir-policy-js build FILE [-o FILE.wasm] [--engine quickjs|starlingmonkey]
       weir-policy-js test FILE...`;

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { output: { type: "string", short: "o" }, engine: { type: "string" } },
  });
  const [command, ...files] = positionals;
  if (command === "build" && files.length === 1) {
    const made = await build(files[0], values);
    console.log(`hooks: ${made.hooks.join(", ")}; imports: ${made.imports.join(", ")}`);
    console.log(`${made.file}: ${made.bytes} bytes`);
    return 0;
  }
  if (command === "test" && files.length > 0) return test(files);
  throw new Trouble(USAGE);
}

async function test(files) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "weir-"));
  try {
    for (const [at, file] of files.entries()) fs.writeFileSync(path.join(folder, `${at}.test.mjs`), await bundleTest(file));
    const ran = spawnSync(process.execPath, ["--test", ...files.map((_, at) => path.join(folder, `${at}.test.mjs`))], { stdio: "inherit" });
    return ran.status ?? 1;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Trouble) && error.code !== "ERR_PARSE_ARGS_UNKNOWN_OPTION") throw error;
  console.error(`weir-policy-js: ${error.message}`);
  process.exitCode = error instanceof Missing ? 2 : 1;
}
