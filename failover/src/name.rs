//! Names of failovers that outlive them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The same name for the rest of the process. So an error or a response needs no reference count, which
/// threads would share, and may outlive its failover. Memory is bounded by the number of different names.
pub(crate) fn kept(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    // No panic can leave the set half-changed, so poisoning is ignored.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(name) {
        Some(name) => name,
        None => {
            let name: &'static str = Box::leak(name.into());
            names.insert(name);
            name
        }
    }
}
