//! `archive`: rows move to a file of their own, and none is lost or doubled.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::types::Value;
use valuation_server::demo::simulator::Pace;
use valuation_server::store::{
    ArchiveError, Archiver, Refusal, StopReason, Store, archive_plan, verify,
};

use crate::archive_equality::sealed;
use crate::http_harness::{Client, put};
use crate::process_harness::{Process, binary, simulators};
use crate::report_equality::{START, many};
use crate::report_support::number;
use crate::store_support::{OLDER_TABLE, Place, at_once};

/// After all of the rows.
const LATER: i64 = START + 30 * 86_400;

/// 6,000 rows, 3 pieces of 20 records: all but those of the last record can be archived.
fn log() -> Place {
    sealed(&many(6_000), &[100])
}

fn archive_of(place: &Place) -> PathBuf {
    place.folder.path().join("old.sqlite")
}

fn archiver(place: &Place, to: &Path) -> Result<Archiver, ArchiveError> {
    archiver_until(place, to, LATER)
}

fn archiver_until(place: &Place, to: &Path, before: i64) -> Result<Archiver, ArchiveError> {
    let plan = archive_plan(place.path(), to, before)?;
    Archiver::open(place.path(), to, &plan, std::time::UNIX_EPOCH)
}

fn move_all(place: &Place, to: &Path) -> valuation_server::store::Archived {
    let mut archiver = archiver(place, to).unwrap();
    while let Some(piece) = archiver.copy().unwrap() {
        archiver.delete(piece).unwrap();
    }
    archiver.finish().unwrap().unwrap()
}

