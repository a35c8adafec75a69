//! Provider calls: durations by result, and a log line for each failure.

use std::borrow::Cow;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::{ErrorCode, Provider, ProviderCall};

/// The upper bounds of a call's duration, in seconds.
const BOUNDS: [f64; 13] =
    [1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The durations of all provider calls. Clones share them.
#[derive(Clone, Debug)]
pub struct ProviderCalls(pub(super) Family<Labels, Histogram>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Labels {
    provider: &'static str,
    result: Cow<'static, str>,
}

impl Default for ProviderCalls {
    fn default() -> Self {
        let durations: Family<_, _> = Family::new_with_constructor(|| Histogram::new(BOUNDS));
        // Exported from the start, so that the first call is an increase.
        for provider in Provider::ALL {
            let labels = Labels { provider: provider.name(), result: OK };
            drop(durations.get_or_create(&labels));
        }
        Self(durations)
    }
}

impl ProviderCalls {
    /// Counts a call, and logs its failure.
    pub fn note(&self, call: &ProviderCall) {
        let labels = Labels { provider: call.provider.name(), result: result(call) };
        self.0.get_or_create(&labels).observe(call.duration.as_secs_f64());
        if let Some((code, message)) = &call.error {
            log(call, *code, message);
        }
    }
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
