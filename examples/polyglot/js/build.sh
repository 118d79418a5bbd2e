#!/bin/sh
# Makes guard.wasm of guard.ts. Needs Node.js 20 or newer, and `npm install` in guest-sdk/js.
set -eu
cd "$(dirname "$0")"
command -v node >/dev/null || { echo "Node.js is missing: https://nodejs.org, or apt-get install nodejs npm" >&2; exit 2; }
exec node ../../../guest-sdk/js/src/cli.js build guard.ts -o "${1:-guard.wasm}" ${ENGINE:+--engine "$ENGINE"}
