#!/bin/sh
# Makes a component of each language's policy in this folder with that language's public tools and wit/, and
# with nothing of guest-sdk (whose tools.sh may have fetched those tools):
#
#   tests/bare/build.sh rust c go js python      or some of them
#
# They end up in ${CARGO_TARGET_DIR:-target}/policies/bare-<language>.wasm, and are left as they are while neither
# the sources nor this file changed. What cannot be built here is named, and ends it with 2; a failure ends it with 1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
out=$target/policies
wit=$root/wit/0.2/policy.wit
tools=${WEIR_SDK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/sdk/lang}
# shellcheck disable=SC1091
[ ! -f "$tools/env.sh" ] || . "$tools/env.sh"
python=${PYTHON:-python3}

missing() { echo "bare: $language: $*" >&2; exit 2; }
tool() { command -v "$1" >/dev/null 2>&1 || missing "$1 is missing: $2"; }
wit_bindgen() {
    tool wit-bindgen "cargo install wit-bindgen-cli --version 0.61.1 --locked, or guest-sdk/tools.sh bindings"
    wit-bindgen "$1" "$work/wit" --world bare --out-dir "$2" $3 >"$work/log" 2>&1 || fail
}
fail() { cat "$work/log" >&2; echo "bare: $language: failed" >&2; exit 1; }
run() { "$@" >"$work/log" 2>&1 || fail; }

# The world in which all of them live: a package of its own that uses weir:policy.
world() {
    mkdir -p "$work/wit/deps/weir-policy"
    cp "$here/world.wit" "$work/wit/"
    cp "$wit" "$work/wit/deps/weir-policy/"
}

# A component of a core module that says what world it is of (wit-bindgen's macro and C linker input do), or is
# told it here, with the adapter of WASI's preview 1 where its language's library calls that.
component() {
    tool wasm-tools "guest-sdk/tools.sh c, or cargo install --locked wasm-tools"
    run wasm-tools component new "$@" -o "$work/made.wasm"
}
adapter() {
    # It comes with jco, and with the crates that Weir is built with.
    for one in "${WEIR_JS_TOOLS:-/nowhere}/node_modules/@bytecodealliance/jco/lib/wasi_snapshot_preview1.reactor.wasm" \
        "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/wasi-preview1-component-adapter-provider-*/artefacts/wasi_snapshot_preview1.reactor.wasm; do
        [ -f "$one" ] && { echo "$one"; return; }
    done
    missing "wasi_snapshot_preview1.reactor.wasm is missing: it is in npm's @bytecodealliance/jco"
}

build_rust() {
    run "$root/policies/build.sh" bare-policy
    component "$out/bare-policy.wasm"
}
build_c() {
    wit_bindgen c "$work/c" ""
    if command -v zig >/dev/null 2>&1; then cc="zig cc"
    elif "$python" -c 'import ziglang' 2>/dev/null; then cc="$python -m ziglang cc"
    elif [ -x "${WASI_SDK_PATH:-/nowhere}/bin/clang" ]; then cc=$WASI_SDK_PATH/bin/clang
    else missing "a C compiler for WebAssembly is missing: guest-sdk/tools.sh c"
    fi
    # shellcheck disable=SC2086
    run $cc --target=wasm32-wasi -mexec-model=reactor -Os -s -Wl,-z,stack-size=65536 -I"$work/c" \
        -o "$work/core.wasm" "$here/c/policy.c" "$work/c/bare.c" "$work/c/bare_component_type.o"
    component "$work/core.wasm" --adapt "wasi_snapshot_preview1=$(adapter)"
}
build_go() {
    tool go "https://go.dev/dl, or guest-sdk/tools.sh go"
    cp -r "$here/go" "$work/go"
    wit_bindgen go "$work/go" "--pkg-name bare --export-pkg-name bare"
    # checklinkname: the runtime of the bindings needs memory before Go's own runtime is up.
    run env -C "$work/go" GOOS=wasip1 GOARCH=wasm GOFLAGS=-mod=mod \
        go build -trimpath -buildmode=c-shared -ldflags="-checklinkname=0 -s -w" -o "$work/core.wasm" .
    tool wasm-tools "guest-sdk/tools.sh go, or cargo install --locked wasm-tools"
    run wasm-tools component embed --world bare "$work/wit" "$work/core.wasm" -o "$work/embedded.wasm"
    component "$work/embedded.wasm" --adapt "wasi_snapshot_preview1=$(adapter)"
}
build_js() {
    tool node "https://nodejs.org, 20 or newer"
    cli=${WEIR_JS_TOOLS:-/nowhere}/node_modules/componentize-qjs/cli.mjs
    [ -f "$cli" ] || missing "componentize-qjs is missing: guest-sdk/tools.sh js"
    run node "$cli" --sync --stub-wasi --wit "$work/wit" --world bare --js "$here/js/policy.js" --output "$work/made.wasm"
}
build_python() {
    tool componentize-py "python3 -m pip install componentize-py==0.25.1, or guest-sdk/tools.sh python"
    # A copy, because the tool leaves bytecode beside the source.
    cp -r "$here/python" "$work/python"
    run componentize-py -q -d "$work/wit" -w bare componentize --stub-wasi -p "$work/python" policy -o "$work/made.wasm"
}

one() {
    made=$out/bare-$language.wasm
    sources=$(find "$here/$language" -type f ! -name '*.pyc' | LC_ALL=C sort)
    # shellcheck disable=SC2086
    digest=$(cat $sources "$here/build.sh" "$here/world.wit" "$wit" | sha256sum | cut -c1-16)
    if [ -f "$made" ] && [ "$(cat "$made.of" 2>/dev/null)" = "$digest" ]; then return; fi
    work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
    mkdir -p "$out"
    world
    "build_$language"
    mv "$work/made.wasm" "$made.new"
    mv "$made.new" "$made"
    echo "$digest" > "$made.of"
    echo "bare: $language: $(wc -c < "$made") bytes"
}

if [ "${1-}" = --one ]; then language=$2; one; exit; fi
[ $# -gt 0 ] || set -- rust c go js python
ended=0
for language in "$@"; do
    case $language in rust | c | go | js | python) ;; *)
        echo "bare: there is no $language: rust, c, go, js, python" >&2; exit 1 ;;
    esac
    # A shell of its own, so that one language's end is not that of the others.
    "$0" --one "$language" && continue || code=$?
    if [ $code != 2 ]; then ended=1; elif [ $ended = 0 ]; then ended=2; fi
done
exit $ended
