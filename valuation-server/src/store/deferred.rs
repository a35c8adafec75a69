//! Entries that could not be stored at once, and will be when the database can store again.
//!
//! A provider call is paid for, even if the database fails a moment later. The caller learns at once
//! that its entry is not stored; the entry is kept, in bounded memory, until the writer can store
//! again. From the first failure on [`Store::reserve`](super::Store::reserve) gives no permits, so
//! that only entries that were already under way are deferred.
//!
//! If the connection broke during a commit, nobody knows whether its batch is stored. It is kept with the
//! head of the chain that the commit would have made, which says later whether it did.

use std::mem;

use super::Entry;
use super::error::StoreError;
use super::queue::Job;
use super::stats::Shared;
use crate::domain::LogHead;

/// The maximum number of calls: some megabytes.
const MAX_CALLS: usize = 4_096;

/// Entries with calls that wait until the database is healthy.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    batches: Vec<DeferredBatch>,
    calls: usize,
}

/// Entries that are stored in one transaction.
#[derive(Debug)]
pub(super) struct DeferredBatch {
    /// The head of the chain that is there if they were committed already; `None` if they were not.
    pub(super) head: Option<LogHead>,
    pub(super) entries: Vec<Entry>,
}

impl DeferredBatch {
    pub(super) fn into_jobs(self) -> Vec<Job> {
        self.entries.into_iter().map(Job::unawaited).collect()
    }

    fn calls(&self) -> usize {
        self.entries.iter().map(|entry| entry.calls.len()).sum()
    }
}

impl Deferred {
    /// Keeps an entry of the batch in doubt with this head, or one that is surely not stored. Reports its
    /// calls in the server's log if there are too many already.
    pub(super) fn keep(
        &mut self,
        entry: Entry,
        head: Option<LogHead>,
        shared: &Shared,
        error: &StoreError,
    ) {
        let calls = self.calls + entry.calls.len();
        if calls > MAX_CALLS {
            shared.lose(&entry, error);
        } else if !entry.calls.is_empty() {
            self.calls = calls;
            match self.batches.last_mut() {
                Some(batch) if batch.head == head => batch.entries.push(entry),
                _ => self.batches.push(DeferredBatch { head, entries: vec![entry] }),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Takes all of them, in the order in which they came, for another attempt.
    pub(super) fn take(&mut self) -> Vec<DeferredBatch> {
        mem::take(self).batches
    }

    /// Keeps batches that were taken, behind those that were kept since.
    pub(super) fn put_back(&mut self, batches: impl IntoIterator<Item = DeferredBatch>) {
        for batch in batches {
            self.calls += batch.calls();
            self.batches.push(batch);
        }
    }

    /// Gives up: the calls go to the server's log.
    pub(super) fn lose(&mut self, shared: &Shared, error: &StoreError) {
        for entry in self.take().iter().flat_map(|batch| &batch.entries) {
            shared.lose(entry, error);
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
            deferred.keep(entry.clone(), None, &shared, &StoreError::Closed);
        }
        assert_eq!(shared.lost.get(), 0);
        deferred.keep(entry, None, &shared, &StoreError::Closed);
        let kept = deferred.take().into_iter().flat_map(DeferredBatch::into_jobs).count();
        assert_eq!((kept, shared.lost.get()), (MAX_CALLS / 2, 2));
    }
}
