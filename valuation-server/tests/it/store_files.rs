//! Which files are accepted as the database; refused ones are unchanged.

use std::path::Path;

use rusqlite::Connection;
use valuation_server::store::{OpenProblem, Store, StoreConfig, StoreError};

use crate::store_support::{OLDER_TABLE, Place, at_once, entry, vrm};

fn refusal(path: impl AsRef<Path>) -> (OpenProblem, String) {
    refusal_of(at_once(Store::open(&StoreConfig::new(path.as_ref()))).unwrap_err(), path.as_ref())
}

fn refusal_of(error: StoreError, path: &Path) -> (OpenProblem, String) {
    let text = error.to_string();
    let named = format!("cannot use the database {}: ", path.display());
    let sentence = text.strip_prefix(&named).unwrap_or_else(|| panic!("{text}")).to_owned();
    let StoreError::Open { problem, .. } = error else { panic!("{error:?}") };
    (problem, sentence)
}

/// Refused, and nothing in the folder has changed by a byte.
fn refused_untouched(place: &Place) -> (OpenProblem, String) {
    let before = place.contents();
    let refused = refusal(place.path());
    // Not assert_eq, which would print the bytes.
    assert!(place.contents() == before, "something was written; {}", refused.1);
    refused
}

#[tokio::test]
async fn a_missing_file_is_created_and_found_again() {
    let place = Place::new();
    let store = place.open();
    store.commit(entry("AA99BCD")).await.unwrap();
    store.shutdown().await;
    drop(store);
    let found = at_once(place.open().find(&vrm("AA99BCD"))).unwrap().unwrap();
    assert_eq!(found, entry("AA99BCD").valuation.unwrap());
}

#[test]
fn an_empty_file_is_taken() {
    let place = Place::new();
    std::fs::write(place.path(), "").unwrap();
    assert_eq!(at_once(place.open().find(&vrm("AA99BCD"))).unwrap(), None);
}

#[test]
fn the_ids_that_the_file_is_known_by_are_set() {
    let place = Place::new();
    place.make();
    let read = |pragma: &str| -> i32 {
        place.neighbour().query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(read("application_id"), 0x5641_4C55);
    assert_eq!(read("user_version"), 4);
}

#[test]
fn a_text_file_is_left_as_it_is() {
    for size in [1, 99, 100, 511, 512, 1_000, 4_095, 4_096, 4_097, 100_000] {
        let place = Place::new();
        std::fs::write(place.path(), &b"a list of things\n".repeat(size)[..size]).unwrap();
        let (problem, sentence) = refused_untouched(&place);
        assert!(matches!(problem, OpenProblem::NotADatabase), "{problem:?}");
        assert_eq!(
            sentence,
            "it is not an SQLite database and was left as it is; name a database of this server, \
             or a path where one can be created"
        );
    }
}

#[test]
fn another_programs_database_is_left_as_it_is() {
    for (sql, found) in [
        ("CREATE TABLE bookmarks (url)", "1 tables: bookmarks"),
        ("PRAGMA application_id = 7", "application_id 7, user_version 0"),
        ("PRAGMA user_version = 3", "application_id 0, user_version 3"),
        ("PRAGMA journal_mode = WAL; CREATE TABLE bookmarks (url)", "1 tables: bookmarks"),
    ] {
        let place = Place::new();
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        let (problem, sentence) = refused_untouched(&place);
        assert!(matches!(problem, OpenProblem::Foreign(_)), "{problem:?}");
        assert_eq!(
            sentence,
            format!(
                "it belongs to another program ({found}) and was left as it is; name a database \
                 of this server, or a path where one can be created"
            )
        );
    }
}

#[test]
fn another_programs_unfinished_write_ahead_log_is_left_to_it() {
    let theirs = Place::new();
    let conn = Connection::open(theirs.path()).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE bookmarks (url)",
    )
    .unwrap();
    // A copy of the files as they would be after a kill of that program.
    let killed = Place::new();
    for suffix in ["", "-wal"] {
        let name = format!("valuations.sqlite{suffix}");
        std::fs::copy(theirs.folder.path().join(&name), killed.folder.path().join(&name)).unwrap();
    }
    let wal = killed.folder.path().join("valuations.sqlite-wal");
    let bytes = || (std::fs::read(killed.path()).unwrap(), std::fs::read(&wal).unwrap());
    let before = bytes();
    let (problem, _) = refusal(killed.path());
    assert!(matches!(problem, OpenProblem::Foreign(_)), "{problem:?}");
    assert!(bytes() == before, "the file or its log was written");
}

#[test]
fn a_newer_version_of_our_own_database_is_left_as_it_is() {
    let place = Place::new();
    place.make();
    place.neighbour().pragma_update(None, "user_version", 99).unwrap();
    let (problem, sentence) = refused_untouched(&place);
    assert!(matches!(problem, OpenProblem::Newer { found: 99, known: 4 }), "{problem:?}");
    assert_eq!(
        sentence,
        "its schema is version 99 and this program knows versions up to 4; start the newer \
         program that made it"
    );
}

#[test]
fn a_table_of_the_same_name_and_another_shape_is_left_as_it_is() {
    let place = Place::new();
    Connection::open(place.path())
        .unwrap()
        .execute_batch(&format!(
            "{OLDER_TABLE}; CREATE TABLE ProviderLogs (id INTEGER PRIMARY KEY)"
        ))
        .unwrap();
    let (problem, sentence) = refused_untouched(&place);
    assert!(matches!(problem, OpenProblem::Shape { table: "ProviderLogs", .. }), "{problem:?}");
    assert_eq!(
        sentence,
        "its table ProviderLogs has no column vrm, so it is not the table of this server"
    );
}

