//! A wake-up that is not lost.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Wakes one waiting task; if none waits, the next one does not.
#[derive(Debug, Default)]
pub(super) struct Wake(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    is_woken: bool,
    waker: Option<Waker>,
}

impl Wake {
    pub(super) fn wake(&self) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.is_woken = true;
        let waker = waits.waker.take();
        drop(waits);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the next call of [`wake`](Self::wake), or one since the last wait.
    ///
    /// # Cancel safety
    /// A dropped future has used up no wake-up.
    pub(super) async fn woken(&self) {
        poll_fn(|cx| {
            let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut waits.is_woken) {
                return Poll::Ready(());
            }
            waits.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
