//! The record of one attempt at a provider, and the trail that collects a request's attempts.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Provider, Vrm};

/// One attempt at a provider, whatever became of it. The log of these is what the contracts with
/// the providers are audited against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderCall {
    /// The vehicle that was asked about.
    pub vrm: Vrm,
    /// Who was asked.
    pub provider: Provider,
    /// When the attempt started.
    pub requested_at: SystemTime,
    /// How long it took until the answer was read whole, or until it was given up.
    pub duration: Duration,
    /// The whole URL, credentials and key parameters redacted.
    pub url: String,
    /// The status of the answer; `None` when none came.
    pub response_code: Option<u16>,
    /// What went wrong; `None` for a usable answer.
    pub error: Option<(ErrorCode, String)>,
    /// What the failover makes of it.
    pub outcome: CallOutcome,
    /// Whether it was made because another attempt at the same question had failed. The failover
    /// does not count it then.
    pub rescue: bool,
}

/// What an attempt says about its provider, under a name that stays the same for ever: it is stored.
/// An error is not always a failure: a vehicle that the provider does not know is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// The provider is up.
    Success,
    /// The provider failed.
    Failure,
    /// Nothing: the attempt was given up from our side, for example.
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

/// What went wrong with an attempt, under a name that stays the same for ever: it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The connection was refused or could not be made.
    Connect,
    /// The deadline passed first.
    Timeout,
    /// The connection broke before the answer was whole.
    Reset,
    /// The host's name did not resolve.
    Dns,
    /// TLS could not be agreed on.
    Tls,
    /// What came was not HTTP.
    Protocol,
    /// The status says failure or refusal.
    Status,
    /// The body was larger than is read.
    BodyTooLarge,
    /// The answer came, and its content can't be used.
    Unusable,
    /// The attempt was given up from our side.
    Cancelled,
    /// Our own code panicked during the attempt.
    Panic,
    /// Our own process was paused meanwhile, or could open no file: nothing about the provider.
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

/// The attempts that one question to the providers led to, in the order in which they ended.
///
/// Clones share the trail. Whoever asks the question takes the attempts out of it and stores them
/// together with what came of it.
#[derive(Clone, Debug, Default)]
pub struct CallTrail(Arc<Mutex<Vec<ProviderCall>>>);

impl CallTrail {
    /// Leaves the record of one attempt.
    pub fn push(&self, call: ProviderCall) {
        self.lock().push(call);
    }

    /// Whether no attempt has left its record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes all that was left so far.
    #[must_use]
    pub fn take(&self) -> Vec<ProviderCall> {
        mem::take(&mut *self.lock())
    }

    // A `Vec::push` or `take` that panics leaves a valid Vec, so poison says nothing here.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ProviderCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
