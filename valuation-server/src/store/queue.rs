//! Messages to the writer, and its answers.

use tokio::sync::oneshot;

use super::Entry;
use super::derived::CatchUp;
use super::error::StoreError;
use super::history::Recording;
use super::notes::Noting;
use super::thinning::Thinning;
use crate::domain::{Valuation, Vrm};

/// The stored valuation of a vehicle, or why its row can't be used.
pub(super) type StoredValuation = Result<Option<Valuation>, StoreError>;

/// A message to the writer.
#[derive(Debug)]
pub(super) enum Message {
    Write(Job),
    /// Saves a text.
    Note(Noting),
    /// Adds to the history.
    Record(Recording),
    /// Thins a piece of the history.
    Thin(Thinning),
    /// Derives from a piece of rows.
    CatchUp(CatchUp),
    /// Deletes a valuation.
    Forget(Forgetting),
    /// Limits the file to this many pages, and says when that holds.
    Limit(Option<u32>, oneshot::Sender<()>),
    /// Ends after everything that waits, and says so.
    Stop(oneshot::Sender<()>),
}

/// A vehicle whose valuation is to be deleted, and the caller that waits: whether there was one.
#[derive(Debug)]
pub(super) struct Forgetting {
    pub(super) vrm: Vrm,
    pub(super) done: oneshot::Sender<Result<bool, StoreError>>,
}

/// An entry, and the caller that waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) entry: Entry,
    answer: Option<oneshot::Sender<StoredValuation>>,
}

impl Job {
    pub(super) fn awaited(entry: Entry) -> (Self, oneshot::Receiver<StoredValuation>) {
        let (answer, receiver) = oneshot::channel();
        (Self { entry, answer: Some(answer) }, receiver)
    }

    pub(super) fn unawaited(entry: Entry) -> Self {
        Self { entry, answer: None }
    }

    /// Answers the caller, if one waits. Call it last, after the entry is stored, deferred or counted
    /// as lost: a caller that has its answer sees the counts that include it.
    pub(super) fn answer(self, stored: StoredValuation) {
        if let Some(answer) = self.answer {
            // An error means that the caller has gone. The entry is not affected.
            let _ = answer.send(stored);
        }
    }
}
