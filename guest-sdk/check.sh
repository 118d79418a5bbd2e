#!/bin/sh
# The checks of the SDKs that need no cargo: bindings as the interface has them, the native tests of each
# language and of its policies in examples/, and the types that TypeScript sees. The tools are those of
# tools.sh and of the machine. What cannot run here is named, and ends it with 2; a failure ends it with 1.
# `check.sh c go` runs only these.
set -u
here=$(cd "$(dirname "$0")" && pwd)
example=$here/../examples/polyglot
tools=${WEIR_SDK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/sdk/lang}
# shellcheck disable=SC1091
[ ! -f "$tools/env.sh" ] || . "$tools/env.sh"
python=${PYTHON:-python3}
export PYTHONPATH="$here/python${PYTHONPATH:+:$PYTHONPATH}"
ended=0

run() { # what, then the command
    what=$1; shift
    if log=$("$@" 2>&1); then echo "ok       $what"; return; else code=$?; fi
    if [ $code = 2 ]; then
        echo "missing  $what: $log"; [ $ended = 0 ] && ended=2
    else
        echo "FAILED   $what"; echo "$log" | tail -n 40; ended=1
    fi
}
within() { cd "$1" && shift && "$@"; }
tool() { command -v "$1" >/dev/null 2>&1 || { echo "$1 is missing" >&2; return 2; }; }
with() { tool "$1" && shift && "$@"; }

check_c() {
    run "c: bindings" "$here/c/bindgen.sh" --check
    run "c: sdk" "$here/c/testing/run.sh" "$here/c/tests/policy.c" "$here/c/tests/test.c" -fsanitize=address,undefined
    run "c: example" "$here/c/testing/run.sh" "$example/c/guard.c" "$example/c/test.c" -fsanitize=address,undefined
    run "c: canary" "$here/c/testing/run.sh" "$here/../examples/canary/canary.c" "$here/../examples/canary/test.c" \
        -fsanitize=address,undefined
}
check_go() {
    run "go: bindings" "$here/go/bindgen.sh" --check
    run "go: sdk" within "$here/go" with go go test ./weirtest
    run "go: example" within "$example/go" with go go test .
    run "go: cost-aware" within "$here/../examples/cost-aware" with go go test .
    run "go: reply-schema" within "$here/../examples/reply-schema" with go go test .
}
check_js() {
    run "js: bindings" with node node "$here/js/bindgen.mjs" --check
    run "js: sdk" within "$here/js" with node sh -c 'node --test tests/*.test.js'
    run "js: example" with node node "$here/js/src/cli.js" test "$example/js/guard.test.ts"
    run "js: prompt-screen, eu-only" with node node "$here/js/src/cli.js" test \
        "$here/../examples/prompt-screen/policy.test.js" "$here/../examples/eu-only/policy.test.ts"
    run "js: types" within "$here/js" with node types
}
# Of the SDK's face and of the policies in TypeScript that use it.
types() {
    for place in "${WEIR_JS_TOOLS:-.}" .; do
        [ -f "$place/node_modules/typescript/bin/tsc" ] && { node "$place/node_modules/typescript/bin/tsc" -p tsconfig.json; return; }
    done
    echo "typescript is missing: guest-sdk/tools.sh js, or npm install in guest-sdk/js"; return 2
}
pytest() {
    "$python" -c 'import pytest' 2>/dev/null || { echo "pytest is missing: $python -m pip install pytest"; return 2; }
    "$python" -m pytest -q -p no:cacheprovider
}
zoned() {
    "$python" -c 'import tzdata' 2>/dev/null || { echo "tzdata is missing: $python -m pip install tzdata"; return 2; }
    pytest
}
check_python() {
    run "python: bindings" "$here/python/bindgen.sh" --check
    run "python: sdk" within "$here/python" pytest
    run "python: example" within "$example/python" pytest
    run "python: business-hours" within "$here/../examples/business-hours" zoned
}

[ $# -gt 0 ] || set -- c go js python
for language in "$@"; do
    case $language in
        c | go | js | python) "check_$language" ;;
        *) echo "check.sh: no language is called $language: c, go, js, python" >&2; exit 1 ;;
    esac
done
exit $ended
