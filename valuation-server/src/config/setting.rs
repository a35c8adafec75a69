//! The settings' names, and where a value came from.

use std::fmt;
use std::path::PathBuf;

/// A setting. Its flag, its environment variable and its key in the file have the same name, each
/// in its own spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Setting {
    /// Where the server listens.
    Listen,
    /// The database's file.
    Database,
    /// Where SuperCar is reached.
    SupercarUrl,
    /// Where Premium is reached.
    PremiumUrl,
    /// The share of failing calls that must be exceeded.
    FailureRate,
    /// The number of calls below which nothing is concluded.
    MinCalls,
    /// How far back calls are counted.
    Window,
    /// How long calls go to the fallback.
    RevertAfter,
    /// The deadline of a whole call to a provider.
    ProviderTimeout,
    /// The version of HTTP that is spoken with the providers.
    ProviderHttp,
    /// The proxy that the providers are asked through.
    ProviderProxy,
    /// Certificate authorities of the providers, in addition to the system's.
    ProviderCa,
    /// The certificate that we show the providers.
    ProviderClientCert,
    /// Whether a single failed call is given to the other provider.
    Rescue,
    /// Which of Premium's two pairs of values is taken.
    PremiumRange,
    /// How many calls at once probe SuperCar when its time on the fallback is over.
    Probes,
    /// How long until all calls have returned to SuperCar.
    RampUp,
    /// The time beyond which a call to SuperCar is slow.
    SlowCall,
    /// The share of slow calls that must be exceeded.
    SlowRate,
    /// Whether SuperCar's own word says how long calls go to the fallback.
    FollowRetryAfter,
    /// The time beyond which a call to a provider is stalled.
    StalledCalls,
    /// How many stalled calls are too many.
    StalledLimit,
    /// Whether a failing Premium ends the time on the fallback.
    WatchFallback,
    /// What a streak of client errors of a provider means.
    ClientErrorStreak,
    /// Where the operators' side listens.
    AdminListen,
    /// What an operator has to show.
    AdminToken,
    /// The form of the log's lines.
    LogFormat,
    /// Whether each request leaves a line in the log.
    AccessLog,
    /// How many clients may be connected at once.
    MaxConnections,
    /// How many vehicles may be asked about at once.
    MaxPuts,
    /// How much memory stored valuations are kept in.
    Cache,
    /// What an answered commit survives.
    Durability,
}

