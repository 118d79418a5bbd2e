#!/bin/sh
# Makes guard.wasm of guard.go. What it needs, guest-sdk/go/build.sh says where it is missing.
set -eu
cd "$(dirname "$0")"
exec ../../../guest-sdk/go/build.sh -o "${1:-guard.wasm}" .