fn rows(path: &Path, table: &str, key: &str) -> Vec<Vec<Value>> {
    let conn = Connection::open(path).unwrap();
    let mut select = conn.prepare(&format!("SELECT * FROM {table} ORDER BY {key}")).unwrap();
    let columns = select.column_count();
    let rows =
        select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The rows and the records of the chain.
fn all(path: &Path) -> [Vec<Vec<Value>>; 2] {
    [rows(path, "ProviderLogs", "id"), rows(path, "log_chain", "lastId")]
}

fn joined(archive: &Path, database: &Path) -> [Vec<Vec<Value>>; 2] {
    let ([mut rows, mut records], [more_rows, more_records]) = (all(archive), all(database));
    rows.extend(more_rows);
    records.extend(more_records);
    [rows, records]
}

#[test]
fn a_run_that_ends_at_any_step_is_continued_and_no_row_is_lost_or_doubled() {
    for steps in 0..=6 {
        let place = log();
        let (database, to) = (place.path(), archive_of(&place));
        let before = all(&database);
        let mut killed = archiver(&place, &to).unwrap();
        for step in 0..steps {
            let piece = killed.copy().unwrap().unwrap_or_else(|| panic!("{step} of {steps}"));
            if step % 2 == 1 {
                killed.delete(piece).unwrap();
            }
            if step % 2 == 0 && step + 1 < steps {
                // Copied, and taken up again by the next step.
                assert!(all(&database)[0].len() + all(&to)[0].len() > 6_000);
            }
        }
        drop(killed);
        let archived = move_all(&place, &to);
        assert_eq!((archived.rows, archived.ids), (5_900, (1, 5_900)), "{steps}");
        assert_eq!(joined(&to, &database), before, "{steps}");
        assert_eq!(all(&database)[0].len(), 100);
    }
}

#[test]
fn the_finished_archive_is_one_file_with_a_checksum_that_sha256sum_accepts() {
    let place = log();
    let to = archive_of(&place);
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let archived = move_all(&place, &to);
    assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for suffix in ["-wal", "-shm", "-journal", ".sha256.part"] {
        assert!(!place.folder.path().join(format!("old.sqlite{suffix}")).exists(), "{suffix}");
    }
    assert_eq!(
        fs::read_to_string(&archived.checksum_file).unwrap(),
        format!("{}  old.sqlite\n", archived.sha256)
    );
    let check = std::process::Command::new("sha256sum")
        .args(["--check", "old.sqlite.sha256"])
        .current_dir(place.folder.path())
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    assert!(archive_plan(place.path(), &to, LATER).unwrap().is_done);
    // Killed before it wrote the checksum.
    fs::remove_file(&archived.checksum_file).unwrap();
    assert!(!archive_plan(place.path(), &to, LATER).unwrap().is_done);
    assert_eq!((move_all(&place, &to).rows, archived.checksum_file.exists()), (5_900, true));
}

#[test]
fn a_later_run_continues_the_archive_or_begins_another_and_each_is_refused_out_of_turn() {
    let place = log();
    let [first, second] = ["1.sqlite", "2.sqlite"].map(|name| place.folder.path().join(name));
    let plan = archive_plan(place.path(), &first, START + 10_000).unwrap();
    assert!(matches!(plan.stop_reason, StopReason::Recent { id: 1_430, .. }), "{plan:?}");
    assert_eq!((plan.rows, plan.ids), (1_400, Some((1, 1_400))));
    let mut archiver = archiver_until(&place, &first, START + 10_000).unwrap();
    while let Some(piece) = archiver.copy().unwrap() {
        archiver.delete(piece).unwrap();
    }
    archiver.finish().unwrap().unwrap();
    let copy = place.folder.path().join("copy.sqlite");
    fs::copy(&first, &copy).unwrap();
    // The same file goes on.
    let mut next = archiver_until(&place, &first, START + 20_000).unwrap();
    while let Some(piece) = next.copy().unwrap() {
        next.delete(piece).unwrap();
    }
    assert_eq!(next.finish().unwrap().unwrap().ids, (1, 2_800));
    // A new one too, and then the first is no longer the one before.
    assert_eq!(move_all(&place, &second).ids, (2_801, 5_900));
    for (file, ends) in [(&first, 2_800), (&copy, 1_400)] {
        let bytes = fs::read(file).unwrap();
        match archiver_error(&place, file) {
            ArchiveError::Refused { reason, .. } => {
                assert_eq!(reason, Refusal::DoesNotFollow { ends, begins: 5_901 });
            }
            other => panic!("{other}"),
        }
        assert_eq!(fs::read(file).unwrap(), bytes);
    }
}

fn archiver_error(place: &Place, to: &Path) -> ArchiveError {
    archiver(place, to).map(|_| ()).unwrap_err()
}

#[test]
fn files_that_are_no_archive_of_this_database_are_refused_and_left_as_they_are() {
    let place = log();
    let at = |name: &str| place.folder.path().join(name);
    let other = log();
    fs::copy(other.path(), at("database.sqlite")).unwrap();
    fs::write(at("text"), "no database at all, but a text that somebody wrote".repeat(50)).unwrap();
    let older = Connection::open(at("older.sqlite")).unwrap();
    older.execute_batch(OLDER_TABLE).unwrap();
    drop(older);
    let foreign = Connection::open(at("foreign.sqlite")).unwrap();
    foreign.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    drop(foreign);
    // The archive of another database.
    let small = sealed(&many(50), &[7]);
    move_all(&small, &at("other.sqlite"));
    fs::create_dir(at("folder")).unwrap();
    for (name, part) in [
        ("valuations.sqlite", "it is the database itself; name another file"),
        ("database.sqlite", "it is a database and no archive; name another file"),
        ("text", "not an SQLite database"),
        ("older.sqlite", "has no log of provider calls yet"),
        ("foreign.sqlite", "it belongs to another program"),
        ("other.sqlite", "is the archive of another database"),
        ("folder", "not a regular file"),
        ("nowhere/old.sqlite", "its folder does not exist"),
    ] {
        let before = fs::read(at(name)).ok();
        let error = archiver_error(&place, &at(name)).to_string();
        assert!(error.contains(part), "{name}: {error}");
        assert!(error.contains(&at(name).display().to_string()), "{error}");
        assert_eq!(fs::read(at(name)).ok(), before, "{name}");
        assert!(archive_plan(place.path(), &at(name), LATER).is_err());
    }
    assert_eq!(all(&place.path())[0].len(), 6_000);
    // An archive is no database for a server.
    let refused =
        at_once(Store::open(&valuation_server::store::StoreConfig::new(at("other.sqlite"))));
    assert!(refused.unwrap_err().to_string().contains("it is an archive of provider calls"));
}

#[test]
fn a_full_disk_deletes_nothing_and_the_next_run_goes_on() {
    let place = log();
    let to = archive_of(&place);
    let before = all(&place.path());
    let mut full = archiver(&place, &to).unwrap();
    full.limit_pages(40);
    let error = full.copy().unwrap_err();
    assert!(matches!(error, ArchiveError::Archive { .. }), "{error}");
    assert!(error.to_string().contains("disk is full"), "{error}");
    drop(full);
    assert_eq!(all(&place.path()), before);
    move_all(&place, &to);
    assert_eq!(joined(&to, &place.path()), before);
}

#[test]
fn a_row_that_was_changed_or_added_between_copy_and_delete_stops_it_and_nothing_is_deleted() {
    for (change, id) in [
        ("UPDATE ProviderLogs SET errorMessage = '' WHERE id = 1999", 1_999),
        ("DELETE FROM ProviderLogs WHERE id = 7", 7),
        ("UPDATE ProviderLogs SET requestDurationMs = '5x' WHERE id = 2000", 2_000),
        ("UPDATE log_chain SET head = x'00' WHERE lastId = 300", 300),
    ] {
        let place = log();
        let mut archiver = archiver(&place, &archive_of(&place)).unwrap();
        let piece = archiver.copy().unwrap().unwrap();
        place.neighbour().execute_batch(change).unwrap();
        let before = all(&place.path());
        match archiver.delete(piece).unwrap_err() {
            ArchiveError::Differs { id: found, .. } => assert_eq!(found, id, "{change}"),
            other => panic!("{other}"),
        }
        assert_eq!(all(&place.path()), before, "{change}");
    }
}

#[test]
fn rows_that_are_not_counted_or_not_sealed_stay_and_the_plan_says_so() {
    let plan = |place: &Place| archive_plan(place.path(), &archive_of(place), LATER).unwrap();
    let place = log();
    assert_eq!((plan(&place).rows, plan(&place).stop_reason), (5_900, StopReason::Newest));
    let neighbour = place.neighbour();
    let run = |sql: &str| neighbour.execute_batch(sql).unwrap();
    run("UPDATE rollup_mark SET countedTo = 2950");
    assert_eq!(
        (plan(&place).rows, plan(&place).stop_reason),
        (2_900, StopReason::Uncounted(2_951))
    );
    run("UPDATE rollup_mark SET countedTo = 6000; DELETE FROM log_chain WHERE lastId > 3000");
    assert_eq!((plan(&place).rows, plan(&place).stop_reason), (2_900, StopReason::Newest));
    run("DELETE FROM ProviderLogs WHERE id BETWEEN 2901 AND 3000");
    assert_eq!((plan(&place).rows, plan(&place).stop_reason), (2_900, StopReason::Unsealed(3_001)));
    run("DELETE FROM log_chain");
    assert_eq!((plan(&place).rows, plan(&place).stop_reason), (0, StopReason::Unsealed(1)));
    run("DELETE FROM rollup_mark");
    assert_eq!((plan(&place).rows, plan(&place).stop_reason), (0, StopReason::NoMark));
    assert!(!archive_of(&place).exists());
    // A row whose time can't be read is as old as its neighbours; a clock that was ahead holds the cut.
    let place = log();
    place
        .neighbour()
        .execute_batch(
            "UPDATE ProviderLogs SET requestedAt = 'zzz' WHERE id = 50;
            UPDATE ProviderLogs SET requestedAt = '2099-01-01T00:00:00.000Z' WHERE id = 450",
        )
        .unwrap();
    let plan = plan(&place);
    assert_eq!(plan.rows, 400);
    assert!(matches!(plan.stop_reason, StopReason::Recent { id: 450, .. }), "{plan:?}");
}

#[test]
fn of_two_commands_at_once_the_second_stops_before_it_leaves_a_hole_in_its_archive() {
    let place = log();
    let before = all(&place.path());
    let [one, other] = ["1.sqlite", "2.sqlite"].map(|name| place.folder.path().join(name));
    let (mut first, mut second) =
        (archiver(&place, &one).unwrap(), archiver(&place, &other).unwrap());
    let piece = second.copy().unwrap().unwrap();
    for _ in 0..2 {
        let piece = first.copy().unwrap().unwrap();
        first.delete(piece).unwrap();
    }
    assert_eq!(second.delete(piece).unwrap(), 0);
    match second.copy().unwrap_err() {
        ArchiveError::Refused { reason, .. } => {
            assert_eq!(reason, Refusal::DoesNotFollow { ends: 2_000, begins: 4_001 });
        }
        error => panic!("{error}"),
    }
    drop((first, second));
    move_all(&place, &one);
    assert_eq!(joined(&one, &place.path()), before);
    let verified = verify(&[place.path(), one, other], &[], |_, _| {}).unwrap();
    assert_eq!((verified.count, verified.rows, verified.repeated), (0, 8_000, 2_000), "{verified}");
}

#[test]
fn an_interrupted_archive_and_then_another_file_are_one_log() {
    let place = log();
    let [one, other] = ["1.sqlite", "2.sqlite"].map(|name| place.folder.path().join(name));
    let mut killed = archiver(&place, &one).unwrap();
    let piece = killed.copy().unwrap().unwrap();
    killed.delete(piece).unwrap();
    let _ = killed.copy().unwrap().unwrap();
    drop(killed);
    move_all(&place, &other);
    let verified = verify(&[other, place.path(), one], &[], |_, _| {}).unwrap();
    assert_eq!((verified.count, verified.rows, verified.repeated), (0, 8_000, 2_000), "{verified}");
}

#[test]
fn a_row_below_the_hash_chain_is_named_and_nothing_is_moved() {
    let place = log();
    let to = archive_of(&place);
    let insert = |id: i64| {
        let sql = "INSERT INTO ProviderLogs (id, vrm, providerName, requestedAt, requestDurationMs, \
            requestUrl) VALUES (?1, 'V', 'p', 'x', 1, 'u')";
        place.neighbour().execute(sql, [id]).unwrap();
    };
    let refused = |id: i64| {
        let error = archiver_error(&place, &to).to_string();
        assert!(error.contains(&format!("row {id} is outside the hash chain")), "{error}");
        place.neighbour().execute("DELETE FROM ProviderLogs WHERE id = ?1", [id]).unwrap();
    };
    insert(-5);
    refused(-5);
    assert_eq!(move_all(&place, &to).rows, 5_900);
    insert(7);
    refused(7);
}

#[test]
fn a_column_that_an_archive_has_no_place_for_is_refused() {
    let place = log();
    place.neighbour().execute_batch("ALTER TABLE ProviderLogs ADD COLUMN note text").unwrap();
    let error = archiver_error(&place, &archive_of(&place)).to_string();
    assert!(
        error.contains("ProviderLogs has a column note, which an archive would lose"),
        "{error}"
    );
}

#[test]
fn the_documented_sql_puts_an_archive_back() {
    let place = log();
    let (database, to) = (place.path(), archive_of(&place));
    let before = all(&database);
    move_all(&place, &to);
    let docs = include_str!("../../docs/audit_log.md");
    let sql = docs
        .split("## Archives")
        .nth(1)
        .unwrap()
        .split("```sql")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let sql = sql.replace("2025.sqlite", to.to_str().unwrap());
    place.neighbour().execute_batch(&sql).unwrap();
    assert_eq!(all(&database), before);
}

async fn command(arguments: &[&str], files: &[(&str, &Path)]) -> (i32, String, String) {
    let mut command = binary();
    command.args(arguments).stdout(Stdio::piped());
    for (flag, path) in files {
        command.arg(flag).arg(path);
    }
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test]
async fn the_command_says_what_it_would_move_what_it_moved_and_what_stays() {
    let place = tokio::task::spawn_blocking(log).await.unwrap();
    let (database, to) = (place.path(), archive_of(&place));
    let files = [("--database", &*database), ("--to", &*to)];
    // The rows are of 24 October 2026, 7 s apart.
    let date = ["archive", "--before", "2026-10-24T03:00", "--time-zone", "UTC"];
    let (code, out, error) = command(&[&date[..], &["--dry-run"]].concat(), &files).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.contains("would move 1500 rows, ids 1 to 1500"), "{out}");
    assert!(!to.exists());

    let (code, out, error) = command(&date, &files).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    for part in ["moved 1500 rows of 1500", "old.sqlite has 1500 rows, ids 1 to 1500", "SHA-256: "]
    {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, out, _) = command(&date, &files).await;
    assert_eq!(code, 0);
    assert!(out.contains("nothing to move"), "{out}");

    assert!(out.contains("all rows stay: "), "{out}");

    // It has the only copy of its rows, and nothing is moved out of it.
    let force = ["export", "--format", "csv", "--force"];
    let (code, _, error) = command(&force, &[("--database", &database), ("-o", &to)]).await;
    assert_eq!(code, 1);
    assert!(error.contains("old.sqlite is an archive, which has the only copy"), "{error}");
    let other = place.folder.path().join("other.sqlite");
    let (code, _, error) = command(&date, &[("--database", &to), ("--to", &other)]).await;
    assert_eq!(code, 1);
    assert!(error.contains("it is an archive of provider calls"), "{error}");
    let (code, _, error) = command(&["archive", "--before", "2999"], &files).await;
    assert_eq!(code, 2);
    assert!(error.contains("2999"), "{error}");
    let (code, _, error) = command(&["archive", "--before", "2999-01"], &files).await;
    assert_eq!(code, 2);
    assert!(error.contains("--before 2999-01 is in the future"), "{error}");
}

