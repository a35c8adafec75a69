//! The configuration in force, with the origin of each value, as the page and `GET /admin/config` show it.

use std::time::SystemTime;

use askama::Template;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::format::{machine, time};
use super::{Part, render};

/// The configuration in force.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The document; `null` without one.
    pub document: Option<Document>,
    /// All settings, in the order of the documentation.
    pub settings: Vec<SettingInForce>,
}

/// A configuration's document, and what became of its newest version.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Its path or URL, without secrets.
    pub place: String,
    /// When the version in force was read.
    #[serde(serialize_with = "utc")]
    pub read_at: SystemTime,
    /// Why a newer version is not in force; `null` if there is none.
    pub refused: Option<Trouble>,
    /// Why it can't be read now; `null` if it can.
    pub unreachable: Option<Trouble>,
}

/// What is wrong with the document.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// When it was first seen.
    #[serde(serialize_with = "utc")]
    pub at: SystemTime,
    /// What is wrong.
    pub because: String,
}

/// A setting's value.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettingInForce {
    /// Its key in the file.
    pub key: &'static str,
    /// The value, without secrets; `null` if it is not set.
    pub value: Option<String>,
    /// Where it came from, in words.
    pub source: String,
    /// The address of the operator who changed it; `null` if none did.
    pub by: Option<String>,
    /// Since when it is in force.
    #[serde(serialize_with = "utc")]
    pub since: SystemTime,
    /// When another value takes effect: `operator`, `reload` or `restart`.
    pub change: &'static str,
    /// Whether a restart would bring another value.
    pub waits: bool,
    /// The value after a restart, without secrets; `null` if it would not be set.
    pub at_restart: Option<String>,
}

/// RFC 3339 in UTC, to the millisecond. A time that the calendar does not have is its nearest.
fn utc<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let time = Timestamp::try_from(*time).unwrap_or(Timestamp::MAX);
    to.collect_str(&format_args!("{time:.3}"))
}

#[derive(Template)]
#[template(path = "operator/configuration.html")]
struct Shown<'a> {
    now: SystemTime,
    configuration: &'a Configuration,
}

impl Shown<'_> {
    fn time(&self, at: &SystemTime) -> String {
        time(*at, self.now)
    }

    fn machine(at: &SystemTime) -> String {
        machine(*at)
    }

    fn or_unset(value: &Option<String>) -> &str {
        value.as_deref().unwrap_or("not set")
    }
}

/// The part of the page.
pub(super) fn part(configuration: &Configuration, now: SystemTime) -> Part {
    ("configuration".to_owned(), render(&Shown { now, configuration }))
}
