//! A row of the log as a line: for people, as JSON, as CSV.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};

use crate::domain::printable;
use crate::store::LoggedCall;
use crate::web::csv;

/// The form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Columns of fixed widths, so that each line can be written at once.
    Table { colours: bool },
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values, by RFC 4180.
    Csv,
}

const FAILED: Style = AnsiColor::Red.on_default();

/// The names of the columns.
const COLUMNS: [&str; 11] = [
    "id",
    "vrm",
    "providerName",
    "requestedAt",
    "requestDurationMs",
    "requestUrl",
    "responseCode",
    "errorCode",
    "errorMessage",
    "outcome",
    "rescue",
];

impl Lines {
    /// Appends the line before the first row, if there is one.
    pub(super) fn header(self, text: &mut String) -> fmt::Result {
        match self {
            Self::Table { .. } => columns(
                text,
                &["time", "provider", "VRM", "code", "ms", "outcome", "rescue", "error"],
            ),
            Self::Jsonl => Ok(()),
            Self::Csv => write!(text, "{}{}", COLUMNS.join(","), csv::END),
        }
    }

    /// Appends a row.
    pub(super) fn row(self, text: &mut String, call: &LoggedCall) -> fmt::Result {
        match self {
            Self::Table { colours } => {
                let is_marked = colours && call.has_failed();
                if is_marked {
                    write!(text, "{FAILED}")?;
                }
                table(text, call)?;
                if is_marked {
                    // Before the line's end: a terminal may colour the rest of the next line.
                    text.pop();
                    writeln!(text, "{FAILED:#}")?;
                }
                Ok(())
            }
            Self::Jsonl => {
                let json = serde_json::to_string(call).map_err(|_| fmt::Error)?;
                text.push_str(&json);
                text.push('\n');
                Ok(())
            }
            Self::Csv => csv_row(text, call),
        }
    }
}

fn table(text: &mut String, call: &LoggedCall) -> fmt::Result {
    let error = match (&call.error_code, &call.error_message) {
        (None, None) => String::new(),
        (Some(code), None) => code.clone(),
        (None, Some(message)) => message.clone(),
        (Some(code), Some(message)) => format!("{code}: {message}"),
    };
    let cells: [&str; 8] = [
        &call.requested_at,
        &call.provider_name,
        &call.vrm,
        &call.response_code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
        &call.request_duration_ms.to_string(),
        call.outcome.as_deref().unwrap_or("-"),
        if call.rescue == Some(true) { "rescue" } else { "" },
        &error,
    ];
    columns(text, &cells)
}

/// Another program may have stored anything.
fn columns(text: &mut String, cells: &[&str; 8]) -> fmt::Result {
    let [time, provider, vrm, code, ms, outcome, rescue, error] = cells.map(printable);
    let start = text.len();
    write!(
        text,
        "{time:<24}  {provider:<22}  {vrm:<7}  {code:>4}  {ms:>7}  {outcome:<7}  {rescue:<6}  {error}"
    )?;
    text.truncate(start + text[start..].trim_end().len());
    text.push('\n');
    Ok(())
}

fn csv_row(text: &mut String, call: &LoggedCall) -> fmt::Result {
    write!(text, "{},", call.id)?;
    cell(text, Some(&call.vrm));
    cell(text, Some(&call.provider_name));
    cell(text, Some(&call.requested_at));
    write!(text, "{},", call.request_duration_ms)?;
    cell(text, Some(&call.request_url));
    let code = call.response_code.map(|code| code.to_string());
    write!(text, "{},", code.unwrap_or_default())?;
    cell(text, call.error_code.as_deref());
    cell(text, call.error_message.as_deref());
    cell(text, call.outcome.as_deref());
    text.push_str(call.rescue.map_or("", |rescue| if rescue { "true" } else { "false" }));
    text.push_str(csv::END);
    Ok(())
}

fn cell(text: &mut String, cell: Option<&str>) {
    csv::cell(text, cell);
    text.push(',');
}

