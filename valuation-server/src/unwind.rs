//! A panic in one piece of work becomes an error of that piece of work.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, TryFutureExt};

/// The message of a panic, for the log only.
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

/// Drives `future`, and returns a panic inside it as an error.
///
/// The caller asserts unwind safety: state that the future shares with others must stay valid if it
/// panics at any point.
pub(crate) fn caught<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Panicked>> {
    AssertUnwindSafe(future).catch_unwind().map_err(|payload| Panicked::from_payload(&*payload))
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
