#!/bin/sh
# Makes guard.wasm of guard.py. Needs Python 3.11 or newer with componentize-py.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "Python is missing: https://www.python.org/downloads, or apt-get install python3" >&2; exit 2; }
PYTHONPATH=../../../guest-sdk/python${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m weir_sdk build guard.py -o "${1:-guard.wasm}"
