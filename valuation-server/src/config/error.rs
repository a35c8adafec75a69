//! Errors of a configuration.

use std::time::Duration;

use failover::ratio::RatioError;

use super::Setting;
use crate::document::{Place, Unread, WrongPlace, WrongToken};
use crate::providers::BaseUrlError;

/// Why there is no configuration. Each text names the setting as it was given, the value, and what
/// would be right. Tokens, and credentials and keys in URLs, are redacted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting does not take the value.
    #[error("{place}: {value:?} is not {}{because}", setting.row().form.expected)]
    Value {
        /// The setting.
        setting: Setting,
        /// Where the value was given: a flag, a variable, or a key with its document and line.
        place: String,
        /// The value, redacted.
        value: String,
        /// What is wrong.
        because: Invalid,
    },
    /// Required settings, the providers' URLs, are given nowhere.
    #[error(
        "serve needs to know where the providers are: set {}; to try it without providers: \
         valuation-server demo", missing_urls(.0)
    )]
    Missing(Vec<Setting>),
    /// The place of the document is wrong.
    #[error("--config (or VALUATION_CONFIG): {0}")]
    Place(#[from] WrongPlace),
    /// The token for the document can't be sent. It is not shown.
    #[error("{variable}: {because}")]
    Token {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        because: WrongToken,
    },
    /// The document can't be read.
    #[error(
        "the configuration {} {place} can't be read: {because}; name another one with --config or {}",
        place.noun(), super::FILE_VARIABLE
    )]
    Unreadable {
        /// Where it should be.
        place: Place,
        /// Why.
        because: Unread,
    },
    /// The document is not TOML.
    #[error("the configuration {} {place} is not TOML in line {line}: {message}", place.noun())]
    Syntax {
        /// Where it is.
        place: Place,
        /// The line, from 1.
        line: usize,
        /// What the reader of TOML says.
        message: String,
    },
    /// A variable has our prefix and is not a setting. Its value is not shown: it may be a secret.
    #[error("there is no setting {name}; the nearest is {nearest}")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The setting's variable with the most similar name.
        nearest: String,
    },
    /// The document has a key that is not a setting.
    #[error(
        "the configuration {} {place} has an unknown key {key:?} in line {line}; there are {}",
        place.noun(), keys()
    )]
    UnknownKey {
        /// Where it is.
        place: Place,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
}

impl ConfigError {
    /// Whether another try may succeed with nothing changed: the server that has the document did not give it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreadable {
                place: Place::Url(_),
                because: Unread::Unanswered(_) | Unread::Late(_) | Unread::Status(_)
            }
        )
    }
}

/// What is wrong with a value. The text follows the text that says what is expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// It is not what is expected.
    #[error("")]
    Form,
    /// A variable's bytes are not UTF-8.
    #[error(": it is not Unicode")]
    NotUnicode,
    /// The URL breaks a rule.
    #[error(": {0}")]
    Url(#[from] BaseUrlError),
    /// The share can't be read.
    #[error(": {0}")]
    Share(#[from] RatioError),
    /// The share is 1.
    #[error(": nothing exceeds 1")]
    One,
    /// The share is above 1.
    #[error(": it is above 1")]
    AboveOne,
    /// The duration can't be read.
    #[error(": {0}")]
    Duration(#[from] humantime::DurationError),
    /// No call takes that long: this deadline ends it before.
    #[error(": calls end after {}", humantime::format_duration(*.0))]
    AfterDeadline(Duration),
    /// The operators' side would be open to other machines.
    #[error(
        ": any client that reaches it commands the server: choose a loopback address, or set \
         admin-token (VALUATION_ADMIN_TOKEN)"
    )]
    Unguarded,
    /// The database can't be used so.
    #[error(": {0}")]
    Database(String),
    /// This node can't join a cluster so.
    #[error(": {0}")]
    Cluster(String),
}

fn missing_urls(settings: &[Setting]) -> String {
    let ways: Vec<String> = settings
        .iter()
        .map(|s| format!("{} (or {}, or {} in the file)", s.flag(), s.variable(), s.key()))
        .collect();
    ways.join(" and ")
}

fn keys() -> String {
    Setting::ALL.map(Setting::key).join(", ")
}
