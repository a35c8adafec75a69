//! What became of the configuration's document since the start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;

use super::Setting;

/// What became of the configuration's document since the start. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    applied: Counter,
    refused: Counter,
    unreachable: Counter,
}

/// The newest of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The document's path or URL, without its secrets; `None` if there is none.
    pub place: Option<String>,
    /// When the document in force was read.
    pub read_at: Option<SystemTime>,
    /// Since when the value of a setting is in force, if not since the start.
    pub since: BTreeMap<Setting, SystemTime>,
    /// Why the newest document is not in force; `None` if it is.
    pub refused: Option<Trouble>,
    /// Why the document can't be read now; `None` if it can.
    pub unreachable: Option<Trouble>,
}

/// What went wrong, and when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When it was first seen.
    pub at: SystemTime,
    /// What is wrong, for an operator; without secrets.
    pub because: String,
}

impl Status {
    /// With a document at this place, read now.
    #[must_use]
    pub fn of(place: String, read_at: SystemTime) -> Self {
        let status = Self::default();
        let seen = Seen { place: Some(place), read_at: Some(read_at), ..Seen::default() };
        *status.lock() = seen;
        status
    }

    /// The newest of each kind.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// The numbers of documents that were applied and refused, and of streaks in which it could not be read.
    #[must_use]
    pub fn counts(&self) -> [&Counter; 3] {
        [&self.0.applied, &self.0.refused, &self.0.unreachable]
    }

    /// A document is in force: these settings have another value since now.
    pub fn applied(&self, at: SystemTime, changed: &[Setting]) {
        self.0.applied.inc();
        let mut seen = self.lock();
        seen.read_at = Some(at);
        seen.since.extend(changed.iter().map(|setting| (*setting, at)));
        (seen.refused, seen.unreachable) = (None, None);
    }

    /// A document is not in force.
    pub fn refused(&self, at: SystemTime, because: String) {
        self.0.refused.inc();
        let mut seen = self.lock();
        seen.unreachable = None;
        seen.refused = Some(Trouble { at, because });
    }

    /// The document can't be read. The first of a streak counts.
    pub fn unreachable(&self, at: SystemTime, because: String) {
        let mut seen = self.lock();
        let began = seen.unreachable.as_ref().map_or(at, |trouble| trouble.at);
        if seen.unreachable.is_none() {
            self.0.unreachable.inc();
        }
        seen.unreachable = Some(Trouble { at: began, because });
    }

    /// The document can be read, and is the one that was read before.
    pub fn unchanged(&self) {
        self.lock().unreachable = None;
    }

    // A panic can't interrupt an assignment, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a configuration that the running server was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The settings that have another value since then.
    pub changed: Vec<Setting>,
    /// The settings whose other value the next start will use.
    pub waiting: Vec<Setting>,
}
