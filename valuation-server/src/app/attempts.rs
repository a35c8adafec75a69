//! What the server makes of each attempt at a provider: its outcome, its metrics, and the provider's
//! [streak of client errors](ClientErrors).

use std::fmt;
use std::sync::Arc;

use failover::Outcome;
use failover::clock::Clock;
use jiff::Timestamp;

use super::doubt::Doubts;
use super::failed_calls::FailedCalls;
use super::last_trip::LastTrip;
use crate::admin::{Journal, Kind};
use crate::audit::Hooks;
use crate::domain::{
    Answer, CallOutcome, ErrorCode, Failure, Provider, ProviderCall, Quote, QuoteError,
};
use crate::telemetry::{Change, ClientErrors, ProviderCalls};

/// Shared by the audits of both providers. A client error of a streak that counts as failures becomes
/// one here, below the audit, so that the log rows, the failover and the rescue see the same failure.
pub(super) struct Attempts<Clk> {
    pub(super) calls: ProviderCalls,
    pub(super) client_errors: Arc<ClientErrors>,
    pub(super) journal: Journal,
    pub(super) failed_calls: FailedCalls,
    pub(super) last_trip: LastTrip,
    pub(super) doubts: Doubts,
    pub(super) clock: Clk,
}

impl<Clk: Clock> Hooks for Attempts<Clk> {
    fn answered(
        &self,
        provider: Provider,
        result: Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        let answer = match result.as_ref().map_err(|failure| &failure.error) {
            Ok(_) => Ok(()),
            Err(QuoteError::NotFound) => Err(404),
            Err(QuoteError::Refused(status)) => Err(*status),
            Err(QuoteError::Unavailable { .. } | QuoteError::NotAsked) => return result,
        };
        if let Some(change) = self.client_errors.record(provider, self.clock.now(), answer) {
            self.report(provider, change);
        }
        match answer {
            Err(status) if self.client_errors.are_failures(provider) => Err(failure(status)),
            _ => result,
        }
    }

    fn outcome(&self, result: &Result<Quote, QuoteError>) -> CallOutcome {
        match classify(result) {
            Outcome::Success => CallOutcome::Success,
            Outcome::Failure | Outcome::RetryAfter(_) => CallOutcome::Failure,
            Outcome::Ignored => CallOutcome::Ignored,
        }
    }

    fn ended(&self, call: &ProviderCall) {
        self.calls.note(call);
        self.failed_calls.note(call);
        self.doubts.note(call, self.clock.now());
        if call.error.is_some() && call.response_code.is_some() {
            self.client_errors.note_error(call.provider, call.requested_at);
        }
    }
}

/// A provider that answers is up, whatever the answer; an error on our side says nothing about it.
/// `Retry-After` is followed only if the policy says so.
pub(super) fn classify(result: &Result<Quote, QuoteError>) -> Outcome {
    match result {
        Err(QuoteError::Unavailable { code: ErrorCode::Local, .. }) => Outcome::Ignored,
        // A zero asks for no time without calls; the library would raise it to the policy's shortest.
        Err(QuoteError::Unavailable { retry_after: Some(time), .. }) if !time.is_zero() => {
            Outcome::RetryAfter(*time)
        }
        Err(QuoteError::Unavailable { .. }) => Outcome::Failure,
        Err(QuoteError::NotAsked) => Outcome::Ignored,
        Ok(_) | Err(QuoteError::NotFound | QuoteError::Refused(_)) => Outcome::Success,
    }
}

impl<Clk> Attempts<Clk> {
    /// The provider's reported streak of client errors, in words.
    pub(super) fn warning(&self, provider: Provider) -> Option<String> {
        let began = self.client_errors.reported(provider)?;
        let message = message(provider, began, self.client_errors.as_failures());
        // It stands until the provider gives a valuation, which it may not have been asked for since.
        let last = self.client_errors.last_error(provider).map(Timestamp::try_from);
        let Some(Ok(last)) = last else { return Some(message) };
        let last = last.strftime("%Y-%m-%d %H:%M:%S UTC");
        Some(format!("{message}. Its last answer was to the call of {last}"))
    }

    fn report(&self, provider: Provider, change: Change) {
        let message = message(provider, change, self.client_errors.as_failures());
        let (ongoing, answers) = match change {
            Change::Began { length, .. } => (true, length),
            Change::Ended { length } => (false, length),
        };
        if ongoing {
            tracing::warn!("{message}");
        } else {
            tracing::info!("{message}");
        }
        let kind = Kind::ClientErrors { provider: provider.name(), ongoing, answers };
        self.journal.note(kind, message);
    }
}

impl<Clk> fmt::Debug for Attempts<Clk> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("client_errors", &self.client_errors)
            .finish_non_exhaustive()
    }
}

/// A client error of a streak that counts as failures.
fn failure(status: u16) -> Failure {
    let message =
        format!("the provider answered with status {status}, in a streak of client errors");
    let error = QuoteError::Unavailable { code: ErrorCode::Status, message, retry_after: None };
    Failure { error, response_code: Some(status) }
}

/// What happened, what it means and what to do.
fn message(provider: Provider, change: Change, as_failures: bool) -> String {
    let counted = if as_failures {
        "They count as failures until it gives a valuation"
    } else {
        "They count as answers, so that the other provider is not asked (--client-error-streak)"
    };
    match change {
        Change::Began { status: status @ 401..=403, .. } => format!(
            "client errors: {provider} refused a request with status {status}: check the \
             credentials and keys in its URL, and the contract. {counted}"
        ),
        Change::Began { status, length } => format!(
            "client errors: none of the last {length} answers of {provider} was a valuation, the \
             last has status {status}: check the path in its URL. {counted}"
        ),
        Change::Ended { length } => format!(
            "client errors: {provider} gives valuations again, after {length} answer{} without one",
            if length == 1 { "" } else { "s" }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_streak_counts_its_answers() {
        for (length, answers) in [(1, "after 1 answer without"), (2, "after 2 answers without")] {
            let text = message(Provider::SuperCar, Change::Ended { length }, false);
            assert!(text.contains(answers), "{text}");
        }
    }
}
