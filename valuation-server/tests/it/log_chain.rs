//! The hash chain over the log: each way to tamper with it is found, and the row is named.

use rusqlite::Connection;
use valuation_server::domain::{Entry, LogHead, ProviderCall};
use valuation_server::store::{Problem, Verified, verify};

use crate::report_support::number;
use crate::store_support::{Place, at_once, call, failed_call};

/// A server's log: a call in each of six transactions, then three in one, then one: ids 1 to 10.
fn sealed() -> Place {
    let place = Place::new();
    commit(&place, &[1, 1, 1, 1, 1, 1, 3, 1]);
    place
}

fn commit(place: &Place, transactions: &[usize]) {
    let store = place.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for (at, count) in transactions.iter().enumerate() {
            let calls: Vec<ProviderCall> = (0..*count)
                .map(|call_at| match call_at {
                    1 => failed_call("AB1", "no answer"),
                    _ => call(&format!("V{at}{call_at}")),
                })
                .collect();
            store.commit(Entry { valuation: None, calls }).await.unwrap();
        }
        store.shutdown().await;
    });
}

fn verified(place: &Place, witnesses: &[LogHead]) -> Verified {
    verify(&[place.path()], witnesses, |_, _| {}).unwrap()
}

fn problems(place: &Place, witnesses: &[LogHead]) -> Vec<Problem> {
    let verified = verified(place, witnesses);
    assert_eq!(verified.count, verified.findings.len() as u64);
    verified.findings.into_iter().map(|finding| finding.problem).collect()
}

/// The head that the chain has after a row.
fn head(conn: &Connection, last_id: i64) -> LogHead {
    let sql = "SELECT head FROM log_chain WHERE lastId = ?1";
    let hash: Vec<u8> = conn.query_row(sql, [last_id], |row| row.get(0)).unwrap();
    LogHead { last_id, hash: hash.try_into().unwrap() }
}

/// What is found after some SQL of another program.
fn after(sql: &str) -> Vec<Problem> {
    let place = sealed();
    place.neighbour().execute_batch(sql).unwrap();
    problems(&place, &[])
}

/// What is derived from the rows is made anew.
const ANEW: &str = "DELETE FROM log_chain; DELETE FROM call_hours; DELETE FROM call_durations;
    UPDATE rollup_mark SET countedTo = 0;";

/// Makes a new chain over the rows as they are now, as a forger would.
fn forge(place: &Place) {
    place.neighbour().execute_batch(ANEW).unwrap();
    catch_up(place);
}

#[test]
fn an_untouched_log_is_verified_with_every_head_that_it_had() {
    let place = sealed();
    let conn = place.neighbour();
    let seen: Vec<_> = [1, 6, 9, 10].map(|id| head(&conn, id)).to_vec();
    let verified = verified(&place, &seen);
    assert_eq!(verified.findings, []);
    assert_eq!((verified.rows, verified.ids, verified.unsealed), (10, Some((1, 10)), 0));
    assert_eq!(verified.head, Some(head(&conn, 10)));
    assert_eq!(number(&conn, "SELECT count(*) FROM log_chain"), 8);
}

#[test]
fn a_changed_field_is_found_in_each_column() {
    for change in [
        "vrm = 'X'",
        "providerName = 'Y'",
        "requestedAt = '2026-11-22T19:38:00.008Z'",
        "requestDurationMs = 13",
        "requestDurationMs = 12.5",
        "requestUrl = requestUrl || ' '",
        "responseCode = 500",
        "responseCode = NULL",
        "errorCode = ''",
        "errorMessage = ''",
        "outcome = 'failure'",
        "outcome = NULL",
        "rescue = 1",
        "vrm = CAST(vrm AS blob)",
    ] {
        for id in [3, 8] {
            let changed = after(&format!("UPDATE ProviderLogs SET {change} WHERE id = {id}"));
            if id == 8 && change == "outcome = 'failure'" || changed.is_empty() {
                // The failed call has it already.
                assert!(id == 8, "{change}");
                continue;
            }
            assert_eq!(changed, [Problem::Changed(id, id)], "{change}");
        }
    }
}

