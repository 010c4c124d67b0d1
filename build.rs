//! Links the program at a fixed address, as Docker's own programs are.
//!
//! A program that can be loaded anywhere corrects all its addresses at every start: some 60,000 here, more
//! than half of the time it takes to answer a TAB. The trade is told in `docs/decisions/0006-fixed-address.md`.
#![expect(clippy::disallowed_methods, reason = "this is how cargo tells a build script about the target")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|set| set == value);
    // Elsewhere the system wants programs that can be loaded anywhere, or the linker knows no such flag.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
