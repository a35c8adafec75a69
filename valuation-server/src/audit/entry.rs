//! The record of an attempt that is still running.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Hooks;
use crate::domain::{
    Answer, CallOutcome, CallTrail, ErrorCode, Failure, Provider, ProviderCall, Quote, QuoteError,
    QuoteRequest,
};

/// The longest message that is recorded, in characters.
pub const MAX_MESSAGE: usize = 200;

/// The record of a running attempt. Its destructor is the only place that leaves it in the trail, so
/// that there is exactly one.
#[derive(Debug)]
pub(super) struct Entry {
    trail: CallTrail,
    hooks: Arc<dyn Hooks>,
    started: Instant,
    stage: Stage,
    call: ProviderCall,
}

/// Where the attempt is. It decides what a dropped entry says.
#[derive(Debug)]
enum Stage {
    /// Between two polls.
    Waiting,
    /// In the code of the provider, or of a hook.
    Inside,
    /// The entry has its result.
    Ended,
}

impl Entry {
    pub(super) fn begin(
        provider: Provider,
        url: String,
        request: &QuoteRequest,
        hooks: Arc<dyn Hooks>,
    ) -> Self {
        let call = ProviderCall {
            vrm: request.vrm.clone(),
            provider,
            // The wall clock, for the record; the duration is measured by the monotonic one.
            requested_at: SystemTime::now(),
            duration: Duration::ZERO,
            url,
            response_code: None,
            error: None,
            outcome: CallOutcome::Ignored,
            rescue: !request.trail.is_empty(),
        };
        let (trail, started) = (request.trail.clone(), Instant::now());
        Self { trail, hooks, started, stage: Stage::Waiting, call }
    }

    /// Runs the provider's code. If it panics, the entry stays marked, however much later it is
    /// dropped and whatever else unwinds by then.
    pub(super) fn watch<T>(entry: &mut Option<Self>, run: impl FnOnce() -> T) -> T {
        if let Some(entry) = entry {
            entry.stage = Stage::Inside;
        }
        let result = run();
        if let Some(entry) = entry {
            entry.stage = Stage::Waiting;
        }
        result
    }

    pub(super) fn finish(mut self, result: Result<Answer, Failure>) -> Result<Quote, QuoteError> {
        self.stage = Stage::Inside;
        let (result, status) = match self.hooks.answered(self.call.provider, result) {
            Ok(answer) => (Ok(answer.quote), Some(answer.response_code)),
            Err(failure) => (Err(failure.error), failure.response_code),
        };
        self.call.response_code = status;
        self.call.error = result.as_ref().err().map(|error| match error {
            QuoteError::Unavailable { code, message, .. } => (*code, printable(message)),
            refusal @ (QuoteError::NotFound | QuoteError::NotAsked | QuoteError::Refused(_)) => {
                (ErrorCode::Status, printable(&refusal.to_string()))
            }
        });
        self.call.outcome = self.hooks.outcome(&result);
        self.stage = Stage::Ended;
        result
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let cut_off = match self.stage {
            Stage::Ended => None,
            Stage::Inside => Some((ErrorCode::Panic, "the call panicked", CallOutcome::Failure)),
            Stage::Waiting => {
                let message = "the call was given up before its end";
                Some((ErrorCode::Cancelled, message, CallOutcome::Ignored))
            }
        };
        if let Some((code, message, outcome)) = cut_off {
            self.call.error = Some((code, message.to_owned()));
            self.call.outcome = outcome;
            self.call.response_code = None;
        }
        self.call.duration = self.started.elapsed();
        // The record first, so that a hook that panics can't lose it.
        self.trail.push(self.call.clone());
        self.hooks.ended(&self.call);
    }
}

/// At most [`MAX_MESSAGE`] characters of the text, with `?` for those that control a terminal or
/// change the reading direction.
fn printable(text: &str) -> String {
    let is_control = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || c == '\u{feff}'
    };
    text.chars().take(MAX_MESSAGE).map(|c| if is_control(c) { '?' } else { c }).collect()
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
