//! The report by rollups, the report by rows and plain SQL agree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rusqlite::Connection;
use valuation_server::domain::{CallOutcome, DurationBucket, Entry, ErrorCode, ProviderCall};
use valuation_server::report::{
    self, By, Excluded, Figures, MOST_PERIODS, Method, Percent, ProviderReport, Report, Slow, Terms,
};
use valuation_server::store::AuditLog;

use crate::report_support::{LogRow, insert, number, view};
use crate::store_support::{Place, call};

/// From 24 October 2026, a day before the clocks of Europe change.
pub(crate) const START: i64 = 1_792_800_000;
const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

pub(crate) fn row() -> impl Strategy<Value = LogRow> {
    let at = prop_oneof![
        // Dense, so that outages have several calls, and over a week.
        20 => (0_i64..6 * 3_600_000).prop_map(Ok),
        20 => (0_i64..7 * 86_400_000).prop_map(Ok),
        1 => prop::sample::select(vec!["", "2026", "2026-10-24 00:00:00"]).prop_map(Err),
    ];
    let ends: Vec<(Option<u16>, Option<&str>, Option<&str>)> = vec![
        (Some(200), None, Some("success")),
        (Some(200), None, None),
        (Some(404), Some("STATUS"), Some("success")),
        (Some(404), Some("STATUS"), None),
        (Some(429), Some("STATUS"), None),
        (Some(503), Some("STATUS"), Some("failure")),
        (None, Some("TIMEOUT"), Some("failure")),
        (None, Some("TIMEOUT"), None),
        (None, Some("CONNECT"), Some("failure")),
        (None, Some("LOCAL"), Some("ignored")),
        (None, Some("CANCELLED"), None),
    ];
    (
        at,
        prop::sample::select(vec![SUPERCAR, SUPERCAR, PREMIUM, "A provider of then"]),
        prop_oneof![-1_i64..300, 0_i64..6_000, 0_i64..100_000_000],
        prop::sample::select(ends),
        prop::sample::select(vec![None, Some(false), Some(true)]),
    )
        .prop_map(
            |(at, provider, duration_ms, (response_code, error_code, outcome), rescue)| {
                let at = at.map(|ms| START * 1_000 + ms);
                LogRow { at, provider, duration_ms, response_code, error_code, outcome, rescue }
            },
        )
}

/// What a report is asked for.
pub(crate) fn terms() -> impl Strategy<Value = Terms> {
    let week = 7_i64 * 24 * 60;
    let window = (0..week, prop_oneof![1_i64..200, Just(60), 1_i64..3_000]);
    (
        prop::sample::select(vec![By::Hour, By::Day, By::Week, By::Month]),
        prop::sample::select(vec!["UTC", "Europe/London", "Asia/Kathmandu", "Australia/Lord_Howe"]),
        prop::option::of((-2_i64 * 24 * 60..week, 1_i64..8 * 24 * 60)),
        prop::collection::vec(window, 0..4),
        prop::option::of(0_u64..6_000),
        prop::option::weighted(0.2, prop::sample::select(vec![SUPERCAR, PREMIUM])),
    )
        .prop_map(|(by, zone, range, windows, slow, provider)| {
            let start = START / 60;
            let excluded = windows.into_iter().map(|(at, length)| Excluded {
                start: start + at,
                end: start + at + length,
                name: "maintenance".to_owned(),
            });
            Terms {
                zone: report::zone(zone).unwrap(),
                by,
                from: range.map(|(from, _)| start + from),
                to: range.map(|(from, length)| start + from + length),
                provider: provider.map(str::to_owned),
                target: None,
                slow: slow.map(|asked_ms| Slow { asked_ms }),
                excluded: excluded.collect(),
                fallback: None,
                most_periods: MOST_PERIODS,
            }
        })
}

fn ours(rows: &[LogRow]) -> Vec<ProviderCall> {
    let call = |row: &LogRow| ProviderCall {
        requested_at: std::time::UNIX_EPOCH
            + std::time::Duration::from_millis(row.at.unwrap_or(START * 1_000).unsigned_abs()),
        duration: std::time::Duration::from_millis(row.duration_ms.unsigned_abs()),
        error: row.error_code.map(|_| (ErrorCode::Timeout, String::new())),
        outcome: match row.outcome {
            Some("failure") => CallOutcome::Failure,
            Some("ignored") => CallOutcome::Ignored,
            _ => CallOutcome::Success,
        },
        rescue: row.rescue == Some(true),
        ..call("V")
    };
    rows.iter().map(call).collect()
}

