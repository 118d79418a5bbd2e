#!/bin/sh
# Makes weir_sdk/_bindings from the interface; with --check, fails where they are stale.
# Needs componentize-py 0.25.1: python3 -m pip install componentize-py==0.25.1
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tool=${COMPONENTIZE_PY:-componentize-py}
command -v "$tool" >/dev/null 2>&1 || {
    echo "componentize-py is missing: python3 -m pip install componentize-py==0.25.1" >&2; exit 2; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$tool" -q -d "$here/weir_sdk/wit" -w policy bindings "$work/all"
mkdir "$work/new"
# The rest of what the tool writes is its runtime, which a component brings with it.
cp -r "$work/all/wit_world" "$work/all/componentize_py_types.py" "$work/new/"
: > "$work/new/__init__.py"
if [ "${1-}" = --check ]; then
    diff -r -q -x __pycache__ "$work/new" "$here/weir_sdk/_bindings" ||
        { echo "stale: run guest-sdk/python/bindgen.sh" >&2; exit 1; }
else
    rm -rf "$here/weir_sdk/_bindings"; cp -r "$work/new" "$here/weir_sdk/_bindings"
fi