#[test]
fn swapped_rows_are_named_as_such() {
    let swap =
        "UPDATE ProviderLogs SET id = 99 WHERE id = 2; UPDATE ProviderLogs SET id = 2 WHERE id = 7;
        UPDATE ProviderLogs SET id = 7 WHERE id = 99;";
    let expected = [Problem::Changed(2, 2), Problem::Changed(7, 7), Problem::Swapped(2, 7)];
    let found = after(&format!("{swap} UPDATE sqlite_sequence SET seq = 10"));
    assert_eq!(found, expected);
}

#[test]
fn removed_rows_are_found_in_the_middle_and_at_the_end() {
    assert_eq!(after("DELETE FROM ProviderLogs WHERE id = 4"), [Problem::Removed(4, 4)]);
    assert_eq!(
        after("DELETE FROM ProviderLogs WHERE id IN (8, 4, 5)"),
        [Problem::Removed(4, 5), Problem::Removed(8, 8)]
    );
    assert_eq!(after("DELETE FROM ProviderLogs WHERE id >= 9"), [Problem::Removed(9, 10)]);
    // With their records.
    assert_eq!(
        after("DELETE FROM ProviderLogs WHERE id >= 7; DELETE FROM log_chain WHERE lastId >= 7"),
        [Problem::Cut(7, 10), Problem::Truncated(7, 10)]
    );
    assert_eq!(
        after(
            "DELETE FROM ProviderLogs WHERE id IN (2, 3); DELETE FROM log_chain WHERE lastId IN (2, 3)"
        ),
        [Problem::Unlinked(1, 4)]
    );
}

#[test]
fn a_log_that_was_truncated_in_all_tables_is_found_by_a_head_that_the_provider_saw() {
    let place = sealed();
    let conn = place.neighbour();
    let seen = [head(&conn, 6), head(&conn, 10)];
    let truncate =
        "DELETE FROM ProviderLogs WHERE id >= 10; DELETE FROM log_chain WHERE lastId >= 10;";
    conn.execute_batch(&format!("{truncate} UPDATE sqlite_sequence SET seq = 9")).unwrap();
    assert_eq!(problems(&place, &[]), [Problem::Cut(10, 10)]);
    let sums = "DELETE FROM call_hours; DELETE FROM call_durations;";
    conn.execute_batch(&format!("{sums} UPDATE rollup_mark SET countedTo = 0")).unwrap();
    catch_up(&place);
    assert_eq!(problems(&place, &[]), []);
    assert_eq!(problems(&place, &seen), [Problem::BeyondEnd(seen[1])]);
    conn.execute_batch("DELETE FROM sqlite_sequence").unwrap();
    assert_eq!(problems(&place, &[]), [Problem::Sequence(9)]);
}

#[test]
fn an_inserted_row_is_found_in_a_gap_and_with_an_adjusted_record() {
    let copy = |id: i64| {
        format!(
            "INSERT INTO ProviderLogs SELECT {id}, vrm, providerName, requestedAt, requestDurationMs,
                requestUrl, responseCode, errorCode, errorMessage, outcome, rescue FROM ProviderLogs
                WHERE id = 1;"
        )
    };
    assert_eq!(after(&copy(-1)), [Problem::Inserted(-1, -1)]);
    assert_eq!(after(&copy(0)), [Problem::Inserted(0, 0)]);
    // Until it is sealed, a row at the end is as good as one of the server.
    let place = sealed();
    place.neighbour().execute_batch(&copy(11)).unwrap();
    let found = verified(&place, &[]);
    assert_eq!((found.count, found.unsealed), (0, 1));
    // A record that claims it.
    let conn = place.neighbour();
    let tags = "SELECT rowTags FROM log_chain WHERE lastId = 10";
    let mut tags: Vec<u8> = conn.query_row(tags, [], |row| row.get(0)).unwrap();
    tags.extend_from_slice(&[7; 8]);
    conn.execute("UPDATE log_chain SET lastId = 11, rowTags = ?1 WHERE lastId = 10", [tags])
        .unwrap();
    assert_eq!(problems(&place, &[]), [Problem::Changed(11, 11)]);
    // In the gap of a row that was never sealed.
    let place = sealed();
    let conn = place.neighbour();
    conn.execute_batch(&copy(11)).unwrap();
    conn.execute_batch("DELETE FROM ProviderLogs WHERE id = 11").unwrap();
    commit(&place, &[1]);
    catch_up(&place);
    assert_eq!(problems(&place, &[]), []);
    conn.execute_batch(&copy(11)).unwrap();
    assert_eq!(problems(&place, &[]), [Problem::Inserted(11, 11)]);
}

