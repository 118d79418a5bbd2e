#!/bin/sh
# Builds a native test program of a policy with the double, and runs it:   run.sh policy.c test.c [-fsanitize=address …]
# Needs any C compiler: $CC, else cc, clang or gcc.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cc=${CC:-}
for one in cc clang gcc; do [ -n "$cc" ] || ! command -v "$one" >/dev/null 2>&1 || cc=$one; done
[ -n "$cc" ] || { echo "run.sh: a C compiler is missing; on Debian: apt-get install gcc libc6-dev" >&2; exit 2; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086
$cc -std=c11 -D_POSIX_C_SOURCE=200809L -g -O1 -Wall -Wextra -I"$here/include" -I"$here/bindings" -I"$here/testing" -o "$work/test" "$@" \
    "$here/src/memory.c" "$here/src/sdk.c" "$here/src/json.c" "$here/testing/weir_double.c" -lm
# What is kept as long as an instance lives is freed by nobody.
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0} "$work/test" && echo "passed"