impl Setting {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Self; 32] = [
        Self::Listen,
        Self::Database,
        Self::SupercarUrl,
        Self::PremiumUrl,
        Self::FailureRate,
        Self::MinCalls,
        Self::Window,
        Self::RevertAfter,
        Self::ProviderTimeout,
        Self::ProviderHttp,
        Self::ProviderProxy,
        Self::ProviderCa,
        Self::ProviderClientCert,
        Self::Rescue,
        Self::PremiumRange,
        Self::Probes,
        Self::RampUp,
        Self::SlowCall,
        Self::SlowRate,
        Self::FollowRetryAfter,
        Self::StalledCalls,
        Self::StalledLimit,
        Self::WatchFallback,
        Self::ClientErrorStreak,
        Self::AdminListen,
        Self::AdminToken,
        Self::LogFormat,
        Self::AccessLog,
        Self::MaxConnections,
        Self::MaxPuts,
        Self::Cache,
        Self::Durability,
    ];

    /// Those that say when to fail over and how to come back, which an operator may change while
    /// the server runs.
    pub const POLICY: [Self; 13] = [
        Self::FailureRate,
        Self::MinCalls,
        Self::Window,
        Self::RevertAfter,
        Self::Probes,
        Self::RampUp,
        Self::SlowCall,
        Self::SlowRate,
        Self::FollowRetryAfter,
        Self::StalledCalls,
        Self::StalledLimit,
        Self::WatchFallback,
        Self::ClientErrorStreak,
    ];

    /// The key in the file; the flag is the same after `--`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Database => "database",
            Self::SupercarUrl => "supercar-url",
            Self::PremiumUrl => "premium-url",
            Self::FailureRate => "failure-rate",
            Self::MinCalls => "min-calls",
            Self::Window => "window",
            Self::RevertAfter => "revert-after",
            Self::ProviderTimeout => "provider-timeout",
            Self::ProviderHttp => "provider-http",
            Self::ProviderProxy => "provider-proxy",
            Self::ProviderCa => "provider-ca",
            Self::ProviderClientCert => "provider-client-cert",
            Self::Rescue => "rescue",
            Self::PremiumRange => "premium-range",
            Self::Probes => "probes",
            Self::RampUp => "ramp-up",
            Self::SlowCall => "slow-call",
            Self::SlowRate => "slow-rate",
            Self::FollowRetryAfter => "follow-retry-after",
            Self::StalledCalls => "stalled-calls",
            Self::StalledLimit => "stalled-limit",
            Self::WatchFallback => "watch-fallback",
            Self::ClientErrorStreak => "client-error-streak",
            Self::AdminListen => "admin-listen",
            Self::AdminToken => "admin-token",
            Self::LogFormat => "log-format",
            Self::AccessLog => "access-log",
            Self::MaxConnections => "max-connections",
            Self::MaxPuts => "max-puts",
            Self::Cache => "cache",
            Self::Durability => "durability",
        }
    }

    /// The setting of that key, if there is one.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.key() == key)
    }

    /// The flag, such as `--failure-rate`.
    #[must_use]
    pub fn flag(self) -> String {
        format!("--{}", self.key())
    }

    /// The environment variable, such as `VALUATION_FAILURE_RATE`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("VALUATION_{}", self.key().replace('-', "_").to_ascii_uppercase())
    }

    /// What its value must be.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Listen => "an IP address and a port, such as 127.0.0.1:3000 or [::1]:3000",
            Self::Database => "the path of a file, such as valuations.sqlite",
            Self::SupercarUrl | Self::PremiumUrl => {
                "a URL that begins with http:// or https://, such as https://provider.example/v1"
            }
            Self::FailureRate => {
                "a share from 0 (any failure exceeds it) to below 1 (which nothing could exceed), \
                 such as 0.5, 1/3 or 50%"
            }
            Self::SlowRate => {
                "a share from 0 (any slow call exceeds it) to below 1 (which nothing could \
                 exceed), such as 0.5, 1/3 or 50%"
            }
            Self::MinCalls => "a whole number from 1 to 4294967295, such as 10",
            Self::Window => {
                "a duration with its unit, from 10ms to 30days, such as 500ms, 60s or 5m"
            }
            Self::RevertAfter | Self::ProviderTimeout => {
                "a duration with its unit, from 1ms to 30days, such as 500ms, 60s or 5m"
            }
            Self::Rescue | Self::FollowRetryAfter | Self::WatchFallback | Self::AccessLog => {
                "on or off"
            }
            Self::StalledCalls => {
                "off, or a duration with its unit, from 4ms to four fifths of provider-timeout, \
                 such as 2s"
            }
            Self::StalledLimit => {
                "a number of calls from 1, such as 20, or a share below 1 (which nothing could \
                 exceed), such as 0.5, 1/3 or 50%"
            }
            Self::ClientErrorStreak => "warn or failure",
            Self::ProviderHttp => "1.1 or 2",
            Self::ProviderProxy => {
                "off, or a URL that begins with http:// or https://, such as http://proxy.example:3128"
            }
            Self::ProviderCa | Self::ProviderClientCert => "off, or the path of a PEM file",
            Self::AdminListen => "off, or an IP address and a port, such as 127.0.0.1:9000",
            Self::AdminToken => "a text of 16 to 256 visible ASCII characters without spaces",
            Self::LogFormat => "text or json",
            Self::PremiumRange => "private-sale or dealership",
            Self::MaxConnections | Self::MaxPuts => "a whole number from 1 to 100000, such as 1000",
            Self::Cache => "off, or a size with its unit, from 1KiB to 1024GiB, such as 64MiB",
            Self::Durability => "full or normal",
            Self::Probes => "a whole number from 0 (no probing) to 1000, such as 3",
            Self::RampUp => {
                "off, or a duration with its unit, from 1ms to 30days, such as 30s or 5m"
            }
            Self::SlowCall => {
                "off, or a duration with its unit, from 1ms to below provider-timeout, such as 2s"
            }
        }
    }
}

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
    /// An operator, while the server runs.
    Operator,
    /// It was given nowhere.
    Default,
}

impl Origin {
    /// The place where `setting` was given, as one who has to correct it looks for it.
    #[must_use]
    pub fn place(&self, setting: Setting) -> String {
        match self {
            Self::Flag => setting.flag(),
            Self::Environment => setting.variable(),
            Self::File { path, line } => {
                format!("{} ({}, line {line})", setting.key(), path.display())
            }
            Self::Operator => setting.key().to_owned(),
            Self::Default => format!("{} (default)", setting.key()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Operator => f.write_str("operator"),
            Self::Default => f.write_str("default"),
        }
    }
}
