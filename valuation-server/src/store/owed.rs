//! What could not be stored when it came, and is still owed to the log.
//!
//! A provider that was called is paid, whatever the database says a moment later. Whoever waits is
//! told at once that the entry is not stored; the entry itself is kept, in bounded memory, until
//! the writer can store again. From the first failure on no place is given out
//! ([`Store::reserve`](super::Store::reserve)), so that what is owed is what was under way by then.

use std::mem;

use super::Entry;
use super::error::StoreError;
use super::queue::Job;
use super::stats::Shared;

/// How many calls are kept at most: some megabytes.
const MOST_CALLS: usize = 4_096;

/// Entries with calls that wait for the database to be well.
#[derive(Debug, Default)]
pub(super) struct Owed {
    entries: Vec<Entry>,
    calls: usize,
}

impl Owed {
    /// Keeps an entry, or reports its calls in the server's log if there are too many already.
    pub(super) fn keep(&mut self, entry: Entry, shared: &Shared, error: &StoreError) {
        let calls = self.calls + entry.calls.len();
        if calls > MOST_CALLS {
            shared.lose(&entry, error);
        } else if !entry.calls.is_empty() {
            self.calls = calls;
            self.entries.push(entry);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes all of them, in the order in which they came, for another try.
    pub(super) fn take(&mut self) -> Vec<Job> {
        mem::take(self).entries.into_iter().map(Job::unawaited).collect()
    }

    /// Gives up: the calls go to the server's log.
    pub(super) fn lose(&mut self, shared: &Shared, error: &StoreError) {
        for entry in mem::take(self).entries {
            shared.lose(&entry, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallOutcome, Provider, ProviderCall, Vrm};

    #[test]
    fn calls_are_kept_up_to_the_bound_and_the_others_are_counted_as_lost() {
        let call = ProviderCall {
            vrm: Vrm::parse("A").unwrap(),
            provider: Provider::SuperCar,
            requested_at: std::time::SystemTime::UNIX_EPOCH,
            duration: std::time::Duration::ZERO,
            url: String::new(),
            response_code: None,
            error: None,
            outcome: CallOutcome::Success,
            rescue: false,
        };
        let entry = Entry { valuation: None, calls: vec![call; 2] };
        let (mut owed, shared) = (Owed::default(), Shared::default());
        for _ in 0..MOST_CALLS / 2 {
            owed.keep(entry.clone(), &shared, &StoreError::Closed);
        }
        assert_eq!(shared.lost(), 0);
        owed.keep(entry, &shared, &StoreError::Closed);
        assert_eq!((owed.take().len(), shared.lost()), (MOST_CALLS / 2, 2));
    }
}
