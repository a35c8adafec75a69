//! Each file in `ui` is a mistake that newcomers make, and the `.stderr` next to it is what rustc says: it must
//! name the cause. `TRYBUILD=overwrite cargo test -p compile-errors` writes these anew.

use std::env;
use std::process::Command;

/// The messages differ between compilers. Change it with the files.
const WRITTEN_BY: &str = "rustc 1.95.0 ";

#[test]
fn the_compilers_messages_name_the_mistake() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    let version = String::from_utf8_lossy(&version);
    if !version.starts_with(WRITTEN_BY) {
        println!("skipped: the messages were written by {WRITTEN_BY}and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
