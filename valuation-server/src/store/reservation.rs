//! A permit of the writer's queue.

use tokio::sync::mpsc;

use super::Entry;
use super::error::StoreError;
use super::queue::{Job, Message};
use crate::domain::Valuation;

/// A permit of the writer's queue. Dropped unused, it is given back.
///
/// It keeps the writer running: [`Store::shutdown`](super::Store::shutdown) waits for it.
#[derive(Debug)]
pub struct Reservation(pub(super) mpsc::OwnedPermit<Message>);

impl Reservation {
    /// As [`Store::commit`](super::Store::commit), without waiting for a permit: the first poll hands the entry over.
    ///
    /// # Errors
    /// As [`Store::commit`](super::Store::commit), but never [`StoreError::Busy`].
    ///
    /// # Cancel safety
    /// Once polled, the entry is committed even if the future is dropped.
    pub async fn commit(self, entry: Entry) -> Result<Option<Valuation>, StoreError> {
        let (job, answer) = Job::awaited(entry);
        self.0.send(Message::Write(job));
        // The writer answers every job unless it panics.
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// As [`Store::submit`](super::Store::submit), and the queue is never full.
    pub fn submit(self, entry: Entry) {
        self.0.send(Message::Write(Job::unawaited(entry)));
    }
}
