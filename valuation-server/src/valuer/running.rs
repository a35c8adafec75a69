//! How much is running, and when nothing is.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A count of what runs.
#[derive(Debug, Default)]
pub(super) struct Running {
    count: AtomicUsize,
    none: Notify,
}

impl Running {
    pub(super) fn began(&self) {
        // Ordering: Relaxed. Who waits for none has seen to it that nothing begins any more.
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// To be called last: what was done before is seen by who is told that nothing runs.
    pub(super) fn ended(&self) {
        // Ordering: Release, for that, with the Acquire in `none`.
        if self.count.fetch_sub(1, Ordering::Release) == 1 {
            self.none.notify_waiters();
        }
    }

    pub(super) fn count(&self) -> usize {
        // Ordering: Relaxed. A figure to look at.
        self.count.load(Ordering::Relaxed)
    }

    /// Ready when nothing runs.
    pub(super) async fn none(&self) {
        loop {
            // Told of an end from here on, before it is looked whether that was the last one.
            let told = self.none.notified();
            // Ordering: as in `ended`.
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            told.await;
        }
    }
}
