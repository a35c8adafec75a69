//! `report`, as an auditor runs it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::process_harness::binary;
use crate::report_support::{LogRow, insert};
use crate::store_support::Place;

/// 1 October 2026 in London, in milliseconds.
const OCTOBER: i64 = 1_790_809_200_000;
const MINUTE: i64 = 60_000;
const SUPERCAR: &str = "SuperCar Valuations";

pub(crate) fn row(minute: i64, provider: &'static str, error_code: Option<&'static str>) -> LogRow {
    LogRow {
        at: Ok(OCTOBER + minute * MINUTE),
        provider,
        duration_ms: if error_code.is_some() { 5_000 } else { 120 },
        response_code: error_code.is_none().then_some(200),
        error_code,
        outcome: Some(if error_code.is_some() { "failure" } else { "success" }),
        rescue: Some(provider != SUPERCAR),
    }
}

/// A call a minute for a day, with an outage of twelve minutes, and one call on 2 November.
pub(crate) fn october() -> Place {
    let place = Place::new();
    place.make();
    let mut rows = Vec::new();
    for minute in 0..1_440 {
        let is_down = (600..612).contains(&minute);
        rows.push(row(minute, SUPERCAR, is_down.then_some("TIMEOUT")));
        if is_down {
            rows.push(row(minute, "Premium Car Valuations", None));
        }
    }
    rows.push(row(32 * 1_440 + 60, SUPERCAR, None));
    rows.push(LogRow { at: Err("yesterday"), ..row(0, SUPERCAR, None) });
    insert(&place.neighbour(), &rows);
    place
}

