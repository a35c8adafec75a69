//! What goes to the writer, and how it answers.

use tokio::sync::oneshot;

use super::Entry;
use super::notes::Noting;
use super::valuations::Standing;

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    Write(Job),
    /// Notes a text.
    Note(Noting),
    /// Bounds the file to so many pages, and says when that holds.
    Limit(Option<u32>, oneshot::Sender<()>),
    /// Settles what waits, ends, and says so.
    Stop(oneshot::Sender<()>),
}

/// An entry, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) entry: Entry,
    answer: Option<oneshot::Sender<Standing>>,
}

impl Job {
    pub(super) fn awaited(entry: Entry) -> (Self, oneshot::Receiver<Standing>) {
        let (answer, receiver) = oneshot::channel();
        (Self { entry, answer: Some(answer) }, receiver)
    }

    pub(super) fn unawaited(entry: Entry) -> Self {
        Self { entry, answer: None }
    }

    /// Answers the caller, if one waits. To be called last, when the entry is stored, kept or
    /// counted as lost: a caller that has its answer sees the counts that include it.
    pub(super) fn answer(self, standing: Standing) {
        if let Some(answer) = self.answer {
            // An error means that the caller has gone, which changes nothing about the entry.
            let _ = answer.send(standing);
        }
    }
}