/// Writes rows.
pub(super) fn write(
    out: &mut impl std::io::Write,
    lines: Lines,
    calls: &[LoggedCall],
) -> std::io::Result<()> {
    let mut text = String::new();
    for call in calls {
        lines.row(&mut text, call).map_err(std::io::Error::other)?;
    }
    out.write_all(text.as_bytes())
}

/// Writes what is before the first row.
pub(super) fn write_header(out: &mut impl std::io::Write, lines: Lines) -> std::io::Result<()> {
    let mut text = String::new();
    lines.header(&mut text).map_err(std::io::Error::other)?;
    out.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> LoggedCall {
        LoggedCall {
            id: 7,
            vrm: "AB12CDE".to_owned(),
            provider_name: "SuperCar Valuations".to_owned(),
            requested_at: "2026-11-22T19:38:00.123Z".to_owned(),
            request_duration_ms: 5_000,
            request_url: "http://h/valuations/AB12CDE?mileage=1".to_owned(),
            response_code: None,
            error_code: Some("TIMEOUT".to_owned()),
            error_message: Some("no answer".to_owned()),
            outcome: Some("failure".to_owned()),
            rescue: Some(false),
        }
    }

    fn line(lines: Lines, call: &LoggedCall) -> String {
        let mut text = String::new();
        lines.row(&mut text, call).unwrap();
        text
    }

    #[test]
    fn a_table_s_failures_are_red_only_with_colours_and_its_columns_stay_in_place() {
        let plain = line(Lines::Table { colours: false }, &call());
        assert_eq!(
            plain,
            "2026-11-22T19:38:00.123Z  SuperCar Valuations     AB12CDE     -     5000  failure          \
             TIMEOUT: no answer\n"
        );
        let coloured = line(Lines::Table { colours: true }, &call());
        assert_eq!(coloured, format!("\u{1b}[31m{}\u{1b}[0m\n", plain.trim_end()));
        let success = LoggedCall {
            response_code: Some(200),
            error_code: None,
            error_message: None,
            outcome: Some("success".to_owned()),
            rescue: Some(true),
            ..call()
        };
        let success = line(Lines::Table { colours: true }, &success);
        assert!(success.ends_with("   200     5000  success  rescue\n"), "{success:?}");
    }

    #[test]
    fn no_character_of_a_row_controls_the_terminal() {
        let message = Some("\u{1b}[2J\n\u{202e}\u{85}".to_owned());
        let shown =
            line(Lines::Table { colours: false }, &LoggedCall { error_message: message, ..call() });
        assert!(shown.ends_with("TIMEOUT: \u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\n"), "{shown:?}");
    }

    #[test]
    fn csv_tells_null_from_an_empty_text_and_has_no_formulas() {
        let call = LoggedCall {
            vrm: "=1+1".to_owned(),
            error_code: None,
            error_message: Some(String::new()),
            outcome: Some("a \"b\",\nc".to_owned()),
            rescue: None,
            ..call()
        };
        assert_eq!(
            line(Lines::Csv, &call),
            "7,'=1+1,SuperCar Valuations,2026-11-22T19:38:00.123Z,5000,\
             http://h/valuations/AB12CDE?mileage=1,,,\"\",\"a \"\"b\"\",\nc\",\r\n"
        );
    }

    #[test]
    fn jsonl_has_the_columns_by_their_names_and_types() {
        assert_eq!(
            line(Lines::Jsonl, &call()),
            "{\"id\":7,\"vrm\":\"AB12CDE\",\"providerName\":\"SuperCar Valuations\",\
             \"requestedAt\":\"2026-11-22T19:38:00.123Z\",\"requestDurationMs\":5000,\
             \"requestUrl\":\"http://h/valuations/AB12CDE?mileage=1\",\"responseCode\":null,\
             \"errorCode\":\"TIMEOUT\",\"errorMessage\":\"no answer\",\"outcome\":\"failure\",\
             \"rescue\":false}\n"
        );
        let value = serde_json::to_value(call()).unwrap();
        let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns = COLUMNS;
        names.sort_unstable();
        columns.sort_unstable();
        assert_eq!(names, columns);
    }
}