async fn report(database: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = binary();
    command.arg("report").arg("--database").arg(database).args(arguments);
    command.stdout(Stdio::piped());
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

pub(crate) async fn printed(place: &Place, arguments: &[&str]) -> String {
    let (code, out, error) = report(&place.path(), arguments).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    out
}

const LONDON: [&str; 2] = ["--time-zone", "Europe/London"];

#[tokio::test]
async fn a_table_says_whether_the_target_was_met_and_how_it_is_counted() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let terms = ["--provider", "supercar", "--from", "2026-10", "--to", "2026-12"];
    let more = ["--target", "99.9%", "--slow", "2s", "--by", "month"];
    let out = printed(&place, &[&LONDON[..], &terms, &more].concat()).await;
    let line = |begins: &str| {
        let found = out.lines().find(|line| line.trim_start().starts_with(begins));
        found
            .unwrap_or_else(|| panic!("no {begins} in {out}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        line("2026-10 "),
        "2026-10 1440 12 99.16% 99.16% 120 120 120 5000 1 12 min 12 min 99.17% 0.83% missed by 11 missed by 11"
    );
    assert_eq!(
        line("2026-11 "),
        "2026-11 1 0 100.00% 100.00% 120 120 120 120 0 100.00% 0.00% met, 0 to spare met, 0 to spare"
    );
    assert_eq!(line("failures:"), "failures: TIMEOUT 12");
    assert_eq!(
        line("2026-10-01 10:00"),
        "2026-10-01 10:00+01:00 to 2026-10-01 10:12+01:00, 12 min"
    );
    for statement in [
        "time: from 2026-10-01 00:00+01:00 to before 2026-12-01 00:00+00:00, in whole minutes",
        "time zone: Europe/London, by month; 2026-10-25 has 25 hours",
        "slow: longer than 2007 ms",
        "rows: ids 1 to 1453 of ProviderLogs",
        "excluded: nothing",
        "not counted: 1 rows of the log",
    ] {
        assert!(out.contains(statement), "{statement} in {out}");
    }
}

#[tokio::test]
async fn each_format_has_the_same_figures_and_no_calls_are_no_data() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let terms =
        ["--from", "2026-10-01", "--to", "2026-10-03", "--by", "day", "--fallback-price", "0.20"];
    let terms = [&LONDON[..], &terms].concat();
    let of = |format| [&terms[..], &["--format", format]].concat();

    let table = printed(&place, &terms).await;
    assert!(table.contains("price: £2.40 for 12 calls"), "{table}");
    let empty =
        table.lines().filter(|line| line.contains("no data") && line.contains("2026-10-02"));
    assert_eq!(empty.count(), 2, "{table}");

    let csv = printed(&place, &of("csv")).await;
    let rows: Vec<Vec<&str>> = csv
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 1 + 2 * 3 + 1);
    let column = |name| rows[0].iter().position(|column| *column == name).unwrap();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let premium = &rows[1..4];
    assert_eq!(premium[0][column("calls")], "12");
    assert_eq!(premium[0][column("price_pence")], "240");
    assert_eq!((premium[1][column("calls")], premium[1][column("availability")]), ("0", ""));
    let supercar = &rows[4..];
    assert_eq!(supercar[2][column("period")], "total");
    assert_eq!(supercar[2][column("availability")], "99.16");
    let records: Vec<_> = rows[1..].iter().map(|row| row[column("record")]).collect();
    assert_eq!(records, ["period", "period", "total", "period", "period", "total", "outage"]);
    let outage: Vec<_> = ["provider", "period", "start", "end", "calls", "outage_minutes"]
        .map(|name| supercar[3][column(name)])
        .to_vec();
    let times = ["2026-10-01T09:00:00Z", "2026-10-01T09:12:00Z"];
    assert_eq!(outage, [SUPERCAR, "2026-10-01", times[0], times[1], "", "12"]);
    assert!(csv.contains("# time zone: Europe/London, by day; every day has 24 hours"), "{csv}");

    let json: Value = serde_json::from_str(&printed(&place, &of("json")).await).unwrap();
    let supercar = &json["providers"][1];
    assert_eq!(supercar["name"], SUPERCAR);
    assert_eq!(supercar["total"]["availability"], "99.16%");
    assert_eq!(supercar["periods"][1]["availability"], Value::Null);
    assert_eq!(supercar["outages"][0]["minutes"], 12);
    assert_eq!(json["providers"][0]["total"]["rescued"], 12);
    assert!(json["accounting"].as_array().unwrap().len() > 8);

    let exact = printed(&place, &[&of("json")[..], &["--exact"]].concat()).await;
    let mut exact: Value = serde_json::from_str(&exact).unwrap();
    exact["accounting"] = json["accounting"].clone();
    assert_eq!(exact, json);
}

#[tokio::test]
async fn months_between_two_calls_to_the_fallback_are_no_outage_in_any_format() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let rows = [row(600, "Another", Some("TIMEOUT")), row(59 * 1_440, "Another", None)];
    insert(&place.neighbour(), &rows);
    for (format, part) in [
        ("table", "2026-10-01 10:00+01:00 to an unknown end, 1 min"),
        ("csv", "Another,outage,2026-10,2026-10-01T09:00:00Z,,"),
        ("json", "\"recovered\": null"),
        ("html", "<td>unknown</td><td>1 min</td>"),
    ] {
        let out = printed(&place, &[&LONDON[..], &["--format", format]].concat()).await;
        assert!(out.contains(part), "{part} in {out}");
    }
    let out = printed(&place, &["--format", "json"]).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    let total = &json["providers"][0]["total"];
    let figures = ["outages", "longestOutageMinutes", "recoveries", "recoveryMinutes"];
    assert_eq!(figures.map(|name| total[name].as_u64().unwrap()), [1, 1, 0, 0]);
}

#[tokio::test]
async fn the_documentation_has_the_definitions_that_a_report_prints() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let json: Value = serde_json::from_str(&printed(&place, &["--format", "json"]).await).unwrap();
    let docs = include_str!("../../docs/report.md").replace('`', "");
    for term in [
        "call",
        "ignored call",
        "failure",
        "availability",
        "outage",
        "to recover",
        "durations",
        "percentages",
    ] {
        let mut accounting = json["accounting"].as_array().unwrap().iter();
        let found = accounting.find(|statement| statement["topic"] == term);
        let found = found.unwrap_or_else(|| panic!("no {term} in {json}"));
        let row = format!("| {term} | {}", found["statement"].as_str().unwrap());
        assert!(docs.contains(&row), "not in docs/report.md: {row}");
    }
}

