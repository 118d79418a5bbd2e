#!/usr/bin/env bash
# The whole-gateway bench: what `make bench` runs last, after `make build`. Finds or names what it
# needs, builds the mock upstream, and hands over to run.py, to which all arguments go
# (`tests/bench/run.sh --help`). WEIR_BIN measures another program than the one that was built.
set -euo pipefail
cd "$(dirname "$0")/../.."

target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
weir="${WEIR_BIN:-$target/release/weir}"
missing=()
if ! command -v python3 >/dev/null; then missing+=(python3); fi
if ! command -v wrk >/dev/null; then missing+=(wrk); fi
if ((${#missing[@]})); then
    echo "bench: ${missing[*]} missing. On Debian: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
# Outside of root's PATH it is found too: Debian keeps nginx in /usr/sbin.
PATH="$PATH:/usr/sbin"
if ! command -v nginx >/dev/null; then
    echo "bench: no nginx, so nothing is compared with it. On Debian: apt-get install --no-install-recommends nginx-light" >&2
fi
if [[ ! -x "$weir" ]]; then
    echo "bench: $weir is missing; make build" >&2
    exit 1
fi

echo "bench: building the mock upstream"
CARGO_TARGET_DIR="$target" "${CARGO:-cargo}" build --quiet --locked --release -p weir-tests --example mock_upstream
exec python3 tests/bench/run.py --weir "$weir" --upstream "$target/release/examples/mock_upstream" "$@"