#[test]
fn a_damaged_database_is_refused_in_words() {
    let place = Place::new();
    place.make();
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[100..].fill(0xff);
    std::fs::write(place.path(), bytes).unwrap();
    let (problem, sentence) = refused_untouched(&place);
    assert!(matches!(problem, OpenProblem::Damaged(_)), "{problem:?}");
    assert!(sentence.contains("malformed"), "{sentence}");
}

#[test]
fn a_database_that_was_cut_short_is_refused_in_words_and_left_as_it_is() {
    let place = Place::new();
    place.make();
    let file = std::fs::OpenOptions::new().write(true).open(place.path()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
    drop(file);
    let (problem, sentence) = refused_untouched(&place);
    assert!(matches!(problem, OpenProblem::Damaged(_)), "{problem:?}");
    assert!(sentence.contains("malformed"), "{sentence}");
}

/// A store whose log holds the newest pages only, copied as a kill would leave it, with the main
/// file of an earlier time in the place of its own.
fn restored_next_to_a_log() -> Place {
    let (place, killed) = (Place::new(), Place::new());
    place.make();
    std::fs::copy(place.path(), killed.path()).unwrap();
    let conn = place.neighbour();
    conn.execute_batch(
        "PRAGMA wal_autocheckpoint = 0;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO vehicle_valuation SELECT 'V' || i, 1, 2, NULL FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO vehicle_valuation SELECT 'W' || i, 1, 2, NULL FROM n",
    )
    .unwrap();
    let wal = |place: &Place| place.folder.path().join("valuations.sqlite-wal");
    std::fs::copy(wal(&place), wal(&killed)).unwrap();
    killed
}

#[test]
fn a_backup_that_was_restored_next_to_another_files_log_is_refused_and_unchanged() {
    let place = restored_next_to_a_log();
    let before = std::fs::read(place.path()).unwrap();
    for problem in [
        refusal(place.path()),
        refusal_of(valuation_server::store::look(place.path()).unwrap_err(), &place.path()),
    ] {
        assert!(matches!(problem.0, OpenProblem::Damaged(_)), "{:?}", problem.0);
        assert!(problem.1.contains("first remove the files of the same name with -wal"));
    }
    assert!(std::fs::read(place.path()).unwrap() == before, "the log was written into the backup");
    // As the sentence says.
    for suffix in ["-wal", "-shm"] {
        let beside = place.folder.path().join(format!("valuations.sqlite{suffix}"));
        if beside.exists() {
            std::fs::remove_file(beside).unwrap();
        }
    }
    place.make();
    valuation_server::store::look(place.path()).unwrap();
}

#[test]
fn what_is_no_path_for_sqlite_is_refused_and_makes_no_file() {
    for name in [":memory:", "file:valuations.sqlite"] {
        let (problem, sentence) = refusal(name);
        assert!(matches!(problem, OpenProblem::NotAPath), "{problem:?}");
        assert!(sentence.contains("a name for SQLite and not a file"), "{sentence}");
        assert!(!Path::new(name).exists());
    }
}

#[test]
fn a_folder_a_missing_folder_and_a_forbidden_one_have_different_errors() {
    let place = Place::new();
    let (problem, _) = refusal(place.folder.path());
    assert!(matches!(problem, OpenProblem::NotAFile), "{problem:?}");
    let (problem, sentence) = refusal(place.folder.path().join("missing").join("v.sqlite"));
    assert!(matches!(problem, OpenProblem::NoFolder), "{problem:?}");
    assert_eq!(sentence, "its folder does not exist; create the folder, or name another path");
    // Even a superuser can't create a file there.
    #[cfg(target_os = "linux")]
    {
        let (problem, sentence) = refusal("/proc/valuations.sqlite");
        assert!(matches!(problem, OpenProblem::Denied(_)), "{problem:?}");
        assert!(sentence.contains("needs the right to read and write both"), "{sentence}");
    }
}

#[test]
fn a_read_only_file_is_refused() {
    let place = Place::new();
    place.make();
    let mut rights = place.path().metadata().unwrap().permissions();
    rights.set_readonly(true);
    std::fs::set_permissions(place.path(), rights).unwrap();
    // A superuser may write it all the same; `store::open` has the same test by an open flag.
    if std::fs::OpenOptions::new().append(true).open(place.path()).is_err() {
        let (problem, _) = refusal(place.path());
        assert!(matches!(problem, OpenProblem::ReadOnly), "{problem:?}");
    }
}

#[test]
fn a_file_that_another_program_has_locked_is_refused_in_words() {
    let place = Place::new();
    place.make();
    let neighbour = place.neighbour();
    neighbour.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let config = StoreConfig { lock_wait: std::time::Duration::ZERO, ..place.config() };
    let error = at_once(Store::open(&config)).unwrap_err();
    assert!(matches!(error, StoreError::Open { problem: OpenProblem::Locked, .. }), "{error:?}");
}

#[test]
fn two_servers_may_open_a_new_database_at_once() {
    for _ in 0..20 {
        let place = Place::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| place.open());
            }
        });
        assert_eq!(at_once(place.open().find(&vrm("AA99BCD"))).unwrap(), None);
    }
}
