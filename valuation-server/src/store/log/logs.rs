//! The rows of `ProviderLogs`: one per provider call, written once and never changed.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rusqlite::{Statement, params};
use serde::Serialize;

use super::rows::{integer, time_text};
use crate::domain::{CallOutcome, Entry, ErrorCode, Provider, ProviderCall, Vrm, row_outcome};
use crate::store::error::StoreError;
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// Stores the record of a call.
pub(in crate::store) const INSERT: &str = r#"INSERT INTO "ProviderLogs" ("vrm", "providerName", "requestedAt",
    "requestDurationMs", "requestUrl", "responseCode", "errorCode", "errorMessage", "outcome",
    "rescue") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"#;

/// The columns that each database has. A row has two more: outcome and rescue.
pub(in crate::store) const FIRST_COLUMNS: &str = r#""id", "vrm", "providerName", "requestedAt",
    "requestDurationMs", "requestUrl", "responseCode", "errorCode", "errorMessage""#;

/// The longest error message that is stored, in characters.
const MESSAGE_LIMIT: usize = 500;

/// A row of `ProviderLogs`, as it is stored. Serialized, its fields have the names of the columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedCall {
    /// The row's number: it rises with each row, and is never used again.
    pub id: i64,
    /// The vehicle.
    pub vrm: String,
    /// The provider.
    pub provider_name: String,
    /// When the call started: UTC, ISO 8601 with milliseconds, `2026-11-22T19:38:00.123Z`.
    pub requested_at: String,
    /// How long it took, in whole milliseconds.
    pub request_duration_ms: i64,
    /// The whole URL, with credentials and key parameters redacted.
    pub request_url: String,
    /// The answer's status; `None` if there was no answer.
    pub response_code: Option<u16>,
    /// The stable error code; `None` for a usable answer.
    pub error_code: Option<String>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// The outcome that the failover counted: `success`, `failure` or `ignored`; `None` in rows from
    /// before this column.
    pub outcome: Option<String>,
    /// Whether an earlier call for the same request had failed; `None` as above.
    pub rescue: Option<bool>,
}

impl LoggedCall {
    /// Whether its outcome is failure, as [`row_outcome`] judges it.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let code = self.response_code.map(i64::from);
        row_outcome(self.outcome.as_deref(), code, self.error_code.as_deref())
            == CallOutcome::Failure
    }
}

/// A call as it is stored.
pub(in crate::store) struct Stored<'a> {
    pub(in crate::store) vrm: &'a str,
    pub(in crate::store) provider: &'static str,
    pub(in crate::store) requested_at: String,
    pub(in crate::store) duration_ms: i64,
    pub(in crate::store) url: &'a str,
    pub(in crate::store) response_code: Option<i64>,
    pub(in crate::store) error_code: Option<&'static str>,
    pub(in crate::store) error_message: Option<String>,
    pub(in crate::store) outcome: &'static str,
    pub(in crate::store) rescue: i64,
}

impl<'a> Stored<'a> {
    pub(in crate::store) fn of(call: &'a ProviderCall) -> Self {
        let error = call.error.as_ref();
        Self {
            vrm: call.vrm.as_str(),
            provider: Provider::name(call.provider),
            requested_at: timestamp(call.requested_at),
            duration_ms: milliseconds(call.duration),
            url: &call.url,
            response_code: call.response_code.map(i64::from),
            error_code: error.map(|(code, _)| ErrorCode::as_str(*code)),
            error_message: error.map(|(_, message)| printable(message)),
            outcome: call.outcome.as_str(),
            rescue: i64::from(call.rescue),
        }
    }
}

/// Runs [`INSERT`], and gives the number of rows: 0 if a trigger ignored it.
pub(in crate::store) fn insert(
    insert: &mut Statement<'_>,
    call: &ProviderCall,
) -> rusqlite::Result<u64> {
    let stored = Stored::of(call);
    let rows = insert.execute(params![
        stored.vrm,
        stored.provider,
        stored.requested_at,
        stored.duration_ms,
        stored.url,
        stored.response_code,
        stored.error_code,
        stored.error_message,
        stored.outcome,
        stored.rescue,
    ])?;
    Ok(rows as u64)
}