#[tokio::test]
async fn a_signal_ends_a_report_at_once() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let mut command = binary();
    // It reads heads until the input ends, which it does not.
    command.args(["report", "--verify", "--witness", "@/dev/stdin", "--database"]);
    command.arg(place.path()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than a pipe holds, so that the signal comes after the process has begun to read.
    input.write_all(&b"-\n".repeat(100_000)).await.unwrap();
    let id = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    let output = output.await.expect("it ends at the first signal").unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert_eq!(error, "error: interrupted: there is no output\n");
    drop(input);
}

#[tokio::test]
async fn a_planned_window_is_named_and_not_counted() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let window = "2026-10-01T09:50/2026-10-01T10:12=planned maintenance";
    let terms = ["--from", "2026-10", "--to", "2026-11", "--target", "100", "--exclude", window];
    let out = printed(&place, &[&LONDON[..], &terms].concat()).await;
    assert!(out.contains("met, 0 to spare"), "{out}");
    assert!(
        out.contains(
            "excluded: planned maintenance: from 2026-10-01 09:50+01:00 to before 2026-10-01 10:12+01:00"
        ),
        "{out}"
    );
}

#[tokio::test]
async fn wrong_flags_and_files_are_refused_with_what_would_be_right() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    for (arguments, part) in [
        (&["--from", "October"][..], "October is no time; write a month 2026-10"),
        (&["--time-zone", "London"], "no time zone London; name one of the IANA database"),
        (&["--from", "2026-11", "--to", "2026-10"], "not after its start"),
        (&["--exclude", "2026-10-01/2026-10-02"], "write FROM/TO=NAME"),
        (&["--exclude", "2026-10-02/2026-10-01=x"], "its end is not after its start"),
        (&["--target", "101%"], "not a percentage"),
        (&["--target", "0.999"], "may mean 0.999% or 99.9%"),
        (&["--fallback-price", "0.205"], "at most two decimals"),
        (&["--from", "1970-01-01", "--to", "2026-10-01", "--by", "hour"], "choose longer ones"),
    ] {
        let (code, out, error) = report(&place.path(), arguments).await;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(error.contains(part), "{part} in {error}");
    }
    let nothing = place.folder.path().join("nothing.sqlite");
    let (code, _, error) = report(&nothing, &[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("nothing.sqlite: there is no such file; name it with"), "{error}");
    let (code, _, error) = report(&place.path(), &["--provider", "Supercat"]).await;
    assert_eq!(code, 1);
    let others =
        "Supercat: the log has no such provider, but Premium Car Valuations, SuperCar Valuations";
    assert!(error.contains(others), "{error}");
    let window = ["--exclude", "2026-10-01/2026-10-02=x"];
    let time = ["--from", "2026-10-01", "--to", "2026-10-02", "--provider", "supercar"];
    let out = printed(&place, &[&window[..], &time].concat()).await;
    assert!(
        out.starts_with(
            "no data: there is no call of SuperCar Valuations in this time outside of what is excluded"
        ),
        "{out}"
    );
    assert!(!nothing.exists());

    place.neighbour().execute_batch(r#"DELETE FROM "ProviderLogs""#).unwrap();
    let (code, _, error) = report(&place.path(), &[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("the log has no calls; name both --from and --to"), "{error}");
    let out = printed(&place, &["--from", "2026-10", "--to", "2026-11"]).await;
    assert!(out.starts_with("no data: there is no call in this time"), "{out}");
    assert!(!out.contains("100.00%"), "{out}");
}

#[tokio::test]
async fn a_call_of_a_clock_that_was_wrong_does_not_make_a_report_of_decades() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let wrong = row(40 * 365 * 1_440, SUPERCAR, None);
    insert(&place.neighbour(), &[wrong, row(40 * 365 * 1_440, "Another", None)]);
    for exact in [&[][..], &["--exact"]] {
        let out = printed(&place, &[&LONDON[..], exact].concat()).await;
        assert!(out.contains("to before 2026-12-01 00:00+00:00, in whole minutes"), "{out}");
        assert!(out.contains("which is after this report was made: 2; somebody's clock"), "{out}");
        let one =
            printed(&place, &[&LONDON[..], exact, &["--provider", "Supercar"]].concat()).await;
        assert!(one.contains("which is after this report was made: 1;"), "{one}");
        let all = printed(&place, &[&LONDON[..], exact, &["--to", "2067-01"]].concat()).await;
        assert!(all.contains("2066-09") && !all.contains("somebody's clock"), "{all}");
    }
}

#[tokio::test]
async fn a_failure_without_an_error_code_is_named_as_such() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let failed = LogRow { outcome: Some("failure"), ..row(0, "Another", None) };
    insert(&place.neighbour(), &[failed]);
    let out = printed(&place, &["--provider", "Another"]).await;
    assert!(out.contains("failures: (none) 1"), "{out}");
}

