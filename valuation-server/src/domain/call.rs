//! The record of an attempt at a provider, and the trail that collects a request's attempts.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Provider, Vrm};

/// One attempt at a provider, whatever its end. The contracts with the providers are audited by the log
/// of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderCall {
    /// The vehicle that was asked about.
    pub vrm: Vrm,
    /// The provider that was asked.
    pub provider: Provider,
    /// When the attempt started.
    pub requested_at: SystemTime,
    /// The time until the whole answer was read, or until the attempt was given up.
    pub duration: Duration,
    /// The whole URL, with credentials and key parameters redacted.
    pub url: String,
    /// The answer's status; `None` if there was no answer.
    pub response_code: Option<u16>,
    /// What went wrong; `None` for a usable answer.
    pub error: Option<(ErrorCode, String)>,
    /// The outcome that the failover counts.
    pub outcome: CallOutcome,
    /// Whether it was made because another attempt for the same request had failed. The failover does
    /// not count it then.
    pub rescue: bool,
}

/// What an attempt says about its provider. The names are stored and must not change. An error is not
/// always a failure: an unknown vehicle is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// The provider is healthy.
    Success,
    /// The provider failed.
    Failure,
    /// Nothing, for example because the attempt was given up.
    Ignored,
}

impl CallOutcome {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Ignored => "ignored",
        }
    }
}

/// What went wrong with an attempt. The names are stored and must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The connection was refused or could not be made.
    Connect,
    /// The deadline passed.
    Timeout,
    /// The connection broke before the end of the answer.
    Reset,
    /// The host's name did not resolve.
    Dns,
    /// TLS could not be established.
    Tls,
    /// The answer was not HTTP.
    Protocol,
    /// The status is a failure or a refusal.
    Status,
    /// The body was too large.
    BodyTooLarge,
    /// The answer's content can't be used.
    Unusable,
    /// The attempt was dropped.
    Cancelled,
    /// Our own code panicked during the attempt.
    Panic,
    /// Our own process was paused, or could not open a file. It says nothing about the provider.
    Local,
}

impl ErrorCode {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Timeout => "TIMEOUT",
            Self::Reset => "RESET",
            Self::Dns => "DNS",
            Self::Tls => "TLS",
            Self::Protocol => "PROTOCOL",
            Self::Status => "STATUS",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::Unusable => "UNUSABLE",
            Self::Cancelled => "CANCELLED",
            Self::Panic => "PANIC",
            Self::Local => "LOCAL",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The attempts of one request to the providers, in the order in which they ended.
///
/// Clones share the trail. The caller takes the attempts from it and stores them with the result.
#[derive(Clone, Debug, Default)]
pub struct CallTrail(Arc<Mutex<Vec<ProviderCall>>>);

impl CallTrail {
    /// Adds the record of an attempt.
    pub fn push(&self, call: ProviderCall) {
        self.lock().push(call);
    }

    /// Whether no attempt has ended yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes all records so far.
    #[must_use]
    pub fn take(&self) -> Vec<ProviderCall> {
        mem::take(&mut *self.lock())
    }

    // A `Vec::push` or `take` that panics leaves a valid Vec, so poisoning is ignored.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ProviderCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
