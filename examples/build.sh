#!/bin/sh
# Builds the examples in other languages than Rust and leaves them in ${CARGO_TARGET_DIR:-target}/policies/<name>.wasm.
#
#   examples/build.sh              all of them: those with a policy.toml, and polyglot's (polyglot-guard-c, -go, -js, -python)
#   examples/build.sh eu-only …    these
#
# Each is built by its SDK's own tool (guest-sdk/<language>), and only when its sources, the SDK or wit/ changed since.
# The tools are those of guest-sdk/tools.sh, or the machine's own. What cannot be built because a tool is missing is
# named and skipped; with CI=true that is a failure. Safe to run at any time, also twice.
set -eu

here=$PWD
root=$(cd "$(dirname "$0")/.." && pwd)
out_base=${CARGO_TARGET_DIR:-$root/target}
case $out_base in /*) ;; *) out_base=$here/$out_base ;; esac
made=$out_base/policies
kept=$out_base/examples
sdk=$root/guest-sdk
mkdir -p "$made" "$kept"

tools=${WEIR_SDK_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/weir/sdk/lang}
# shellcheck disable=SC1091
[ ! -f "$tools/env.sh" ] || . "$tools/env.sh"
[ -n "${WEIR_JS_TOOLS:-}" ] || [ ! -d "$tools/js/node_modules" ] || export WEIR_JS_TOOLS="$tools/js"
python=${PYTHON:-python3}

say() { echo "examples: $*"; }
has() { command -v "$1" >/dev/null 2>&1; }
lacks() { echo "$*" >&2; return 2; }

# A value of a policy.toml: settings FILE NAME
setting() { sed -n "s/^$2 *= *\"\(.*\)\".*/\1/p" "$1"; }

# What a build depends on, as one digest. Tests, cases and texts do not change a component.
digest() { # language folder
    case $1 in ts) language=js ;; *) language=$1 ;; esac
    {
        cat "$root/examples/build.sh" "$root"/wit/*/policy.wit
        for folder in "$2" "$sdk/$language"; do
            find "$folder" \( -name node_modules -o -name __pycache__ -o -name cases -o -name tests -o -name build -o -name '.*' \) -prune -o \
                -type f ! -name '*.wasm' ! -name '*.md' ! -name '*.yaml' ! -name gateway.toml ! -name 'test*' ! -name '*.test.*' ! -name '*_test.go' \
                -print | LC_ALL=C sort | while read -r file; do echo "$file"; cat "$file"; done
        done
    } | sha256sum | cut -d' ' -f1
}

# What a Python policy needs from PyPI, in a folder that this prints.
packages() { # requirements.txt
    [ -f "$1" ] || return 0
    folder=$kept/python-$(sha256sum "$1" | cut -c1-16)
    if [ ! -d "$folder" ]; then
        rm -rf "$folder.new"
        "$python" -m pip install --quiet --disable-pip-version-check --target "$folder.new" -r "$1" >&2 ||
            lacks "PyPI did not give what $1 names" || return
        mv "$folder.new" "$folder"
    fi
    echo "$folder"
}

# Ends with 2 where a tool is missing, and says which.
build() { # language folder entry file
    case $1 in
        python)
            has "$python" || lacks "Python 3.11 or newer is missing: https://www.python.org/downloads" || return
            more=$(packages "$2/requirements.txt") || return
            PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$sdk/python${more:+:$more}${PYTHONPATH:+:$PYTHONPATH} \
                nice -n 10 "$python" -m weir_sdk build "$2/$3" -o "$4" ;;
        js | ts)
            has node || lacks "Node.js 20 or newer is missing: https://nodejs.org" || return
            nice -n 10 node "$sdk/js/src/cli.js" build "$2/$3" -o "$4" ;;
        go) nice -n 10 "$sdk/go/build.sh" -o "$4" "$2" ;;
        c) nice -n 10 "$sdk/c/build.sh" -o "$4" "$2/$3" ;;
        *) echo "there is no language $1" >&2; return 1 ;;
    esac
}

built=0 same=0 missing=
one() { # name language folder entry
    now=$(digest "$2" "$3")
    if [ -f "$made/$1.wasm" ] && [ "$(cat "$kept/$1.digest" 2>/dev/null)" = "$now" ]; then same=$((same + 1)); return; fi
    if build "$2" "$3" "$4" "$made/$1.wasm" >"$kept/$1.log" 2>"$kept/$1.err"; then
        echo "$now" > "$kept/$1.digest"
        built=$((built + 1))
        say "$1 ($2): $(wc -c < "$made/$1.wasm" | tr -d ' ') bytes"
    elif [ $? = 2 ]; then
        missing="$missing $1"
        # A component of older sources would be tested as if it were this one's.
        rm -f "$made/$1.wasm" "$kept/$1.digest"
        say "SKIPPED $1 ($2): $(tail -n 1 "$kept/$1.err")"
    else
        say "$1 ($2) does not build:" >&2
        cat "$kept/$1.log" "$kept/$1.err" | tail -n 40 >&2
        exit 1
    fi
}

wanted=" $* "
is_wanted() { [ "$wanted" = "  " ] || case $wanted in *" $1 "*) ;; *) return 1 ;; esac; }

cd "$root/examples"
known=
for file in */policy.toml; do
    folder=$root/examples/${file%/policy.toml}
    name=$(setting "$file" name) language=$(setting "$file" language)
    # Those in Rust are crates of the workspace: policies/build.sh builds them.
    [ "$language" != rust ] || continue
    known="$known $name"
    if is_wanted "$name"; then one "$name" "$language" "$folder" "$(setting "$file" entry)"; fi
done
for pair in c:guard.c go:guard.go js:guard.ts python:guard.py; do
    language=${pair%%:*}
    known="$known polyglot-guard-$language"
    if is_wanted "polyglot-guard-$language"; then one "polyglot-guard-$language" "$language" "$root/examples/polyglot/$language" "${pair#*:}"; fi
done
for name in "$@"; do
    case " $known " in *" $name "*) ;; *) say "there is no example $name:$known" >&2; exit 1 ;; esac
done

say "$built built, $same as they were${missing:+, without$missing (guest-sdk/tools.sh gets the tools)} in $made"
[ -z "$missing" ] || [ "${CI:-}" != true ]
