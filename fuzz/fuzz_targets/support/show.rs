//! `FUZZ_SHOW=1` prints each operation before it is made: for reading one input.

use std::env;
use std::fmt::Debug;
use std::sync::LazyLock;

static SHOW: LazyLock<bool> = LazyLock::new(|| env::var_os("FUZZ_SHOW").is_some());

pub(crate) fn show(what: &impl Debug) {
    if *SHOW {
        eprintln!("{what:?}");
    }
}
