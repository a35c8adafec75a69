//! The database and the archive: whether they belong together.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::refused::{ArchiveError, Refusal};
use crate::store::error::{OpenProblem, StoreError};
use crate::store::location::Location;
use crate::store::log::source::LogSource;
use crate::store::log::{audit_file, chain};
use crate::store::sql::{Sql, SqlError};
use crate::store::sqlite::{open, schema};

/// Where both are, and the errors that name them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) database: Location,
    pub(super) archive: PathBuf,
}

impl Places {
    pub(super) fn new(database: Location, to: &Path) -> Result<Self, ArchiveError> {
        let database = match database {
            Location::File(path) => open::absolute(&path)?.into(),
            server @ Location::Server(_) => server,
        };
        let places = Self { database, archive: open::absolute(to)? };
        let same = |a: &Path, b: &Path| a == b || a.canonicalize().ok() == b.canonicalize().ok();
        let is_same = places.database.file().is_some_and(|file| same(file, &places.archive));
        if places.archive.exists() && is_same {
            return Err(places.refused(Refusal::Itself));
        }
        Ok(places)
    }

    pub(super) fn refused(&self, reason: Refusal) -> ArchiveError {
        ArchiveError::Refused { path: self.archive.clone(), reason }
    }

    pub(super) fn in_database(&self) -> impl Fn(SqlError) -> ArchiveError {
        |cause| ArchiveError::database(&self.database, cause)
    }

    pub(super) fn in_archive<E: Into<SqlError>>(&self) -> impl Fn(E) -> ArchiveError {
        |cause| ArchiveError::archive(&self.archive, cause.into())
    }

    pub(super) fn archive_io(&self) -> impl Fn(io::Error) -> ArchiveError {
        |cause| ArchiveError::archive(&self.archive, cause)
    }

    pub(super) fn not_opened(&self) -> impl Fn(OpenProblem) -> StoreError {
        |problem| StoreError::Open { place: self.archive.clone().into(), problem }
    }

    /// Checks both by reading alone, and gives the database.
    pub(super) fn look(&self) -> Result<LogSource, ArchiveError> {
        let database = LogSource::open(self.database.clone())?;
        database.must_be_database()?;
        let (found, latest) = database.schema_versions();
        if found != latest {
            return Err(ArchiveError::Older { place: self.database.clone(), found, latest });
        }
        open::look_at_the_path(&self.archive).map_err(self.not_opened())?;
        if self.archive.metadata().is_ok_and(|file| file.len() > 0) {
            let (archive, _) = audit_file::open(&self.archive).map_err(self.not_opened())?;
            self.must_follow(database.sql(), &archive)?;
        }
        Ok(database)
    }

    /// Refuses a file that the database's rows do not continue.
    pub(super) fn must_follow(
        &self,
        database: &dyn Sql,
        archive: &Connection,
    ) -> Result<(), ArchiveError> {
        if !schema::is_archive(archive).map_err(self.in_archive())? {
            // A file that a kill left before it was marked has nothing in it.
            let sql = r#"SELECT EXISTS (SELECT 1 FROM "vehicle_valuation")
                OR EXISTS (SELECT 1 FROM "sqlite_sequence")"#;
            let is_used: bool =
                archive.query_row(sql, [], |row| row.get(0)).map_err(self.in_archive())?;
            return if is_used { Err(self.refused(Refusal::NotAnArchive)) } else { Ok(()) };
        }
        let Some(last) = chain::last(archive).map_err(self.in_archive())? else { return Ok(()) };
        let first = chain::first(database).map_err(self.in_database())?;
        let Some(first) = first else { return Ok(()) };
        let follows = if first.last_id <= last.last_id {
            // A kill left it in both files.
            let copy = chain::ending_with(archive, first.last_id).map_err(self.in_archive())?;
            copy.is_some_and(|copy| copy.head == first.head)
        } else {
            first.previous == last.head
        };
        if follows {
            return Ok(());
        }
        let (ends, begins) = (last.last_id, first.first_id);
        Err(self.refused(Refusal::DoesNotFollow { ends, begins }))
    }
}