fn catch_up(place: &Place) {
    let store = place.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        while store.catch_up().await.unwrap() {}
        store.shutdown().await;
    });
}

#[test]
fn a_chain_that_was_made_anew_after_a_change_is_found_by_a_head_that_the_provider_saw() {
    let place = sealed();
    let conn = place.neighbour();
    let seen = [1, 3, 10].map(|id| head(&conn, id));
    conn.execute_batch("UPDATE ProviderLogs SET outcome = 'failure' WHERE id = 3").unwrap();
    forge(&place);
    assert_eq!(problems(&place, &[]), []);
    // One record now: the earlier heads are in the middle of it.
    assert_eq!(
        problems(&place, &seen),
        [
            Problem::Rewritten(seen[2]),
            Problem::NoSuchRecord(seen[0]),
            Problem::NoSuchRecord(seen[1]),
        ]
    );
}

#[test]
fn removed_first_rows_are_found_and_a_head_of_the_rows_before_is_known_by_the_first_record() {
    let place = sealed();
    let conn = place.neighbour();
    let seen = [2, 3].map(|id| head(&conn, id));
    conn.execute_batch(
        "DELETE FROM ProviderLogs WHERE id < 4; DELETE FROM log_chain WHERE lastId < 4",
    )
    .unwrap();
    assert_eq!(problems(&place, &seen), [Problem::Front(4), Problem::BeforeStart(seen[0])]);
    let forged = LogHead { last_id: 3, hash: [7; 32] };
    assert_eq!(problems(&place, &[forged]), [Problem::Front(4), Problem::Rewritten(forged)]);
    conn.execute_batch("UPDATE log_chain SET previous = zeroblob(32) WHERE lastId = 4").unwrap();
    assert_eq!(problems(&place, &[]), [Problem::Record(4, 4)]);
}

#[test]
fn an_altered_record_is_found_and_its_rows_are_not_blamed() {
    for (change, expected) in [
        ("rowTags = zeroblob(24)", vec![Problem::Tags(7, 9)]),
        ("rowTags = x''", vec![Problem::Tags(7, 9)]),
        ("rowTags = NULL", vec![]),
        ("head = zeroblob(32)", vec![Problem::Record(7, 9), Problem::Unlinked(9, 10)]),
        ("head = 'x'", vec![Problem::Record(7, 9), Problem::Unlinked(9, 10)]),
        ("previous = zeroblob(32)", vec![Problem::Unlinked(6, 7), Problem::Record(7, 9)]),
        ("firstId = 8", vec![]),
        ("firstId = 6", vec![]),
        ("firstId = 99", vec![]),
        ("firstId = 'x'", vec![]),
    ] {
        let place = sealed();
        let sql = format!("UPDATE OR IGNORE log_chain SET {change} WHERE lastId = 9");
        let changed = place.neighbour().execute(&sql, []);
        let found = problems(&place, &[]);
        if changed == Ok(1) && !change.contains("NULL") {
            assert!(!found.is_empty(), "{change}");
        }
        if !expected.is_empty() {
            assert_eq!(found, expected, "{change}");
        }
    }
}

#[test]
fn a_row_that_was_changed_together_with_its_tag_is_found_in_the_range_of_its_record() {
    let place = sealed();
    let conn = place.neighbour();
    conn.execute_batch(
        "UPDATE ProviderLogs SET outcome = 'failure' WHERE id = 3; PRAGMA wal_checkpoint(TRUNCATE)",
    )
    .unwrap();
    // The tag of the changed row, from a chain over it.
    let copy = Place::new();
    std::fs::copy(place.path(), copy.path()).unwrap();
    forge(&copy);
    let tag = "SELECT substr(rowTags, 17, 8) FROM log_chain";
    let tag: Vec<u8> = copy.neighbour().query_row(tag, [], |row| row.get(0)).unwrap();
    conn.execute("UPDATE log_chain SET rowTags = ?1 WHERE lastId = 3", [tag]).unwrap();
    assert_eq!(problems(&place, &[]), [Problem::Record(3, 3)]);
}

