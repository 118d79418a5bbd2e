#!/bin/sh
# Makes the module of a policy in Rust:   build.sh -o policy.wasm [FOLDER]
#
# Needs cargo, and a compiler for wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`). The gateway takes
# the module as it is; `weir policy build` makes a component of it.
set -eu
case $0 in */*) here=$(cd "${0%/*}" && pwd) ;; *) here=$PWD ;; esac
fail() { echo "build.sh: $*" >&2; exit 1; }
# shellcheck source=way.sh
. "$here/way.sh"

out=
[ "${1-}" = -o ] && [ $# -ge 2 ] && { out=$2; shift 2; }
[ -n "$out" ] || fail "usage: build.sh -o policy.wasm [FOLDER]"
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "${1:-.}"

missing=0
lacks() { echo "$*" >&2; missing=2; }
command -v cargo >/dev/null 2>&1 || lacks "cargo is missing: Rust from https://rustup.rs"
linker=
if toolchain_has_target; then way=rustup
elif debian_ready; then
    way=debian
    linker=$(linker_there) || lacks "a linker for WebAssembly is missing: apt-get install lld-VERSION, with VERSION that of rustc's LLVM"
else lacks "a Rust compiler for $target is missing. Either of these: rustup target add $target; on Debian, as root, apt-get install rustc-web rust-web-src"
fi
[ $missing = 0 ] || exit $missing

name=$(sed -n '/^\[package\]/,/^\[/s/^name = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$name" ] || fail "Cargo.toml: no name under [package]"
# A folder for each way: the two compilers would throw each other's work away.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/wasm-$way"
cargo_build "$way" "$linker" --release
made=$CARGO_TARGET_DIR/$target/release/$(echo "$name" | tr - _).wasm
[ -f "$made" ] || fail "cargo left no $made: Cargo.toml must say crate-type = [\"cdylib\"] under [lib]"
cp "$made" "$out.new" && mv "$out.new" "$out"
