//! The record of an attempt while the attempt is still going on.

use std::fmt;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::domain::{
    CallOutcome, CallTrail, ErrorCode, Provider, ProviderCall, Quote, QuoteError, QuoteRequest, Vrm,
};

use super::Hooks;

/// The longest message that is recorded, in characters.
pub const MAX_MESSAGE: usize = 200;

/// An attempt that has begun. It is closed by [`Entry::finish`], or by being dropped.
#[derive(Debug)]
pub(super) struct Entry {
    /// What is known from the start; `None` once the entry is closed.
    open: Option<Open>,
    /// Whether the provider's code is running, or was when it panicked.
    inside: bool,
}

struct Open {
    trail: CallTrail,
    hooks: Hooks,
    rescue: bool,
    vrm: Vrm,
    provider: Provider,
    url: String,
    /// The wall clock, for the record; the duration is measured on the other one.
    requested_at: SystemTime,
    started: Instant,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("vrm", &self.vrm)
            .field("provider", &self.provider)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Entry {
    pub(super) fn begin(
        provider: Provider,
        url: String,
        request: &QuoteRequest,
        hooks: Hooks,
    ) -> Self {
        let open = Open {
            trail: request.trail.clone(),
            hooks,
            rescue: !request.trail.is_empty(),
            vrm: request.vrm.clone(),
            provider,
            url,
            requested_at: SystemTime::now(),
            started: Instant::now(),
        };
        Self { open: Some(open), inside: false }
    }

    /// Runs the provider's code. If it panics, the entry is dropped with the mark of it, however
    /// much later that is and whatever else unwinds by then.
    pub(super) fn watch<T>(entry: &mut Option<Self>, run: impl FnOnce() -> T) -> T {
        if let Some(entry) = entry {
            entry.inside = true;
        }
        let result = run();
        if let Some(entry) = entry {
            entry.inside = false;
        }
        result
    }

    pub(super) fn finish(mut self, response_code: Option<u16>, result: &Result<Quote, QuoteError>) {
        let error = result.as_ref().err().map(|error| match error {
            QuoteError::Unavailable { code, message, .. } => (*code, printable(message)),
            refusal @ (QuoteError::NotFound | QuoteError::NotAsked | QuoteError::Refused(_)) => {
                (ErrorCode::Status, printable(&refusal.to_string()))
            }
        });
        let classify = self.open.as_ref().and_then(|open| open.hooks.classify.clone());
        let outcome = match (classify, result) {
            (Some(classify), result) => classify(result),
            (None, Err(error)) if error.is_provider_failure() => CallOutcome::Failure,
            (None, _) => CallOutcome::Success,
        };
        self.close(response_code, error, outcome);
    }

    fn close(
        &mut self,
        response_code: Option<u16>,
        error: Option<(ErrorCode, String)>,
        outcome: CallOutcome,
    ) {
        let Some(open) = self.open.take() else { return };
        let call = ProviderCall {
            vrm: open.vrm,
            provider: open.provider,
            requested_at: open.requested_at,
            duration: open.started.elapsed(),
            url: open.url,
            response_code,
            error,
            outcome,
            rescue: open.rescue,
        };
        // The record first: nothing that telling does may cost it.
        open.trail.push(call.clone());
        if let Some(tell) = open.hooks.tell {
            tell(&call);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (code, message, outcome) = if self.inside {
            (ErrorCode::Panic, "the call panicked", CallOutcome::Failure)
        } else {
            let message = "the call was given up before its end";
            (ErrorCode::Cancelled, message, CallOutcome::Ignored)
        };
        self.close(None, Some((code, message.to_owned())), outcome);
    }
}

/// The text with at most [`MAX_MESSAGE`] characters, and without those that steer a terminal or
/// turn the reading direction.
fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || c == '\u{feff}'
    };
    text.chars().take(MAX_MESSAGE).map(|c| if steers(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_bounded_and_printable() {
        assert_eq!(printable("fine, even ü"), "fine, even ü");
        assert_eq!(printable("a\r\n\u{1b}[31mb\0\u{202e}c"), "a???[31mb??c");
        assert_eq!(printable(&"ü".repeat(1000)).chars().count(), MAX_MESSAGE);
    }
}