/// Each step writes some rows: by another program, by the server, or the server catches up.
#[derive(Clone, Debug)]
enum Step {
    Foreign(Vec<LogRow>),
    Ours(Vec<LogRow>),
    CatchUp,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = || prop::collection::vec(row(), 1..60);
    let step = prop_oneof![
        rows().prop_map(Step::Foreign),
        rows().prop_map(Step::Ours),
        Just(Step::CatchUp),
    ];
    prop::collection::vec(step, 1..6)
}

fn written(steps: &[Step]) -> Place {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = place.open();
    let neighbour = place.neighbour();
    runtime.block_on(async {
        for step in steps {
            match step {
                Step::Foreign(rows) => insert(&neighbour, rows),
                Step::Ours(rows) => {
                    let entry = Entry { valuation: None, calls: ours(rows) };
                    store.commit(entry).await.unwrap();
                }
                Step::CatchUp => while store.catch_up().await.unwrap() {},
            }
        }
        store.shutdown().await;
    });
    place
}

fn made(place: &Place, terms: &Terms, method: Method) -> Option<Report> {
    let mut log = AuditLog::open(place.path()).unwrap();
    let snapshot = log.snapshot().unwrap();
    report::report(&snapshot, terms, method, jiff::Timestamp::MAX).ok()
}

#[test]
fn a_call_of_a_time_to_come_is_not_counted_in_a_period_that_is_not_over() {
    let place = Place::new();
    place.make();
    // On 24, 26 and 28 October.
    let rows = many(1).into_iter().flat_map(|row| {
        [0, 2, 4].map(|days| LogRow { at: row.at.map(|at| at + days * 86_400_000), ..row.clone() })
    });
    insert(&place.neighbour(), &rows.collect::<Vec<_>>());
    let mut log = AuditLog::open(place.path()).unwrap();
    let snapshot = log.snapshot().unwrap();
    for method in [Method::Rows, Method::Rollups] {
        let report = |day: &str| {
            let made = day.parse().unwrap();
            let report = report::report(&snapshot, &everything(), method, made).unwrap();
            let counted: u64 = report.providers.iter().map(|provider| provider.total.calls).sum();
            (counted, report.later.map(|later| later.calls), report.periods[0].name.clone())
        };
        let (counted, later, name) = report("2026-10-26T12:10:00Z");
        assert_eq!((counted, later, name.as_str()), (2, Some(1), "2026-10 (to 10-27 12:00)"));
        let (counted, later, name) = report("2026-10-28T00:00:00Z");
        assert_eq!((counted, later, name.as_str()), (3, None, "2026-10"));
    }
}

/// Holds a provider's figures in a period against SQL.
fn check(
    conn: &Connection,
    provider: &str,
    (from, to): (i64, i64),
    found: &Figures,
    slow: Option<Slow>,
) -> TestCaseResult {
    let within = format!("minute >= {from} AND minute < {to}");
    let of = format!("FROM counted WHERE provider = '{provider}' AND {within}");
    let counted = format!("{of} AND outcome <> 'ignored'");
    let count = |condition: &str| number(conn, &format!("SELECT count(*) {condition}"));
    prop_assert_eq!(found.calls, count(&counted));
    prop_assert_eq!(found.failures, count(&format!("{of} AND outcome = 'failure'")));
    prop_assert_eq!(found.ignored, count(&format!("{of} AND outcome = 'ignored'")));
    prop_assert_eq!(found.rescues, count(&format!("{counted} AND rescue = 1")));
    prop_assert_eq!(found.rescued, count(&format!("{of} AND outcome = 'success' AND rescue = 1")));
    let all = format!("FROM counted WHERE outcome <> 'ignored' AND {within}");
    prop_assert_eq!(found.calls_of_all, count(&all));
    let codes: BTreeMap<String, u64> = conn
        .prepare(&format!("SELECT code, count(*) {of} AND outcome = 'failure' GROUP BY code"))
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?.into())))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    prop_assert_eq!(&found.failures_by_code, &codes);
    let minutes =
        format!("SELECT minute, max(outcome = 'success') AS up {counted} GROUP BY minute");
    prop_assert_eq!(found.minutes, count(&format!("FROM ({minutes})")));
    prop_assert_eq!(found.unavailable_minutes, count(&format!("FROM ({minutes}) WHERE NOT up")));
    prop_assert_eq!(found.durations.is_some(), found.calls > 0);
    if let Some(durations) = found.durations {
        let max = number(conn, &format!("SELECT max(ms) {counted}"));
        prop_assert_eq!(durations.max, max);
        prop_assert_eq!(
            durations.mean,
            number(conn, &format!("SELECT sum(ms) / count(*) {counted}"))
        );
        for (percent, value) in [(50, durations.p50), (95, durations.p95), (99, durations.p99)] {
            let rank = (found.calls * percent).div_ceil(100) - 1;
            let sql = format!("SELECT ms {counted} ORDER BY ms LIMIT 1 OFFSET {rank}");
            let exact = number(conn, &sql);
            prop_assert_eq!(value, DurationBucket::of(exact).highest().min(max));
            prop_assert!(value >= exact && value - exact <= exact / 128);
        }
    }
    let slower = slow.map(|slow| count(&format!("{counted} AND ms > {}", slow.above_ms())));
    prop_assert_eq!(found.slow, slower);
    Ok(())
}

