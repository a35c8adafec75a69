//! Errors of the database, as far as a caller can act on them.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::location::Location;
use crate::domain::Vrm;

/// The cause of a failure. It is shared: a failed transaction fails many entries, and many requests may
/// wait for an entry.
pub(super) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why the store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database can't be used. The text names it and what to do.
    #[error("cannot use the database {place}: {problem}")]
    Open {
        /// Where it is.
        place: Location,
        /// What is wrong with it.
        problem: OpenProblem,
    },
    /// The database can't be read or written now; perhaps later, without a restart.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] Cause),
    /// The queue was full for this time.
    #[error("no room in the queue of the database's writer within {0:?}")]
    Busy(Duration),
    /// The database is healthy and refuses this entry, by a constraint or a trigger. Its valuation was not
    /// stored; its calls were, unless they are what is refused.
    #[error("the database refuses the entry: {0}")]
    Rejected(#[source] Cause),
    /// Two files of a log have different rows with the same id.
    #[error(
        "row {id} of ProviderLogs is not the same in {} and in {}: they are not of one log, or one of them \
         was changed. If an archive was put back into the database, all newer ones must be in it too",
        files[0], files[1]
    )]
    Differs {
        /// The row.
        id: i64,
        /// The files.
        files: [Location; 2],
    },
    /// The stored row of this vehicle makes no sense.
    #[error("the stored valuation of {vrm} cannot be used: {problem}")]
    Corrupt {
        /// The vehicle.
        vrm: Vrm,
        /// What is wrong with its row.
        problem: String,
    },
    /// The store was shut down.
    #[error("the database is closed: the server is stopping")]
    Closed,
}

impl StoreError {
    pub(super) fn unavailable(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Arc::new(cause))
    }
}

/// Why a file can't be used as the database. The file is unchanged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenProblem {
    /// The path's folder is missing.
    #[error("its folder does not exist; create the folder, or name another path")]
    NoFolder,
    /// A name that SQLite does not take for a file: `:memory:`, or a URI.
    #[error(
        "it is a name for SQLite and not a file; name a file, as in valuations.sqlite, or put ./ in \
         front of a file that is called so"
    )]
    NotAPath,
    /// A folder, a device or the like.
    #[error("it is not a regular file; name a file, or a path where one can be created")]
    NotAFile,
    /// Nothing is there, and nothing is created.
    #[error(
        "there is no such file; name it with --database or VALUATION_DATABASE, an archive with --archive"
    )]
    NoFile,
    /// Mostly missing rights.
    #[error(
        "it cannot be opened or created; this user needs the right to read and write both the \
         file and its folder ({0})"
    )]
    Denied(Cause),
    /// The file or its file system is read-only.
    #[error("it is read-only; this user needs the right to write both the file and its folder")]
    ReadOnly,
    /// Another program holds it locked.
    #[error("another program holds it locked; end that program's transaction, then start again")]
    Locked,
    /// Not SQLite's format.
    #[error(
        "it is not an SQLite database and was left as it is; name a database of this server, or a \
         path where one can be created"
    )]
    NotADatabase,
    /// A database with malformed pages.
    #[error(
        "it is damaged ({0}) and was left as it is; put a backup in its place, and first remove the \
         files of the same name with -wal and -shm at the end, which belong to the damaged one"
    )]
    Damaged(Cause),
    /// An SQLite database, but not one of ours.
    #[error(
        "it belongs to another program ({0}) and was left as it is; name a database of this \
         server, or a path where one can be created"
    )]
    Foreign(String),
    /// A database without a log: empty, or of the older service.
    #[error(
        "it is empty or of the older service, and has no log of provider calls yet; keep a copy, and run \
         `valuation-server rollups` on it, or start the server with it, once"
    )]
    NoLog,
    /// A database of PostgreSQL without this server's tables.
    #[error("it has no tables of this server yet; start the server with it once")]
    NoTables,
    /// The tables are to be made by a role that may not.
    #[error(
        "its role {role:?} may not create tables in its schema {schema:?}; as its owner, run: GRANT CREATE ON \
         SCHEMA \"{schema}\" TO \"{role}\""
    )]
    MayNotCreate {
        /// The role.
        role: String,
        /// The schema in which tables would be made.
        schema: String,
    },
    /// A database of a newer version of this server.
    #[error(
        "its schema is version {found} and this program knows versions up to {known}; start the \
         newer program that made it"
    )]
    Newer {
        /// The file's version.
        found: i32,
        /// The newest version known here.
        known: i32,
    },
    /// An archive of a database's log.
    #[error(
        "it is an archive of provider calls, to which no server may add; name a database of this server, \
         or a path where one can be created"
    )]
    Archive,
    /// A table of the right name that can't be used.
    #[error("its table {table} {problem}, so it is not the table of this server")]
    Shape {
        /// The table.
        table: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// A database into which another one is being moved.
    #[error(
        "only a part of {0} was moved into it: run the same `valuation-server migrate` again, which moves the rest"
    )]
    Unfinished(String),
    /// The file system does not support a write-ahead log.
    #[error(
        "its journal mode stays {0:?} where \"wal\" is needed; put it on a local file system that \
         allows shared memory"
    )]
    NoWal(String),
    /// Another error of SQLite, for example an I/O error.
    #[error("SQLite says: {0}")]
    Sqlite(Cause),
    /// PostgreSQL can't be reached, or refuses: its own words.
    #[error("PostgreSQL: {0}")]
    Postgres(Cause),
    /// The authorities that are to sign the certificate of PostgreSQL can't be used.
    #[error("its certificate cannot be checked: {0}")]
    Tls(Cause),
    /// The writer's thread could not be started.
    #[error("its writer thread cannot be started: {0}")]
    Thread(Cause),
}

impl From<rusqlite::Error> for OpenProblem {
    fn from(error: rusqlite::Error) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<rusqlite::Error>> for OpenProblem {
    fn from(error: Arc<rusqlite::Error>) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::Denied(error),
            _ => Self::Sqlite(error),
        }
    }
}
