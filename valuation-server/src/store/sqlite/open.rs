//! Opens connections to the database file.
//!
//! Only SQLite opens the file, even to look at its first bytes: closing any handle of a file releases
//! all POSIX locks of the process on it, those of SQLite's other connections included, and two
//! concurrent writers would destroy the file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{damage, schema};
use crate::store::config::{Durability, SqliteConfig};
use crate::store::error::{OpenProblem, StoreError};

/// The pause between two attempts to open a locked file.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// How long the check for damage may take at the start.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// One page of the smallest size, in bytes.
const SMALLEST_DATABASE: u64 = 512;

/// The absolute path, which stays valid if the process changes its folder.
///
/// # Errors
/// Names with another meaning in SQLite, such as `:memory:`.
pub(in crate::store) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |problem| StoreError::Open { place: path.into(), problem };
    let name = path.as_os_str().as_encoded_bytes();
    if name == b":memory:" || name.starts_with(b"file:") {
        return Err(failed(OpenProblem::NotAPath));
    }
    std::path::absolute(path).map_err(|cause| failed(OpenProblem::Denied(Arc::new(cause))))
}

/// The writer's connection at the start: the file is created or migrated.
pub(in crate::store) fn first_writer(
    file: &SqliteConfig,
    lock_wait: Duration,
) -> Result<Connection, OpenProblem> {
    first(file, lock_wait, |conn| {
        if schema::is_archive(conn)? { Err(OpenProblem::Archive) } else { Ok(()) }
    })
}

/// As [`first_writer`], for the file of an archive.
pub(in crate::store) fn archive_writer(
    file: &SqliteConfig,
    lock_wait: Duration,
) -> Result<Connection, OpenProblem> {
    first(file, lock_wait, |_| Ok(()))
}

fn first(
    file: &SqliteConfig,
    lock_wait: Duration,
    look: fn(&Connection) -> Result<(), OpenProblem>,
) -> Result<Connection, OpenProblem> {
    let started = Instant::now();
    loop {
        match try_first_writer(file, lock_wait, look) {
            // SQLite itself waits for a lock, except for a deadlock, for example of two servers that
            // switch the same file to write-ahead logging.
            Err(OpenProblem::Locked) if started.elapsed() < lock_wait => {
                thread::sleep(RETRY_PAUSE);
            }
            opened_or_not => return opened_or_not,
        }
    }
}

fn try_first_writer(
    file: &SqliteConfig,
    lock_wait: Duration,
    look: fn(&Connection) -> Result<(), OpenProblem>,
) -> Result<Connection, OpenProblem> {
    look_at_the_path(&file.path)?;
    let (mut conn, _) = inspected(file, lock_wait, OpenFlags::SQLITE_OPEN_CREATE, |conn| {
        look(conn)?;
        damage::look_for(conn, FIRST_LOOK)
    })?;
    use_wal(&conn, file)?;
    schema::migrate(&mut conn)?;
    Ok(conn)
}

/// The writer's connection after a failure. The file must exist and be ours, with the latest schema: an
/// empty database in place of a lost one would look like a recovery, and everything would be lost.
pub(in crate::store) fn next_writer(
    file: &SqliteConfig,
    lock_wait: Duration,
) -> Result<Connection, OpenProblem> {
    let (conn, version) = inspected(file, lock_wait, OpenFlags::empty(), |_| Ok(()))?;
    if version != schema::latest() {
        return Err(OpenProblem::Foreign(format!("user_version {version}")));
    }
    use_wal(&conn, file)?;
    Ok(conn)
}

/// A connection that can't write.
///
/// Its handle is opened for writing: a read-only one can't recover the write-ahead log of a killed
/// process. With `keeps_log` closing it doesn't carry that log into the file.
pub(in crate::store) fn reader(
    path: &Path,
    lock_wait: Duration,
    keeps_log: bool,
) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::empty(), lock_wait)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps_log)?;
    conn.pragma_update(None, "query_only", true)?;
    // The first read opens the write-ahead log by its name. Later reads go on if the file is moved.
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(conn)
}