#[test]
fn rows_of_a_database_from_before_the_chain_are_sealed_once_and_new_rollups_seal_nothing_again() {
    let place = sealed();
    let conn = place.neighbour();
    conn.execute_batch(&format!("DELETE FROM ProviderLogs WHERE id = 5; {ANEW}")).unwrap();
    // The server's own rows wait until those before them are sealed.
    commit(&place, &[2]);
    assert_eq!(verified(&place, &[]).unsealed, 11);
    catch_up(&place);
    let found = verified(&place, &[]);
    assert_eq!((found.count, found.ids, found.unsealed), (0, Some((1, 12)), 0));
    // Without the row that was gone before: a record on each side of the gap.
    assert_eq!(number(&conn, "SELECT count(*) FROM log_chain"), 2);
    conn.execute_batch(
        "UPDATE rollup_mark SET countedTo = 0; DELETE FROM call_hours; DELETE FROM call_durations",
    )
    .unwrap();
    catch_up(&place);
    assert_eq!(number(&conn, "SELECT count(*) FROM log_chain"), 2);
    assert_eq!(number(&conn, "SELECT sum(calls) FROM call_hours"), 11);
    assert_eq!(verified(&place, &[]).head, found.head);
    assert_eq!(problems(&place, &[]), []);
}

#[test]
fn records_removed_from_the_end_alone_are_found_and_no_server_seals_their_rows_again() {
    for (removed, end) in [("lastId >= 7", 6), ("1", 0)] {
        let place = sealed();
        let sql = format!("DELETE FROM log_chain WHERE {removed}");
        place.neighbour().execute_batch(&sql).unwrap();
        assert_eq!(problems(&place, &[]), [Problem::Cut(end + 1, 10)]);
        commit(&place, &[1, 2]);
        catch_up(&place);
        let found = verified(&place, &[]);
        assert_eq!(found.findings[0].problem, Problem::Cut(end + 1, 13));
        assert_eq!((found.count, found.unsealed), (1, 13 - u64::try_from(end).unwrap()));
        assert_eq!(number(&place.neighbour(), "SELECT sum(calls) FROM call_hours"), 13);
    }
}

#[test]
fn sums_that_are_not_those_of_the_sealed_rows_are_found() {
    const HOUR: i64 = 1_795_374_000;
    let day = HOUR - HOUR.rem_euclid(86_400);
    for (change, expected) in [
        (
            "UPDATE call_hours SET outcome = 'failure' WHERE outcome = 'success'",
            Problem::Sums(HOUR),
        ),
        ("UPDATE call_hours SET calls = calls - 1 WHERE outcome = 'failure'", Problem::Sums(HOUR)),
        ("UPDATE call_hours SET maxMs = 'x' WHERE outcome = 'failure'", Problem::Sums(HOUR)),
        ("DELETE FROM call_hours WHERE outcome = 'failure'", Problem::Sums(HOUR)),
        (
            "INSERT INTO call_hours VALUES (-1, '', '', 'success', 0, 1, 1, 1, 1, 2, 2)",
            Problem::Sums(-1),
        ),
        (
            "UPDATE call_durations SET bucket = bucket + 1 WHERE span = 3600",
            Problem::Durations(3_600, HOUR),
        ),
        ("DELETE FROM call_durations WHERE span = 86400", Problem::Durations(86_400, day)),
    ] {
        assert_eq!(after(change), [expected], "{change}");
    }
    // None of these can be used, so that a report reads the rows.
    assert_eq!(after("DELETE FROM rollup_mark"), []);
}

#[test]
fn sums_that_were_built_again_after_archiving_are_compared_with_the_rows_that_they_have() {
    let place = sealed();
    let first = archive(&place, 6);
    let sums = "DELETE FROM call_hours; DELETE FROM call_durations;";
    let sql = format!("{sums} UPDATE rollup_mark SET countedTo = 0");
    place.neighbour().execute_batch(&sql).unwrap();
    catch_up(&place);
    let found = || verify(&[place.path(), first.path()], &[], |_, _| {}).unwrap();
    assert_eq!(found().findings, []);
    place.neighbour().execute_batch("UPDATE call_hours SET sumMs = 1").unwrap();
    assert_eq!(found().count, 1);
    assert_eq!(found().findings[0].file, place.path().into());
}