#[tokio::test]
async fn no_cell_of_the_csv_is_a_formula() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    insert(&place.neighbour(), &[row(0, "=cmd", Some("TIMEOUT"))]);
    let out = printed(&place, &["--format", "csv", "--target", "100"]).await;
    assert!(out.contains("\r\n'=cmd,total,total,"), "{out}");
    assert!(out.contains(",false,-1,"), "a number is none: {out}");
}

#[tokio::test]
async fn a_table_has_no_control_characters_of_names_and_codes() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    let outcome = Some("failure");
    let hostile = "\u{1b}[2J\u{202e}x";
    insert(&place.neighbour(), &[LogRow { outcome, ..row(0, hostile, Some(hostile)) }]);
    for arguments in [&[][..], &["--provider", hostile]] {
        let out = printed(&place, arguments).await;
        assert!(
            out.contains("\u{fffd}[2J\u{fffd}x") && !out.contains(['\u{1b}', '\u{202e}']),
            "{out:?}"
        );
    }
    let (_, _, error) = report(&place.path(), &["--provider", "\u{1b}[1m"]).await;
    assert!(error.contains("\u{fffd}[2J") && !error.contains('\u{1b}'), "{error:?}");
}

#[tokio::test]
async fn a_report_says_when_it_was_made_and_whether_its_time_is_over() {
    let place = tokio::task::spawn_blocking(october).await.unwrap();
    for (to, part) in [
        ("2020-01-02", "Z, after the end of this time"),
        ("2199-01", "Z, before the end of this time: calls after it are not in the report"),
    ] {
        for format in ["table", "csv", "json", "html"] {
            let terms = ["--from", "2020-01-01", "--to", to, "--format", format];
            let out = printed(&place, &terms).await;
            let (_, made) = out.split_once("made at 20").unwrap();
            assert!(made[17..].starts_with(part), "{format}: {made:.99}");
        }
    }
}

#[tokio::test]
async fn its_help_has_examples() {
    let out = binary().args(["report", "--help"]).stdout(Stdio::piped()).output().await.unwrap();
    let out = String::from_utf8(out.stdout).unwrap();
    assert!(out.contains("Was SuperCar within 99.9 % in October?"), "{out}");
}

#[tokio::test]
async fn a_report_next_to_a_running_server_changes_nothing_and_sees_each_committed_call() {
    let place = Place::new();
    let store = place.open();
    for expected in 1..4 {
        let calls = vec![crate::store_support::call("V")];
        store.commit(valuation_server::domain::Entry { valuation: None, calls }).await.unwrap();
        let json: Value =
            serde_json::from_str(&printed(&place, &["--format", "json"]).await).unwrap();
        assert_eq!(json["providers"][0]["total"]["calls"], expected);
    }
    store.shutdown().await;
}