fn connect(path: &Path, extra: OpenFlags, lock_wait: Duration) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI: a path that starts with "file:" is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(lock_wait)?;
    Ok(conn)
}

/// SQLite has one error for all of these.
pub(in crate::store) fn look_at_the_path(path: &Path) -> Result<(), OpenProblem> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(OpenProblem::NoFolder);
    }
    match path.metadata() {
        Ok(found) if !found.is_file() => Err(OpenProblem::NotAFile),
        // SQLite treats a file that is shorter than any database as empty, and overwrites it.
        Ok(found) if (1..SMALLEST_DATABASE).contains(&found.len()) => {
            Err(OpenProblem::NotADatabase)
        }
        _ => Ok(()),
    }
}

/// A connection to a file that is ours and passes a further check, and its schema's version.
fn inspected(
    file: &SqliteConfig,
    lock_wait: Duration,
    extra: OpenFlags,
    look: impl FnOnce(&Connection) -> Result<(), OpenProblem>,
) -> Result<(Connection, i32), OpenProblem> {
    let left_log = beside(&file.path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
    let conn = connect(&file.path, extra, lock_wait)?;
    // Closing the last connection checkpoints the log of a killed program into the file. It must not,
    // since the log may be another program's, or of another file. Without a log, closing tidies up.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, left_log)?;
    let version = schema::inspect(&conn)?;
    look(&conn)?;
    must_be_writable(&conn)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok((conn, version))
}

/// SQLite silently opens a file without write permission for reading.
fn must_be_writable(conn: &Connection) -> Result<(), OpenProblem> {
    if conn.is_readonly("main")? { Err(OpenProblem::ReadOnly) } else { Ok(()) }
}

/// The file next to this one with this suffix, such as SQLite's `-wal`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the names in the file's folder durable.
pub(in crate::store) fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn use_wal(conn: &Connection, file: &SqliteConfig) -> Result<(), OpenProblem> {
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenProblem::NoWal(mode));
    }
    let synchronous = match file.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    let limit = i64::try_from(file.wal_limit).unwrap_or(i64::MAX);
    conn.pragma_update_and_check(None, "journal_size_limit", limit, |_| Ok(()))?;
    // The writer makes its checkpoints itself, after it has answered (see `checkpoint`).
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_can_only_read_is_refused_as_a_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("valuations.sqlite");
        drop(first_writer(&SqliteConfig::new(&path), Duration::ZERO).unwrap());
        // By flag and not by the file's rights, which bind no superuser.
        let conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        assert_eq!(
            must_be_writable(&conn).unwrap_err().to_string(),
            "it is read-only; this user needs the right to write both the file and its folder"
        );
    }

    #[test]
    fn each_writer_waits_for_the_disk_as_its_durability_says() {
        // `PRAGMA synchronous`: 1 is NORMAL, 2 is FULL.
        for (durability, expected) in [(Durability::Full, 2), (Durability::Normal, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("v.sqlite");
            let file = SqliteConfig { durability, ..SqliteConfig::new(path) };
            for conn in [first_writer(&file, Duration::ZERO), next_writer(&file, Duration::ZERO)] {
                let level = conn.unwrap().pragma_query_value(None, "synchronous", |row| row.get(0));
                assert_eq!(level, Ok(expected), "{durability:?}");
            }
        }
        assert_eq!(SqliteConfig::new("v.sqlite").durability, Durability::Full);
    }

    #[test]
    fn names_that_sqlite_would_take_for_something_else_are_refused_and_files_of_that_name_are_not()
    {
        for name in [":memory:", "file:x?mode=memory", "file:x"] {
            let refused = absolute(Path::new(name)).unwrap_err();
            let problem = OpenProblem::NotAPath;
            assert_eq!(
                refused.to_string(),
                StoreError::Open { place: Path::new(name).into(), problem }.to_string()
            );
            let path = absolute(&Path::new(".").join(name)).unwrap();
            assert!(path.is_absolute() && path.ends_with(name), "{path:?}");
        }
        assert!(absolute(Path::new("")).is_err());
    }
}