#[tokio::test]
async fn a_report_says_which_rows_are_in_no_given_file() {
    let place = tokio::task::spawn_blocking(log).await.unwrap();
    let (database, to) = (place.path(), archive_of(&place));
    let moved = to.clone();
    let place =
        tokio::task::spawn_blocking(move || (move_all(&place, &moved), place)).await.unwrap().1;
    let report = ["report", "--from", "2026-10-24", "--to", "2026-10-25"];
    let window = ["--exclude", "2026-10-24T02:10/2026-10-24T02:20=planned"];
    let alone = [("--database", &*database)];
    let both = [("--database", &*database), ("--archive", &*to)];

    let (_, out, _) = command(&report, &alone).await;
    assert!(!out.contains("no given file"), "{out}");
    let (_, out, _) = command(&[&report[..], &["--exact"]].concat(), &alone).await;
    assert!(out.contains("missing rows: ids 1 to 5900"), "{out}");
    let (_, out, _) = command(&[&report[..], &window].concat(), &alone).await;
    assert!(out.contains("their rows are in no given file; name their archive"), "{out}");
    for more in [&["--exact"][..], &window] {
        let (code, out, _) = command(&[&report[..], more].concat(), &both).await;
        assert_eq!(code, 0);
        assert!(!out.contains("no given file"), "{out}");
    }
    // Of another log, or changed.
    let changed = Connection::open(&to).unwrap();
    changed
        .execute_batch(
            "INSERT INTO ProviderLogs (id, vrm, providerName, requestedAt, requestDurationMs, requestUrl)
            VALUES (5901, 'V', 'p', 'x', 1, 'u')",
        )
        .unwrap();
    drop(changed);
    let (code, _, error) = command(&report, &both).await;
    assert_eq!(code, 1);
    assert!(error.contains("row 5901 of ProviderLogs is not the same in"), "{error}");
    drop(place);
}