/// Outages by window functions: start, end if it is known, and length. Minutes are numbered without excluded
/// ones; after each gap of more than 60 a new part begins, within which each unavailable minute belongs to the
/// next success.
fn outages(
    conn: &Connection,
    provider: &str,
    windows: &[Excluded],
) -> Vec<(i64, Option<i64>, u64)> {
    let windows: String = windows
        .iter()
        .map(|window| format!(" AND NOT (m >= {} AND m < {})", window.start, window.end))
        .collect();
    let sql = format!(
        "WITH RECURSIVE clock(m, last) AS (
            SELECT min(minute), max(minute) FROM counted
            UNION ALL SELECT m + 1, last FROM clock WHERE m < last),
        numbered AS (SELECT m, row_number() OVER (ORDER BY m) AS n FROM clock WHERE 1{windows}),
        minutes AS (SELECT minute, max(outcome = 'success') AS up FROM counted
            WHERE provider = '{provider}' AND outcome <> 'ignored' GROUP BY minute),
        gaps AS (SELECT minute, n, up, n - lag(n) OVER (ORDER BY minute) - 1 > 60 AS silent
            FROM minutes JOIN numbered ON m = minute),
        parts AS (SELECT *, sum(coalesce(silent, 0)) OVER (ORDER BY minute) AS part FROM gaps),
        ends AS (SELECT *, min(CASE WHEN up THEN minute END) OVER later AS recovered,
            min(CASE WHEN up THEN n END) OVER later AS recovered_n FROM parts WINDOW later AS
            (PARTITION BY part ORDER BY minute ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING))
        SELECT min(minute), recovered, coalesce(recovered_n, max(n) + 1) - min(n)
            FROM ends WHERE NOT up GROUP BY part, recovered ORDER BY 1"
    );
    let mut select = conn.prepare(&sql).unwrap();
    let rows = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, u32>(2)?.into())))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn check_provider(conn: &Connection, report: &Report, found: &ProviderReport) -> TestCaseResult {
    let slow = report.terms.slow;
    check(conn, &found.name, (report.from, report.to), &found.total, slow)?;
    // Of many periods those with calls.
    let periods = report.periods.iter().zip(&found.periods);
    for (period, figures) in periods.filter(|(_, figures)| figures.made() > 0).take(20) {
        check(conn, &found.name, (period.start, period.end), figures, slow)?;
    }
    let calls: u64 = found.periods.iter().map(Figures::made).sum();
    prop_assert_eq!(calls, found.total.made());
    let listed: Vec<_> = found.outages.iter().map(|o| (o.start, o.recovered, o.minutes)).collect();
    prop_assert_eq!(&listed, &outages(conn, &found.name, &report.terms.excluded));
    prop_assert_eq!(found.total.outages, found.outages.len() as u64);
    let longest = listed.iter().map(|(_, _, minutes)| *minutes).max().unwrap_or(0);
    prop_assert_eq!(found.total.longest_outage, longest);
    let ended: Vec<_> = listed.iter().filter(|(_, end, _)| end.is_some()).collect();
    prop_assert_eq!(found.total.recoveries, ended.len() as u64);
    let minutes: u64 = ended.iter().map(|(_, _, minutes)| *minutes).sum();
    prop_assert_eq!(found.total.recovery_minutes, minutes);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn rollups_rows_and_plain_sql_agree(steps in steps(), terms in terms()) {
        let place = written(&steps);
        let by_rows = made(&place, &terms, Method::Rows);
        let by_rollups = made(&place, &terms, Method::Rollups);
        prop_assert_eq!(&by_rollups, &by_rows);
        let Some(report) = by_rollups else {
            prop_assert!(terms.from.is_none());
            return Ok(());
        };
        let conn = place.neighbour();
        let windows: Vec<_> = terms.excluded.iter().map(|window| (window.start, window.end)).collect();
        view(&conn, (report.from, report.to), &windows);
        let only = terms.provider.as_ref();
        let named = only.map_or("1".to_owned(), |name| format!("provider = '{name}'"));
        let providers = number(&conn, &format!("SELECT count(DISTINCT provider) FROM counted WHERE {named}"));
        prop_assert_eq!(report.providers.len() as u64, providers);
        for provider in &report.providers {
            check_provider(&conn, &report, provider)?;
        }
        let ids = |which: &str| number(&conn, &format!("SELECT {which}(id) FROM counted WHERE {named}"));
        let ids = (providers > 0).then(|| (ids("min"), ids("max")));
        let found = report.ids.map(|(low, high)| (low.unsigned_abs(), high.unsigned_abs()));
        prop_assert_eq!(found, ids);
    }
}

