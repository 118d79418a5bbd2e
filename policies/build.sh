#!/bin/sh
# Builds policies to WebAssembly and leaves them in ${CARGO_TARGET_DIR:-target}/policies/<name>.wasm.
#
#   policies/build.sh              every policy that the tests want: weir-policy-*, the examples in Rust
#   policies/build.sh only-gpt …   the named crates of the workspace
#
# It finds out by itself how this machine can compile to wasm32-unknown-unknown, in this order, so
# that a machine that is set up never touches the network:
#   1. the active Rust toolchain has the target;
#   2. Debian's rustc-web and rust-web-src are installed, in step with each other;
#   3. rustup can add the target (a minute at most: where it cannot reach its server it may hang);
#   4. apt-get can install the Debian packages (as root or with sudo).
# WEIR_WASM_WAY=rustup or =debian allows only that way. Safe to run at any time, also twice.
set -eu

here=$PWD
root=$(cd "$(dirname "$0")/.." && pwd)
wanted=${WEIR_WASM_WAY:-any}
out_base=${CARGO_TARGET_DIR:-$root/target}
case $out_base in /*) ;; *) out_base=$here/$out_base ;; esac
# shellcheck source=../guest-sdk/rust/way.sh
. "$root/guest-sdk/rust/way.sh"
cd "$root"

say() { echo "policies: $*"; }
fail() { echo "policies: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo -n "$@"
    else return 1
    fi
}

add_target() {
    command -v rustup >/dev/null 2>&1 || return 1
    say "adding $target with rustup (at most a minute)"
    bounded=$(command -v timeout) || bounded=
    ${bounded:+"$bounded" 60} rustup target add "$target" >/dev/null 2>&1 && toolchain_has_target
}

install_debian() {
    command -v apt-get >/dev/null 2>&1 || return 1
    say "installing rustc-web and rust-web-src with apt-get"
    log=$(mktemp)
    as_root apt-get update -qq >"$log" 2>&1 || true
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        rustc-web rust-web-src >>"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    debian_ready
}

find_linker() {
    linker_there && return
    llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    say "installing lld-$llvm with apt-get" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "lld-$llvm" >/dev/null 2>&1
    command -v "wasm-ld-$llvm"
}

choose_way() {
    [ "$wanted" != debian ] && toolchain_has_target && { way=rustup; return; }
    [ "$wanted" != rustup ] && debian_ready && { way=debian; return; }
    [ "$wanted" != debian ] && add_target && { way=rustup; return; }
    [ "$wanted" != rustup ] && install_debian && { way=debian; return; }
    fail "cannot compile to $target here. Either of these helps: 'rustup target add $target'," \
        "or on Debian, as root, 'apt-get install rustc-web rust-web-src'."
}

build() {
    # A folder for each way: the two compilers would throw each other's work away.
    export CARGO_TARGET_DIR="$out_base/wasm-$way"
    linker=
    if [ "$way" = rustup ]; then
        say "building with $(rustc --version) and its own $target"
    else
        linker=$(find_linker) ||
            fail "no linker for WebAssembly: on Debian, as root, 'apt-get install lld-VERSION' of rustc's LLVM."
        say "building with $(/usr/bin/rustc --version) of Debian, the standard library from source"
    fi
    cargo_build "$way" "$linker" --locked --profile policy "$@"
}

if [ $# = 0 ]; then
    set -- $(sed -n 's/^name = "\(weir-policy-.*\)"$/\1/p' policies/*/Cargo.toml policies/testing/*/Cargo.toml) \
        polyglot-guard pii-redaction response-cache
fi
crates=$*
for crate in $crates; do set -- "$@" -p "$crate"; shift; done

choose_way
build "$@"

mkdir -p "$out_base/policies"
changed=0
for crate in $crates; do
    made=$CARGO_TARGET_DIR/$target/policy/$(echo "$crate" | tr - _).wasm
    kept=$out_base/policies/${crate#weir-policy-}.wasm
    # Untouched when the same: what embeds the file is then not built again.
    cmp -s "$made" "$kept" && continue
    cp "$made" "$kept.new"
    mv "$kept.new" "$kept"
    changed=$((changed + 1))
done
say "$(echo $crates | wc -w) in $out_base/policies, $changed changed"
