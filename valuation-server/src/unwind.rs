//! A panic in one piece of work becomes an error of that piece of work.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// What a panic said, for the log alone.
#[derive(Debug)]
pub(crate) struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl Panicked {
    // The payload of `panic!` is one of these two; anything else comes from `panic_any`.
    fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("(no text)").to_owned())
    }
}

/// Drives `future`, and stops at a panic inside it.
///
/// The caller asserts unwind safety: what the future shares with others must stand a panic at any
/// point of it. The future itself must not be polled again, like any that is ready.
pub(crate) fn caught<F: Future>(future: F) -> Caught<F> {
    Caught { future }
}

pin_project! {
    /// The future of [`caught`]. No `async fn`, which would take its argument's size twice.
    pub(crate) struct Caught<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(Panicked::from_payload(&*payload))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_output_passes_and_a_panic_becomes_an_error_with_its_text() {
        assert_eq!(caught(async { 7 }).await.unwrap(), 7);
        let boom = caught(async {
            tokio::task::yield_now().await;
            panic!("boom {}", 1)
        });
        assert_eq!(boom.await.unwrap_err().to_string(), "panicked: boom 1");
    }
}
