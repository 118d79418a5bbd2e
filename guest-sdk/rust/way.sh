# How this machine can compile to wasm32-unknown-unknown: the part that policies/build.sh and build.sh of this folder
# share, to be sourced by sh. Installs nothing. Two ways:
#   rustup  the active Rust toolchain has the target
#   debian  Debian's rustc-web and rust-web-src are installed, in step with each other
target=wasm32-unknown-unknown

toolchain_has_target() {
    command -v rustc >/dev/null 2>&1 && [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]
}

package_version() { dpkg-query -W -f '${db:Status-Abbrev}${Version}' "$1" 2>/dev/null; }

debian_ready() {
    command -v dpkg-query >/dev/null 2>&1 || return 1
    compiler=$(package_version rustc-web) && source=$(package_version rust-web-src) || return 1
    case $compiler in ii*) ;; *) return 1 ;; esac
    # The standard library is built from source: another version's source would not compile.
    [ "$compiler" = "$source" ]
}

# rustc-web brings no linker for WebAssembly; rustup's toolchains carry one, Debian's lld is another.
linker_there() {
    if command -v rustc >/dev/null 2>&1; then
        for found in "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld; do
            [ -x "$found" ] && { echo "$found"; return; }
        done
    fi
    # An older lld does not read what a newer LLVM writes.
    llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    command -v "wasm-ld-$llvm"
}

# cargo_build WAY LINKER ARGUMENTS…: with the compiler of that way. Flags and wrappers meant for the host's own target do
# not fit WebAssembly.
cargo_build() {
    way=$1 linker=$2
    shift 2
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
    if [ "$way" = rustup ]; then
        cargo build --quiet --target "$target" "$@"
    else
        RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
            cargo build --quiet --target "$target" -Zbuild-std=std,panic_abort "$@"
    fi
}
