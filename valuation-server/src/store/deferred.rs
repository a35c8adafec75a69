//! Entries that could not be stored at once, and will be when the database can store again.
//!
//! A provider call is paid for, even if the database fails a moment later. The caller learns at once
//! that its entry is not stored; the entry is kept, in bounded memory, until the writer can store
//! again. From the first failure on [`Store::reserve`](super::Store::reserve) gives no permits, so
//! that only entries that were already under way are deferred.

use std::mem;

use super::Entry;
use super::error::StoreError;
use super::queue::Job;
use super::stats::Shared;

/// The maximum number of calls: some megabytes.
const MAX_CALLS: usize = 4_096;

/// Entries with calls that wait until the database is healthy.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    entries: Vec<Entry>,
    calls: usize,
}

impl Deferred {
    /// Keeps an entry, or reports its calls in the server's log if there are too many already.
    pub(super) fn keep(&mut self, entry: Entry, shared: &Shared, error: &StoreError) {
        let calls = self.calls + entry.calls.len();
        if calls > MAX_CALLS {
            shared.lose(&entry, error);
        } else if !entry.calls.is_empty() {
            self.calls = calls;
            self.entries.push(entry);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes all of them, in the order in which they came, for another attempt.
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
        let (mut deferred, shared) = (Deferred::default(), Shared::default());
        for _ in 0..MAX_CALLS / 2 {
            deferred.keep(entry.clone(), &shared, &StoreError::Closed);
        }
        assert_eq!(shared.lost.get(), 0);
        deferred.keep(entry, &shared, &StoreError::Closed);
        assert_eq!((deferred.take().len(), shared.lost.get()), (MAX_CALLS / 2, 2));
    }
}