/// The newest `limit` calls, for one vehicle or all, in ascending order.
pub(in crate::store) fn newest(
    sql: &dyn Sql,
    vrm: Option<&Vrm>,
    limit: u32,
) -> Result<Vec<LoggedCall>, SqlError> {
    let limit = ValueRef::Integer(i64::from(limit));
    let (condition, values) = match vrm {
        Some(vrm) => (r#"WHERE "vrm" = $2"#, vec![limit, ValueRef::from(vrm.as_str())]),
        None => ("", vec![limit]),
    };
    let select = format!(
        r#"SELECT {FIRST_COLUMNS}, "outcome", "rescue" FROM "ProviderLogs" {condition}
            ORDER BY "id" DESC LIMIT $1"#
    );
    let mut calls = sql.all(&select, &values, from_row)?;
    calls.reverse();
    Ok(calls)
}

/// Logs the calls of an entry that could not be stored.
pub(in crate::store) fn report_lost(entry: &Entry, error: &StoreError) {
    for call in entry.calls.iter().map(Stored::of) {
        tracing::error!(
            vrm = %call.vrm,
            provider = %call.provider,
            requested_at = call.requested_at,
            duration_ms = call.duration_ms,
            url = call.url,
            response_code = call.response_code,
            error_code = call.error_code,
            error_message = call.error_message,
            outcome = call.outcome,
            rescue = call.rescue != 0,
            %error,
            "a provider call could not be stored in ProviderLogs"
        );
    }
}

/// Nothing in a row is an error, since another program may have stored anything: a value of another type than
/// its column's is converted, or left out.
pub(in crate::store) fn from_row(row: &dyn Row) -> Result<LoggedCall, SqlError> {
    Ok(LoggedCall {
        id: row.integer(0)?,
        vrm: text(row.value(1)?).unwrap_or_default(),
        provider_name: text(row.value(2)?).unwrap_or_default(),
        requested_at: text(row.value(3)?).unwrap_or_default(),
        request_duration_ms: integer(row.value(4)?).unwrap_or_default(),
        request_url: text(row.value(5)?).unwrap_or_default(),
        response_code: integer(row.value(6)?).and_then(|code| u16::try_from(code).ok()),
        error_code: text(row.value(7)?),
        error_message: text(row.value(8)?),
        outcome: text(row.value(9)?),
        rescue: integer(row.value(10)?).map(|rescue| rescue != 0),
    })
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

/// A time as the log has it.
pub(in crate::store) fn timestamp(at: SystemTime) -> String {
    // Only a clock that is thousands of years wrong is out of range.
    time_text(Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH))
}

pub(in crate::store) fn milliseconds(duration: Duration) -> i64 {
    let rounded = duration.saturating_add(Duration::from_micros(500)).as_millis();
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// At most [`MESSAGE_LIMIT`] characters, none of which breaks a line or controls a terminal.
fn printable(message: &str) -> String {
    let shown = |c: char| match c {
        '"' | '\'' | '\\' => c,
        c if c.is_whitespace() => ' ',
        // A character that `Debug` escapes is not printable.
        c if c.escape_debug().nth(1).is_some() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let mut text: String = message.chars().map(shown).take(MESSAGE_LIMIT).collect();
    if message.chars().nth(MESSAGE_LIMIT).is_some() {
        text.pop();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_exactly_three_decimals() {
        let at = |ms| timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_795_376_280_120), "2026-11-22T19:38:00.120Z");
        let odd = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_999_999);
        assert_eq!(timestamp(odd), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn a_lost_calls_line_has_all_that_its_row_would_have() {
        use std::io::Write;
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let call = ProviderCall {
            vrm: Vrm::parse("AA99BCD").unwrap(),
            provider: Provider::Premium,
            requested_at: SystemTime::UNIX_EPOCH,
            duration: Duration::from_millis(12),
            url: "http://h/valueCar?vrm=AA99BCD".to_owned(),
            response_code: Some(503),
            error: Some((ErrorCode::Status, "the provider answered with 503".to_owned())),
            outcome: CallOutcome::Failure,
            rescue: true,
        };
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let entry = Entry { valuation: None, calls: vec![call] };
            report_lost(&entry, &StoreError::Closed);
        });
        let line: serde_json::Value = serde_json::from_slice(&lines.0.lock().unwrap()).unwrap();
        for (field, expected) in [
            ("vrm", "AA99BCD"),
            ("provider", "Premium Car Valuations"),
            ("requested_at", "1970-01-01T00:00:00.000Z"),
            ("duration_ms", "12"),
            ("url", "http://h/valueCar?vrm=AA99BCD"),
            ("response_code", "503"),
            ("error_code", "STATUS"),
            ("error_message", "the provider answered with 503"),
            ("outcome", "failure"),
            ("rescue", "true"),
        ] {
            let value = &line["fields"][field];
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(text, expected, "{field} in {line}");
        }
    }

    #[test]
    fn durations_are_rounded_to_whole_milliseconds() {
        assert_eq!(milliseconds(Duration::from_micros(499)), 0);
        assert_eq!(milliseconds(Duration::from_micros(1_500)), 2);
        assert_eq!(milliseconds(Duration::MAX), i64::MAX);
    }

    #[test]
    fn messages_are_bounded_and_printable() {
        assert_eq!(printable("it's \"so\" \\ plain – ünï"), "it's \"so\" \\ plain – ünï");
        assert_eq!(printable("a\r\nb\tc\u{2028}d"), "a  b c d");
        assert_eq!(printable("\u{1b}[31m\u{202e}\u{0}"), "\u{fffd}[31m\u{fffd}\u{fffd}");
        assert_eq!(printable(&"x".repeat(500)), "x".repeat(500));
        assert_eq!(printable(&"ü".repeat(501)), "ü".repeat(499) + "…");
    }
}