#[test]
fn an_insert_that_a_trigger_ignores_counts_nothing_again() {
    let place = sealed();
    place
        .neighbour()
        .execute_batch(
            "CREATE TRIGGER none BEFORE INSERT ON ProviderLogs WHEN new.errorCode IS NULL BEGIN
                SELECT RAISE(IGNORE); END",
        )
        .unwrap();
    commit(&place, &[1, 1, 2]);
    assert_eq!(number(&place.neighbour(), "SELECT count(*) FROM ProviderLogs"), 11);
    assert_eq!(number(&place.neighbour(), "SELECT sum(calls) FROM call_hours"), 11);
    assert_eq!(problems(&place, &[]), []);
}

#[test]
fn rows_of_every_kind_of_value_are_sealed_as_they_are_stored() {
    let place = Place::new();
    place.make();
    let conn = place.neighbour();
    for value in [
        "''",
        "x''",
        "x'00ff'",
        "1",
        "-1.5",
        "1e400",
        "'1'",
        "' 1.0 '",
        "CAST(x'ff' AS text)",
        "'a' || char(0) || 'b'",
    ] {
        conn.execute_batch(&format!(
            "INSERT INTO ProviderLogs (vrm, providerName, requestedAt, requestDurationMs, requestUrl,
                responseCode, errorCode, errorMessage, outcome, rescue) VALUES ({value}, {value}, {value},
                {value}, {value}, {value}, {value}, {value}, {value}, {value})"
        ))
        .unwrap();
    }
    commit(&place, &[1]);
    catch_up(&place);
    let found = verified(&place, &[]);
    assert_eq!((found.count, found.rows, found.unsealed), (0, 11, 0));
    conn.execute_batch("UPDATE ProviderLogs SET vrm = '' WHERE vrm = x''").unwrap();
    assert_eq!(problems(&place, &[]), [Problem::Changed(2, 2)]);
}

#[test]
fn a_trigger_that_changes_what_the_server_writes_is_part_of_what_is_sealed() {
    let place = Place::new();
    place.make();
    place
        .neighbour()
        .execute_batch(
            "CREATE TRIGGER upper AFTER INSERT ON ProviderLogs BEGIN
                UPDATE ProviderLogs SET requestUrl = upper(requestUrl) WHERE id = new.id; END",
        )
        .unwrap();
    commit(&place, &[2, 1]);
    assert_eq!(problems(&place, &[]), []);
    assert_eq!(verified(&place, &[]).unsealed, 0);
}

#[test]
fn two_servers_on_one_file_keep_one_chain() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let stores = [place.open(), place.open()];
        for _ in 0..20 {
            let [one, other] = stores
                .each_ref()
                .map(|store| store.commit(Entry { valuation: None, calls: vec![call("V")] }));
            let (one, other) = tokio::join!(one, other);
            assert!(one.is_ok() && other.is_ok());
        }
        for store in stores {
            store.shutdown().await;
        }
    });
    let found = verified(&place, &[]);
    assert_eq!((found.count, found.rows, found.unsealed), (0, 40, 0));
}

/// The rows up to an id, with their records, in a file of their own, as an archive has them.
fn archive(place: &Place, up_to: i64) -> Place {
    let archive = Place::new();
    archive.make();
    let conn = archive.neighbour();
    conn.execute("ATTACH ?1 AS source", [place.path().to_str().unwrap()]).unwrap();
    conn.execute_batch(&format!(
        "INSERT INTO ProviderLogs SELECT * FROM source.ProviderLogs WHERE id <= {up_to};
        INSERT INTO log_chain SELECT * FROM source.log_chain WHERE lastId <= {up_to};
        DELETE FROM source.ProviderLogs WHERE id <= {up_to};
        DELETE FROM source.log_chain WHERE lastId <= {up_to}"
    ))
    .unwrap();
    archive
}

