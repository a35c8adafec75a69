//! Why rows can't be archived.

use std::path::PathBuf;
use std::sync::Arc;

use crate::store::error::{Cause, StoreError};
use crate::store::location::Location;
use crate::store::sql::SqlError;

/// Why archiving ended. Every row is in the database or in the archive; the same command goes on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// One of the files can't be opened.
    #[error(transparent)]
    Open(#[from] StoreError),
    /// The database is of an earlier version.
    #[error(
        "the schema of {place} is version {found} and not {latest}; run `valuation-server rollups` on it, or start this version's \
         server with it, once"
    )]
    Older {
        /// The database.
        place: Location,
        /// Its version.
        found: i32,
        /// This program's.
        latest: i32,
    },
    /// The file is no archive that the database's rows continue.
    #[error("cannot archive to {}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: Refusal,
    },
    /// The database can't be read, or not be written.
    #[error("the database {place} failed: {cause}; no row is lost, and the same command goes on")]
    Database {
        /// The database.
        place: Location,
        /// What it says.
        cause: Cause,
    },
    /// The archive can't be written, or not be read.
    #[error(
        "the archive {} failed: {cause}; no row is lost: none was deleted that is not in it. Remove the \
         cause, and run the same command again",
        path.display()
    )]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Of SQLite or the system.
        cause: Cause,
    },
    /// A row is in one of the files alone, or is not the same in both.
    #[error(
        "row {id} of {table} is not the same in the database and in the archive; nothing was deleted. \
         Somebody changed it, or another archive command is running"
    )]
    Differs {
        /// The table.
        table: &'static str,
        /// The row.
        id: i64,
    },
    /// A row is below all that the hash chain has.
    #[error(
        "row {id} is outside the hash chain, which begins with a higher id; nothing was moved. No server \
         gave it this id: move or delete it by hand, and run the same command again"
    )]
    OutsideChain {
        /// The row.
        id: i64,
    },
    /// Another program has the archive open.
    #[error(
        "another program has the archive {} open, so that it can't be made one synced file; no row is lost. End that program, and run the same command again",
        path.display()
    )]
    InUse {
        /// The archive.
        path: PathBuf,
    },
}

/// Why a file is not continued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The database.
    #[error("it is the database itself; name another file")]
    Itself,
    /// A database with valuations or calls.
    #[error("it is a database and no archive; name another file")]
    NotAnArchive,
    /// The chain does not go on from its last record.
    #[error(
        "it ends with row {ends}, and the database's first record of the hash chain, from row {begins} on, \
         does not follow it: it is the archive of another database, or a later one has the rows between, or \
         another archive command is moving them now; no row is lost. Name a new file"
    )]
    DoesNotFollow {
        /// The archive's last id.
        ends: i64,
        /// The database's first.
        begins: i64,
    },
    /// The database's table has a column of its own.
    #[error(
        "{table} has a column {column}, which an archive would lose; archive by hand, or remove the column"
    )]
    Column {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
    },
}

impl ArchiveError {
    pub(super) fn database(place: &Location, cause: SqlError) -> Self {
        Self::Database { place: place.clone(), cause: cause.into() }
    }

    pub(super) fn archive(
        path: &std::path::Path,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Archive { path: path.to_owned(), cause: Arc::new(cause) }
    }
}
