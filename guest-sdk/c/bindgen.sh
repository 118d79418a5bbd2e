#!/bin/sh
# Makes bindings/ from the interface; with --check, fails where they are stale.
# Needs wit-bindgen 0.61.1: cargo install wit-bindgen-cli --version 0.61.1 --locked
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tool=${WIT_BINDGEN:-wit-bindgen}
command -v "$tool" >/dev/null 2>&1 || {
    echo "wit-bindgen is missing: cargo install wit-bindgen-cli --version 0.61.1 --locked" >&2; exit 2; }
case $("$tool" --version) in *" 0.61.1") ;; *)
    echo "wit-bindgen must be 0.61.1: cargo install wit-bindgen-cli --version 0.61.1 --locked" >&2; exit 2;; esac
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$tool" c "$here/wit" --world policy --rename-world weir --out-dir "$work" >/dev/null 2>&1
# The description of the world: build.sh embeds the one that fits the policy's own hooks instead.
rm -f "$work"/*.o
if [ "${1-}" = --check ]; then
    diff -r -q "$work" "$here/bindings" || { echo "stale: run guest-sdk/c/bindgen.sh" >&2; exit 1; }
else
    rm -rf "$here/bindings"; mkdir "$here/bindings"; cp "$work"/* "$here/bindings/"
fi