#[tokio::test]
async fn rows_move_next_to_a_server_that_stores_valuations() {
    let place = tokio::task::spawn_blocking(log).await.unwrap();
    let (database, to) = (place.path(), archive_of(&place));
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let mut server = Process::start(&database, &supercar, &premium).await;
    let is_done = AtomicBool::new(false);
    let address = server.address;
    let puts = async {
        let mut client = Client::connect(address).await;
        let mut count = 0;
        while !is_done.load(Ordering::SeqCst) || count < 20 {
            client.send(put(&format!("/valuations/P{count}"), "{\"mileage\": 1}")).await;
            let answer = client.answer().await;
            assert!(answer.status < 300, "{}", answer.body);
            count += 1;
        }
        count
    };
    let files = [("--database", &*database), ("--to", &*to)];
    let archive = async {
        let ended = command(&["archive", "--before", "2026-10-26"], &files).await;
        is_done.store(true, Ordering::SeqCst);
        ended
    };
    let (puts, (code, out, error)) = tokio::join!(puts, archive);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    let [archived, left] = [&to, &database].map(|path| Connection::open(path).unwrap());
    let ids = "SELECT count(DISTINCT id) FROM ProviderLogs";
    let moved = number(&archived, ids);
    assert!(out.contains(&format!("moved {moved} rows of {moved}")), "{out}");
    // All but those of the newest record, which is of a PUT if one was stored before the plan was made.
    assert!([5_900, 6_000].contains(&moved), "{moved}");
    assert_eq!(moved + number(&left, ids), 6_000 + puts);
    // The sums have all of them.
    assert_eq!(number(&left, "SELECT sum(calls) FROM call_hours"), 6_000 + puts);
}