/// From the whole log, so that all calls are in it.
pub(crate) fn everything() -> Terms {
    Terms {
        zone: report::zone("UTC").unwrap(),
        by: By::Month,
        from: None,
        to: None,
        provider: None,
        target: Some("99.9%".parse::<Percent>().unwrap()),
        slow: None,
        excluded: Vec::new(),
        fallback: None,
        most_periods: MOST_PERIODS,
    }
}

pub(crate) fn many(count: i64) -> Vec<LogRow> {
    let row = |number: i64| LogRow {
        at: Ok(START * 1_000 + number * 7_001),
        provider: if number % 5 == 0 { PREMIUM } else { SUPERCAR },
        duration_ms: number % 3_000,
        response_code: Some(200),
        error_code: None,
        outcome: Some(if number % 100 == 0 { "failure" } else { "success" }),
        rescue: Some(number % 5 == 0),
    };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn a_database_from_before_the_rollups_is_reported_as_it_is_and_built_in_pieces() {
    let place = Place::new();
    place.open().shutdown().await;
    let older = place.neighbour();
    older
        .execute_batch(
            "DROP TABLE call_hours; DROP TABLE call_durations; DROP TABLE rollup_mark;
            PRAGMA user_version = 3",
        )
        .unwrap();
    insert(&older, &many(901));
    let before = made(&place, &everything(), Method::Rollups).unwrap();
    assert_eq!(before.providers.iter().map(|p| p.total.calls).sum::<u64>(), 901);
    assert_eq!(number(&older, "SELECT count(*) FROM sqlite_schema WHERE name = 'rollup_mark'"), 0);

    let store = place.open();
    // A call of the server meanwhile is counted in its turn.
    store.commit(Entry { valuation: None, calls: vec![call("NEW")] }).await.unwrap();
    let mut pieces = 0;
    loop {
        let rows = made(&place, &everything(), Method::Rows).unwrap();
        assert_eq!(made(&place, &everything(), Method::Rollups).unwrap(), rows);
        pieces += 1;
        if !store.catch_up().await.unwrap() {
            break;
        }
    }
    assert_eq!(pieces, 4);
    assert_eq!(number(&older, "SELECT countedTo FROM rollup_mark"), 902);
    assert_eq!(number(&older, "SELECT sum(calls) FROM call_hours"), 902);
    // From now on the writer counts its own rows.
    store.commit(Entry { valuation: None, calls: vec![call("NEW")] }).await.unwrap();
    assert_eq!(number(&older, "SELECT countedTo FROM rollup_mark"), 903);
    store.shutdown().await;
}

#[tokio::test]
async fn deleted_rows_stay_in_the_rollups_and_their_ids_are_counted_once() {
    let place = Place::new();
    let store = place.open();
    let neighbour = place.neighbour();
    let entry = || Entry { valuation: None, calls: vec![call("V"), call("V")] };
    store.commit(entry()).await.unwrap();
    let before = made(&place, &everything(), Method::Rollups).unwrap();
    neighbour.execute_batch(r#"DELETE FROM "ProviderLogs""#).unwrap();
    assert_eq!(made(&place, &everything(), Method::Rollups).unwrap(), before);
    assert!(made(&place, &everything(), Method::Rows).is_none());
    store.commit(entry()).await.unwrap();
    assert!(!store.catch_up().await.unwrap());
    assert_eq!(number(&neighbour, "SELECT sum(calls) FROM call_hours"), 4);

    // Ids begin again only if an operator resets them: then too each call is counted once.
    neighbour.execute_batch("DELETE FROM ProviderLogs; DELETE FROM sqlite_sequence").unwrap();
    store.commit(entry()).await.unwrap();
    assert!(!store.catch_up().await.unwrap());
    assert_eq!(number(&neighbour, "SELECT sum(calls) FROM call_hours"), 6);
    store.shutdown().await;
}

#[tokio::test]
async fn two_servers_on_one_file_count_each_call_once() {
    let place = Place::new();
    let stores = [place.open(), place.open()];
    for _ in 0..20 {
        let [one, other] = stores
            .each_ref()
            .map(|store| store.commit(Entry { valuation: None, calls: vec![call("V")] }));
        let (one, other) = tokio::join!(one, other);
        assert!(one.is_ok() && other.is_ok());
    }
    let neighbour = place.neighbour();
    assert_eq!(number(&neighbour, "SELECT countedTo FROM rollup_mark"), 40);
    assert_eq!(number(&neighbour, "SELECT sum(calls) FROM call_hours"), 40);
    assert_eq!(number(&neighbour, "SELECT sum(calls) FROM call_durations WHERE span = 86400"), 40);
    for store in stores {
        store.shutdown().await;
    }
}

#[tokio::test]
async fn sums_without_a_minute_are_no_time_of_a_call() {
    let place = Place::new();
    let store = place.open();
    store.commit(Entry { valuation: None, calls: vec![call("V")] }).await.unwrap();
    store.shutdown().await;
    let terms = everything();
    let right = made(&place, &terms, Method::Rollups).unwrap();
    let cell = "INSERT INTO call_hours VALUES (0, 'A', '', 'success', 0, 1, 1, 1, 0, 1, 1)";
    place.neighbour().execute_batch(cell).unwrap();
    let found = made(&place, &terms, Method::Rollups).unwrap();
    assert_eq!((found.from, found.to), (right.from, right.to));
    place.neighbour().execute_batch("UPDATE call_hours SET minutes = 0").unwrap();
    assert_eq!(made(&place, &terms, Method::Rollups), None);
}

#[tokio::test]
async fn without_its_mark_the_rollups_are_not_used_and_calls_are_stored_nevertheless() {
    let place = Place::new();
    let store = place.open();
    let neighbour = place.neighbour();
    let entry = || Entry { valuation: None, calls: vec![call("V")] };
    store.commit(entry()).await.unwrap();
    neighbour.execute_batch("DELETE FROM rollup_mark").unwrap();
    store.commit(entry()).await.unwrap();
    assert!(!store.catch_up().await.unwrap());
    let report = made(&place, &everything(), Method::Rollups).unwrap();
    assert_eq!(report.providers[0].total.calls, 2);

    // As the documentation has it.
    neighbour
        .execute_batch(
            "BEGIN; DELETE FROM call_hours; DELETE FROM call_durations;
            INSERT OR REPLACE INTO rollup_mark (id, countedTo) VALUES (1, 0); COMMIT",
        )
        .unwrap();
    assert!(!store.catch_up().await.unwrap());
    assert_eq!(number(&neighbour, "SELECT sum(calls) FROM call_hours"), 2);
    assert_eq!(number(&neighbour, "SELECT countedTo FROM rollup_mark"), 2);
    store.shutdown().await;
}
