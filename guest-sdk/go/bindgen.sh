#!/bin/sh
# Makes internal/bindings from the interface; with --check, fails where they are stale.
# Needs wit-bindgen 0.61.1: cargo install wit-bindgen-cli --version 0.61.1 --locked
# Its Go code is made for exactly the runtime package of go.mod, go.bytecodealliance.org/pkg v0.2.3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tool=${WIT_BINDGEN:-wit-bindgen}
command -v "$tool" >/dev/null 2>&1 || {
    echo "wit-bindgen is missing: cargo install wit-bindgen-cli --version 0.61.1 --locked" >&2; exit 2; }
case $("$tool" --version) in *" 0.61.1") ;; *)
    echo "wit-bindgen must be 0.61.1: cargo install wit-bindgen-cli --version 0.61.1 --locked" >&2; exit 2;; esac
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$tool" go "$here/wit" --world policy --pkg-name weir/sdk/internal/bindings \
    --export-pkg-name weir/sdk/internal/exports --out-dir "$work" >/dev/null 2>&1
if [ "${1-}" = --check ]; then
    diff -r -q "$work" "$here/internal/bindings" || { echo "stale: run guest-sdk/go/bindgen.sh" >&2; exit 1; }
else
    rm -rf "$here/internal/bindings"; mkdir -p "$here/internal"; cp -r "$work" "$here/internal/bindings"
fi
