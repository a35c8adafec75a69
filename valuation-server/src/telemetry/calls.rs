//! Calls to the providers: counted and timed by result, and each failure told in words.

use crate::domain::{ErrorCode, Provider, ProviderCall};
use crate::histogram::{Histogram, Reading};

/// The ends of the ranges of a call's duration, in nanoseconds.
const BOUNDS: [u64; 13] = [
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

const PROVIDERS: [Provider; 2] = [Provider::SuperCar, Provider::Premium];
/// A usable answer, a vehicle that is not known, another refusal, and then the errors' names.
const RESULTS: usize = 3 + ErrorCode::ALL.len();

/// The counts of all calls to the providers.
#[derive(Debug)]
pub struct ProviderCalls(Box<[Histogram<13>]>);

impl Default for ProviderCalls {
    fn default() -> Self {
        Self((0..PROVIDERS.len() * RESULTS).map(|_| Histogram::new(&BOUNDS)).collect())
    }
}

impl ProviderCalls {
    /// Counts an attempt, and writes its failure into the log.
    pub fn note(&self, call: &ProviderCall) {
        let provider = usize::from(call.provider == Provider::Premium);
        let nanos = u64::try_from(call.duration.as_nanos()).unwrap_or(u64::MAX);
        self.0[provider * RESULTS + result(call)].add(nanos);
        if let Some((code, message)) = &call.error {
            log(call, *code, message);
        }
    }

    /// Each provider's name and the result's, beside the durations in nanoseconds; of the results
    /// that came about, and of the good one.
    pub(super) fn series(&self) -> Vec<(&'static str, String, Reading)> {
        let mut all = self.0.iter();
        let mut seen = Vec::new();
        for provider in PROVIDERS {
            for (at, histogram) in (0..RESULTS).zip(&mut all) {
                let durations = histogram.read();
                if at == 0 || durations.count() > 0 {
                    seen.push((provider.name(), name(at), durations));
                }
            }
        }
        seen
    }
}

fn result(call: &ProviderCall) -> usize {
    match (&call.error, call.response_code) {
        (None, _) => 0,
        (Some((ErrorCode::Status, _)), Some(404)) => 1,
        (Some((ErrorCode::Status, _)), Some(status)) if is_refusal(status) => 2,
        (Some((code, _)), _) => {
            3 + ErrorCode::ALL.iter().position(|known| known == code).unwrap_or(0)
        }
    }
}

fn name(result: usize) -> String {
    match result {
        0 => "ok".to_owned(),
        1 => "not_found".to_owned(),
        2 => "refused".to_owned(),
        code => ErrorCode::ALL[code - 3].as_str().to_ascii_lowercase(),
    }
}

/// Whether the provider is up and says no: the same statuses that do not count against it.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && status != 408 && status != 429
}

/// What happened, what it means, and what there is to do.
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
            let means = means(call);
            tell!(warn, format!("{means}: is the way there open? Try: valuation-server check"));
        }
        _ => tell!(warn, means(call)),
    }
}

fn means(call: &ProviderCall) -> &'static str {
    match call.provider {
        Provider::SuperCar => "if too many calls fail, Premium is asked instead",
        Provider::Premium => "where SuperCar gives no answer either, the client gets 503",
    }
}

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
            assert_eq!(name(result(&call)), expected);
        }
    }
}
