#!/bin/sh
# Makes guard.wasm of src/lib.rs, in whichever way this machine can compile to WebAssembly.
set -eu
cd "$(dirname "$0")"
../../../policies/build.sh polyglot-guard
cp "${CARGO_TARGET_DIR:-../../../target}/policies/polyglot-guard.wasm" "${1:-guard.wasm}"
