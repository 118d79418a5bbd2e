#!/bin/sh
# Makes guard.wasm of guard.c. What it needs, guest-sdk/c/build.sh says where it is missing.
set -eu
cd "$(dirname "$0")"
exec ../../../guest-sdk/c/build.sh -o "${1:-guard.wasm}" guard.c
