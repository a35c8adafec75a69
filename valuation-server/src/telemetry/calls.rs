//! Provider calls: durations by result, totals, and a log line for each failure.

use std::array;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::{CallOutcome, Counts, ErrorCode, Latencies, Provider, ProviderCall};

/// The durations of all provider calls, and their totals. Clones share them.
#[derive(Clone, Debug)]
pub struct ProviderCalls {
    pub(super) durations: Family<Labels, Histogram>,
    totals: Arc<[Totals; Provider::ALL.len()]>,
}

/// The totals of a provider's calls.
#[derive(Debug, Default)]
struct Totals {
    calls: AtomicU64,
    failures: AtomicU64,
    rescues: AtomicU64,
    /// Those that a failover counts: neither ignored nor rescues.
    counted: AtomicU64,
    counted_failures: AtomicU64,
    latencies: [AtomicU64; Latencies::BUCKETS],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Labels {
    provider: &'static str,
    result: Cow<'static, str>,
}

impl Default for ProviderCalls {
    fn default() -> Self {
        let durations: Family<_, _> =
            Family::new_with_constructor(|| Histogram::new(Latencies::BOUNDS));
        // Exported from the start, so that the first call is an increase.
        for provider in Provider::ALL {
            let labels = Labels { provider: provider.name(), result: OK };
            drop(durations.get_or_create(&labels));
        }
        Self { durations, totals: Arc::default() }
    }
}

impl ProviderCalls {
    /// Counts a call, and logs its failure.
    pub fn note(&self, call: &ProviderCall) {
        let labels = Labels { provider: call.provider.name(), result: result(call) };
        self.durations.get_or_create(&labels).observe(call.duration.as_secs_f64());
        self.totals[call.provider as usize].count(call);
        if let Some((code, message)) = &call.error {
            log(call, *code, message);
        }
    }
}

impl ProviderCalls {
    /// All calls to a provider since the start.
    #[must_use]
    pub fn totals(&self, provider: Provider) -> Counts {
        let Totals { calls, failures, rescues, latencies, .. } = &self.totals[provider as usize];
        Counts {
            calls: load(calls),
            failures: load(failures),
            rescues: load(rescues),
            fallback_ms: 0,
            latencies: Latencies(array::from_fn(|bucket| load(&latencies[bucket]))),
        }
    }

