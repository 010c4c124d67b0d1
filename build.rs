//! How the program is linked: what makes it start quickly.
//!
//! A program that can be loaded anywhere corrects all its addresses at every start: some 60,000 here, more
//! than half of the time it takes to answer a TAB. Where its code lies and which libraries it loads is most
//! of the rest. The trades are told in `docs/decisions/0006-fixed-address.md`.
#![expect(clippy::disallowed_methods, reason = "this is how cargo tells a build script about the target")]

use std::{env, path::Path, process::Command};

/// Where what a start runs is put together.
const START_UP: &str = "src/start-up.ld";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={START_UP}");
    // Elsewhere the system wants programs that can be loaded anywhere, or the linker knows no such flags.
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-no-pie");
    if !chosen_linker_reads_no_scripts() {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo::rustc-link-arg-bins=-T{folder}/{START_UP}");
    }
    if has_unwinder_to_link() {
        // Else it is libgcc_s.so.1, which only a panic needs.
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

fn is(variable: &str, value: &str) -> bool {
    env::var(variable).is_ok_and(|set| set == value)
}

/// LLD, Rust's own on x86-64, and GNU's ld read linker scripts; these two read only the simplest.
fn chosen_linker_reads_no_scripts() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    ["mold", "wild"].iter().any(|linker| flags.contains(linker))
}

/// GCC brings its unwinder as an archive, too; where another compiler links, or for another machine, it may be missing.
fn has_unwinder_to_link() -> bool {
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    if linker == "cc" && env::var("HOST").ok() != env::var("TARGET").ok() {
        return false;
    }
    let found = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output();
    // A name that is not found is answered as it was asked.
    found.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_absolute())
}
