//! Why a database was not moved.

use crate::store::error::{Cause, StoreError};
use crate::store::location::Location;
use crate::store::sql::SqlError;

/// Why a database was not moved. The source is unchanged, and what the target has stays.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// One of them can't be used.
    #[error(transparent)]
    Open(#[from] StoreError),
    /// There is another command for it.
    #[error(
        "both are files: `valuation-server backup` copies a file; name a database postgres://… with --from or \
         --to"
    )]
    TwoFiles,
    /// It would be moved into itself.
    #[error("--from and --to are the same database: {0}")]
    Same(Location),
    /// The source is of an earlier version.
    #[error(
        "the schema of {place} is version {found}, and version {known} is moved: start this version of the server \
         with it once, or run `valuation-server rollups` on it"
    )]
    Older {
        /// The source.
        place: Location,
        /// Its version.
        found: i32,
        /// The version of this program.
        known: i32,
    },
    /// Rows of the source are not in its rollups or in its hash chain.
    #[error(
        "rows of {place} are not in its rollups and its hash chain yet: of {newest} it has those up to {done_to}; a \
         running server adds them within a minute, and `valuation-server rollups` does. If not, `report --verify` \
         says what is wrong"
    )]
    Behind {
        /// The source.
        place: Location,
        /// The id up to which rows are in both.
        done_to: i64,
        /// The highest id.
        newest: i64,
    },
    /// The target has something else.
    #[error(
        "{place} is not empty: its table {table} has rows, which did not come by this command; name another one"
    )]
    NotEmpty {
        /// The target.
        place: Location,
        /// A table with rows.
        table: &'static str,
    },
    /// The target has a part of another log.
    #[error(
        "{place} has rows up to id {last_id} that were moved from {origin}, and {from} does not go on from there: it \
         is another log, or its next rows were archived meanwhile; name an empty database"
    )]
    OtherLog {
        /// The target.
        place: Location,
        /// The id of its last row.
        last_id: i64,
        /// From where the mark says that they are.
        origin: String,
        /// The source.
        from: Location,
    },
    /// Somebody uses the target.
    #[error("{place} is in use by {user}: end it, then run this again")]
    InUse {
        /// The target.
        place: Location,
        /// By what.
        user: &'static str,
    },
    /// A row can't be read, or is none that the other one could have.
    #[error("{place} cannot be read: {cause}")]
    Read {
        /// The source, or the target while it is compared.
        place: Location,
        /// What is wrong.
        #[source]
        cause: Cause,
    },
    /// The target refuses rows.
    #[error("{place} cannot be written: {cause}")]
    Write {
        /// The target.
        place: Location,
        /// What it says.
        #[source]
        cause: Cause,
    },
    /// It was stopped.
    #[error("interrupted: what is moved stays; the same command goes on")]
    Stopped,
}

impl MigrateError {
    /// What makes an error of a read one about its place.
    pub(super) fn reading(place: &Location) -> impl FnOnce(SqlError) -> Self {
        let place = place.clone();
        move |error| Self::Read { place, cause: error.into() }
    }

    /// What makes an error of a write one about its place.
    pub(super) fn writing(place: &Location) -> impl FnOnce(SqlError) -> Self {
        let place = place.clone();
        move |error| Self::Write { place, cause: error.into() }
    }
}