    /// The calls to a provider that a failover counts if it is the primary: neither ignored nor rescues.
    /// Calls that end after a transition are included, although the failover no longer counts them.
    #[must_use]
    pub fn counted(&self, provider: Provider) -> Counts {
        let totals = &self.totals[provider as usize];
        Counts {
            calls: load(&totals.counted),
            failures: load(&totals.counted_failures),
            ..Counts::ZERO
        }
    }
}

impl Totals {
    fn count(&self, call: &ProviderCall) {
        let ignored = call.outcome == CallOutcome::Ignored;
        let failed = call.outcome == CallOutcome::Failure;
        let counted = !ignored && !call.rescue;
        for (count, is_one) in [
            (&self.calls, true),
            (&self.failures, failed),
            (&self.rescues, call.rescue),
            (&self.counted, counted),
            (&self.counted_failures, counted && failed),
            // The time until a call was given up is not the provider's.
            (&self.latencies[Latencies::bucket(call.duration)], !ignored),
        ] {
            if is_one {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

// Ordering: Relaxed here and in `count`. The counts publish no other data, and each of them only grows:
// what one look misses, the next one finds.
fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

const OK: Cow<'static, str> = Cow::Borrowed("ok");

fn result(call: &ProviderCall) -> Cow<'static, str> {
    match (&call.error, call.response_code) {
        (None, _) => OK,
        (Some((ErrorCode::Status, _)), Some(404)) => "not_found".into(),
        (Some((ErrorCode::Status, _)), Some(status)) if is_refusal(status) => "refused".into(),
        (Some((code, _)), _) => code.as_str().to_ascii_lowercase().into(),
    }
}

/// Whether the provider answers and rejects our request: these statuses are not failures.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && status != 408 && status != 429
}

/// Logs what happened, what it means and what to do.
fn log(call: &ProviderCall, code: ErrorCode, message: &str) {
    let ProviderCall { vrm, provider, duration, response_code, .. } = call;
    // As a `u64`: the log would write an `u128` as a text.
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    macro_rules! tell {
        ($level:ident, $means:expr) => {
            tracing::$level!(%vrm, status = response_code, duration_ms,
                "{provider}: {code}: {message}; {}", $means)
        };
    }
    match (code, response_code) {
        (ErrorCode::Status, Some(404)) => tell!(debug, "an answer like any other"),
        (ErrorCode::Status, Some(status)) if is_refusal(*status) => tell!(
            warn,
            "it is up and does not take our request, which is a failure only by \
             --client-error-streak: are its URL and credentials right in the configuration?"
        ),
        (ErrorCode::Cancelled, _) => tell!(info, "we gave it up, as at a stop"),
        (ErrorCode::Panic, _) => tell!(error, "a fault of this program"),
        (ErrorCode::Local, _) => tell!(
            warn,
            "this does not count against the provider: was the process stopped or starved of the \
             CPU, or is it short of files (ulimit -n)?"
        ),
        (ErrorCode::Connect | ErrorCode::Dns | ErrorCode::Tls, _) => {
            tell!(warn, format!("{MEANS}: is the way there open? Try: valuation-server check"));
        }
        _ => tell!(warn, MEANS),
    }
}

const MEANS: &str =
    "if too many calls fail, the other provider is asked; if neither answers, the client gets 503";

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_failover_counts_neither_ignored_calls_nor_rescues_and_all_of_them_are_calls() {
        let calls = ProviderCalls::default();
        for (outcome, rescue) in [
            (CallOutcome::Success, false),
            (CallOutcome::Failure, false),
            (CallOutcome::Ignored, false),
            (CallOutcome::Success, true),
            (CallOutcome::Failure, true),
            (CallOutcome::Ignored, true),
        ] {
            calls.note(&ProviderCall { outcome, rescue, ..call(Some(200), None) });
        }
        let totals = calls.totals(Provider::Premium);
        assert_eq!((totals.calls, totals.failures, totals.rescues), (6, 2, 3));
        assert_eq!(totals.latencies.0[2], 4, "those of ignored calls are not latencies");
        let counted = calls.counted(Provider::Premium);
        assert_eq!((counted.calls, counted.failures, counted.rescues), (2, 1, 0));
        assert_eq!(calls.totals(Provider::SuperCar), Counts::ZERO);
    }

    fn call(response_code: Option<u16>, code: Option<ErrorCode>) -> ProviderCall {
        ProviderCall {
            vrm: crate::domain::Vrm::parse("A").unwrap(),
            provider: Provider::Premium,
            requested_at: SystemTime::UNIX_EPOCH,
            duration: Duration::from_millis(3),
            url: String::new(),
            response_code,
            error: code.map(|code| (code, String::new())),
            outcome: crate::domain::CallOutcome::Success,
            rescue: false,
        }
    }

    #[test]
    fn each_result_has_its_own_name() {
        let status = Some(ErrorCode::Status);
        for (call, expected) in [
            (call(Some(200), None), "ok"),
            (call(Some(404), status), "not_found"),
            (call(Some(401), status), "refused"),
            (call(Some(429), status), "status"),
            (call(Some(503), status), "status"),
            (call(None, Some(ErrorCode::Timeout)), "timeout"),
            (call(Some(200), Some(ErrorCode::BodyTooLarge)), "body_too_large"),
            (call(None, Some(ErrorCode::Panic)), "panic"),
        ] {
            assert_eq!(result(&call), expected);
        }
    }
}
