#!/bin/sh
# Builds the server as a static Linux binary into app/hello, which is all that the image holds.
set -eu
# Cargo reads .cargo/config.toml, which asks for a static binary, from the working folder upwards.
cd "$(dirname "$0")"
# Under a cargo that runs us, its own target folder and flags must not leak in.
unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET

case "$(uname -s)" in
Linux) binary=target/release/hello ;;
*)  # Anywhere else: a Linux binary for this machine's kind of processor, as the engine runs it.
    case "$(uname -m)" in
    arm64 | aarch64) triple=aarch64-unknown-linux-musl ;;
    *) triple=x86_64-unknown-linux-musl ;;
    esac
    # musl is static anyway, and rust-lld links it without a cross compiler; `rustup target add` it once.
    export CARGO_BUILD_TARGET=$triple RUSTFLAGS="-C linker=rust-lld"
    binary=target/$triple/release/hello
    ;;
esac

cargo build --release --locked --quiet
mkdir -p app
# A new file and a rename: the old one may be running. The file has our process number, because two of us may be here.
fresh=target/hello.$$
trap 'rm -f "$fresh"' EXIT
cp "$binary" "$fresh"
mv "$fresh" app/hello
