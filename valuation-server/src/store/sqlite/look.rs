//! Inspects a database file: nothing is created, locked for writing or changed.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, access};

use super::{damage, open, schema};
use crate::store::error::{OpenProblem, StoreError};

/// All but the characters that a URI's path has unencoded.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How long the check for damage may take: long enough for the whole file.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is at the database's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Nothing, in a folder where the file can be created.
    Nothing,
    /// An empty file or an empty database, which `serve` would fill.
    Empty,
    /// A database of this server.
    Ours {
        /// Its schema's version.
        version: i32,
        /// The version that this program migrates it to.
        latest: i32,
    },
    /// A database of the older service, which `serve` would migrate.
    OlderService,
}

/// Checks whether [`Store::open`](crate::store::Store::open) would accept the file at `path`, and reads all of
/// it for damage.
///
/// If a server uses the database, this is one more reader. If not, not even SQLite's own files next to
/// it are created or changed, and the write-ahead log of a killed server is read.
///
/// # Errors
/// [`StoreError::Open`] names the file, what is wrong and what to do.
pub(in crate::store) fn look(path: &Path) -> Result<Found, StoreError> {
    let path = open::absolute(path)?;
    inspect(&path).map_err(|problem| StoreError::Open { place: path.into(), problem })
}

fn inspect(path: &Path) -> Result<Found, OpenProblem> {
    open::look_at_the_path(path)?;
    if let Some(folder) = path.parent() {
        access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(denied)?;
    }
    let length = match path.metadata() {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(denied(error)),
    };
    access(path, Access::READ_OK | Access::WRITE_OK).map_err(denied)?;
    if length == 0 {
        return Ok(Found::Empty);
    }
    let conn = connect(path)?;
    let version = schema::inspect(&conn)?;
    if schema::is_archive(&conn)? {
        return Err(OpenProblem::Archive);
    }
    damage::look_for(&conn, LONGEST)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match version {
        0 if tables == 0 => Found::Empty,
        0 => Found::OlderService,
        version => Found::Ours { version, latest: schema::latest() },
    })
}

fn denied(error: impl Into<std::io::Error>) -> OpenProblem {
    match error.into() {
        error if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => OpenProblem::ReadOnly,
        error => OpenProblem::Denied(std::sync::Arc::new(error)),
    }
}

/// Reads the database unchanged.
pub(in crate::store) fn connect(path: &Path) -> Result<Connection, OpenProblem> {
    loop {
        if let Some(opened) = Siblings::at(path).connect(path) {
            return opened;
        }
    }
}

/// Which files SQLite has left next to the database. They decide how it can be read unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Siblings {
    pub(in crate::store) wal: bool,
    pub(in crate::store) shm: bool,
}

impl Siblings {
    pub(in crate::store) fn at(path: &Path) -> Self {
        let there = |suffix| open::beside(path, suffix).exists();
        Self { wal: there("-wal"), shm: there("-shm") }
    }

    /// `None`: a server that started or stopped meanwhile has changed them, so that the choice was wrong.
    pub(in crate::store) fn connect(self, path: &Path) -> Option<Result<Connection, OpenProblem>> {
        let opened = self.open(path);
        (self == Self::at(path)).then_some(opened)
    }

    fn open(self, path: &Path) -> Result<Connection, OpenProblem> {
        let (flags, parameter) = match (self.wal, self.shm) {
            // A server uses it, or was killed. In the second case the shared memory is outdated: as it must
            // not be written, SQLite reads the log into memory of its own.
            (true, true) => (OpenFlags::SQLITE_OPEN_READ_ONLY, "?mode=ro&readonly_shm=1"),
            // It is not in use, and has a log to read: without shared memory, under a lock.
            (true, false) => (OpenFlags::SQLITE_OPEN_READ_WRITE, "?mode=rw"),
            (false, _) => (OpenFlags::SQLITE_OPEN_READ_ONLY, "?immutable=1"),
        };
        let mut uri = String::from("file:");
        uri.extend(percent_encode(path.as_os_str().as_encoded_bytes(), PATH));
        uri.push_str(parameter);
        let uri_flags = OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(uri, flags | uri_flags)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        if flags == OpenFlags::SQLITE_OPEN_READ_WRITE {
            conn.pragma_update(None, "query_only", true)?;
            conn.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
        }
        // The first read opens the write-ahead log.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::config::SqliteConfig;

    #[test]
    fn a_choice_that_a_server_made_wrong_meanwhile_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("valuations.sqlite");
        drop(open::first_writer(&SqliteConfig::new(&path), Duration::ZERO).unwrap());
        let before = Siblings::at(&path);
        assert!(before.connect(&path).unwrap().is_ok());
        // With a log, the file alone may be outdated and may change.
        let server = open::first_writer(&SqliteConfig::new(&path), Duration::ZERO).unwrap();
        assert_ne!(Siblings::at(&path), before);
        assert!(before.connect(&path).is_none());
        let during = Siblings::at(&path);
        drop(server);
        assert!(during.connect(&path).is_none());
        assert!(connect(&path).is_ok());
    }
}