#[test]
fn archives_and_the_database_are_one_chain_in_any_order_and_a_missing_file_is_named() {
    let place = sealed();
    let conn = place.neighbour();
    let seen = [1, 4, 5, 10].map(|id| head(&conn, id));
    let (first, second) = (archive(&place, 3), archive(&place, 6));
    let files = |places: &[&Place]| {
        let paths: Vec<_> = places.iter().map(|place| place.path()).collect();
        let found = verify(&paths, &seen, |_, _| {}).unwrap();
        found.findings.into_iter().map(|finding| finding.problem).collect::<Vec<_>>()
    };
    assert_eq!(files(&[&first, &second, &place]), []);
    assert_eq!(files(&[&place, &first, &second]), []);
    assert_eq!(
        files(&[&place, &first]),
        [Problem::Unlinked(3, 7), Problem::NoSuchRecord(seen[1]), Problem::NoSuchRecord(seen[2]),]
    );
    assert_eq!(files(&[&place, &second])[0], Problem::Front(4));
    assert_eq!(files(&[&first, &first, &second, &place]), []);
    second.neighbour().execute_batch("UPDATE ProviderLogs SET vrm = 'X' WHERE id = 5").unwrap();
    let found = verify(&[place.path(), second.path(), first.path()], &seen, |_, _| {}).unwrap();
    assert_eq!(found.findings[0].file, second.path().into());
    assert!(found.findings[0].to_string().ends_with(": row 5 was changed"));
}

#[test]
fn rows_that_an_interrupted_archive_left_in_two_files_are_no_finding_unless_they_differ() {
    let place = sealed();
    // Copied and not deleted; then the command was run with another file.
    let interrupted = Place::new();
    place.neighbour().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    std::fs::copy(place.path(), interrupted.path()).unwrap();
    let (left, second) = (archive(&interrupted, 3), archive(&place, 6));
    let found = || verify(&[place.path(), second.path(), left.path()], &[], |_, _| {}).unwrap();
    assert_eq!(found().findings, []);
    assert_eq!((found().rows, found().repeated, found().ids), (13, 3, Some((1, 10))));
    let text = found().to_string();
    assert!(text.starts_with("verified: 10 rows, ids 1 to 10,"), "{text}");
    assert!(text.ends_with("; 3 rows are in two files\n"), "{text}");
    second.neighbour().execute_batch("UPDATE ProviderLogs SET vrm = 'X' WHERE id = 2").unwrap();
    assert_eq!(found().findings[0].problem, Problem::Changed(2, 2));
    assert_eq!(found().findings[0].file, second.path().into());
    let altered = "UPDATE log_chain SET head = zeroblob(32) WHERE lastId = 3";
    second.neighbour().execute_batch(altered).unwrap();
    let problems: Vec<_> = found().findings.into_iter().map(|finding| finding.problem).collect();
    assert!(problems.contains(&Problem::Overlap(3)), "{problems:?}");
}

#[test]
fn a_file_of_an_older_version_is_said_to_have_no_chain() {
    let place = sealed();
    place.neighbour().execute_batch("DROP TABLE log_chain; PRAGMA user_version = 3").unwrap();
    assert_eq!(problems(&place, &[]), [Problem::NoChain]);
}

#[test]
fn a_database_without_a_table_that_each_commit_writes_is_refused() {
    for table in ["log_chain", "call_hours", "call_durations", "rollup_mark"] {
        let place = sealed();
        place.neighbour().execute_batch(&format!("DROP TABLE {table}")).unwrap();
        let error =
            at_once(valuation_server::store::Store::open(&place.config())).unwrap_err().to_string();
        assert!(error.contains(&format!("its table {table} is missing")), "{error}");
    }
}

#[test]
fn findings_are_capped_and_counted() {
    let place = Place::new();
    commit(&place, &[1; 250]);
    place.neighbour().execute_batch("UPDATE ProviderLogs SET vrm = 'X' WHERE id % 2").unwrap();
    let found = verified(&place, &[]);
    assert_eq!((found.count, found.findings.len()), (125, Verified::MOST));
    let text = found.to_string();
    assert!(text.contains("… and 25 more findings"), "{text}");
    assert!(text.ends_with("not as it was sealed: 125 findings in 250 rows\n"), "{text}");
}
