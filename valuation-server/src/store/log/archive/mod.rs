//! Moves the oldest rows of the log, and the records of the hash chain over them, to a file of their own,
//! next to a running server.
//!
//! A transaction over two files in WAL mode is atomic in each of them, not over both. So nothing depends on
//! that: a piece of rows is copied and made durable in the archive, and then deleted from the database, in a
//! transaction that first compares every row. After a kill between the two the rows are in both files; the
//! next run compares them and deletes.
//!
//! A server deletes a month whose partition is archived to its last row as a whole. Its pieces are copied first, and
//! none is deleted before the last.
//!
//! The archive belongs to the database by the hash chain: the record that follows its last one is the
//! database's first.

mod checksum;
mod database;
mod places;
mod plan;
mod refused;

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::audit_file;
use super::id_ranges::Ids;
use super::log_tables::{CopyError, LogTable};
use crate::store::config::SqliteConfig;
use crate::store::location::Location;
use crate::store::postgres::archiving::WholeMonth;
use crate::store::sql::{Sql, SqlError, ValueRef};
use crate::store::sqlite::{open, schema};
use database::{CHECKPOINT_PAGES, Database, LOCK_WAIT};
use places::Places;

pub use plan::{ArchivePlan, StopReason};
pub use refused::{ArchiveError, Refusal};

/// How many rows a piece has, unless a single commit has more. The write lock is held for some tens of
/// milliseconds.
const PIECE: u64 = 2_000;

/// One row, kept in the transactions that copy. By its name [`schema::is_archive`] knows an archive.
const MARKER: &str = r#"CREATE TABLE IF NOT EXISTS "provider_log_archive" (
    "id" integer PRIMARY KEY NOT NULL CHECK ("id" = 1),
    "firstId" integer NOT NULL,
    "lastId" integer NOT NULL,
    "rows" integer NOT NULL,
    "head" blob NOT NULL,
    "database" varchar NOT NULL,
    "archivedAt" varchar NOT NULL
)"#;

const MARK: &str = r#"INSERT INTO "provider_log_archive" VALUES (1, ?1, ?2, ?3,
    (SELECT "head" FROM "log_chain" ORDER BY "lastId" DESC LIMIT 1), ?4, ?5)
    ON CONFLICT ("id") DO UPDATE SET "firstId" = min("firstId", ?1), "lastId" = max("lastId", ?2),
    "rows" = "rows" + ?3, "head" = excluded."head", "database" = ?4, "archivedAt" = ?5"#;

/// What an archive has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The lowest and the highest id.
    pub ids: (i64, i64),
    /// How many rows.
    pub rows: u64,
    /// The hash chain's head over them, in hexadecimal digits.
    pub head: String,
    /// The file's checksum, in hexadecimal digits.
    pub sha256: String,
    /// Where it stands for `sha256sum --check`.
    pub checksum_file: PathBuf,
}

/// Rows that are moved together, those of whole records of the hash chain.
#[derive(Debug)]
#[must_use = "its rows are in both files until they are deleted"]
pub struct Piece {
    up_to: i64,
    deletion: Deletion,
}

/// What is deleted after a piece was copied.
#[derive(Debug)]
enum Deletion {
    /// Its rows.
    Rows,
    /// Nothing yet: it is of a month that goes as a whole.
    Later,
    /// The month, of which this is the last piece.
    Month(WholeMonth),
}

/// Moves rows to an archive. Blocks.
#[derive(Debug)]
pub struct Archiver {
    database: Database,
    archive: Connection,
    tables: [LogTable; 2],
    places: Places,
    /// All up to this id are moved.
    cut: i64,
    /// The archive's last id.
    copied_to: i64,
    now: String,
    /// The month that is being copied, to be deleted as a whole.
    month: Option<WholeMonth>,
    /// Others used the table all the time: rows are deleted one by one from then on.
    by_row: bool,
}

/// Whether this file is an archive. `false` if it can't be read.
#[must_use]
pub fn is_archive(path: &Path) -> bool {
    audit_file::open(path).is_ok_and(|(conn, _)| schema::is_archive(&conn).is_ok_and(|is| is))
}

/// What would be moved from `database` before `before`, in seconds since 1970. Nothing is changed.
///
/// # Errors
/// [`ArchiveError`], also for a file at `to` that could not be continued.
pub fn archive_plan(
    database: impl Into<Location>,
    to: &Path,
    before: i64,
) -> Result<ArchivePlan, ArchiveError> {
    let places = Places::new(database.into(), to)?;
    let mut database = places.look()?;
    // One state for all reads.
    let snapshot = database.snapshot().map_err(places.in_database())?;
    if let Some(id) = plan::outside_chain(snapshot.sql()).map_err(places.in_database())? {
        return Err(ArchiveError::OutsideChain { id });
    }
    let plan = plan::plan(snapshot.sql(), before).map_err(places.in_database())?;
    let is_finished = !places.archive.exists() || checksum::path(&places.archive).exists();
    Ok(ArchivePlan { is_done: plan.cut == 0 && is_finished, ..plan })
}

impl Archiver {
    /// Opens the database, and the archive at `to`, which is created if there is none: for what
    /// [`archive_plan`] found in the same files. `now` is stored in the archive, with the database's name.
    ///
    /// # Errors
    /// [`ArchiveError`]. A file that is no archive of this database is left unchanged.
    pub fn open(
        database: impl Into<Location>,
        to: &Path,
        plan: &ArchivePlan,
        now: std::time::SystemTime,
    ) -> Result<Self, ArchiveError> {
        let places = Places::new(database.into(), to)?;
        drop(places.look()?);
        let database = Database::open(&places.database)?;
        // Opening changes the file's header.
        checksum::remove(&places.archive).map_err(places.archive_io())?;
        create_like(&places.archive, places.database.file()).map_err(places.archive_io())?;
        let archive = open_archive(&places)?;
        let tables = [database.table(LogTable::ROWS)?, database.table(LogTable::CHAIN)?];
        for ours in &tables {
            let theirs = audit_file::table(&archive, ours.which()).map_err(places.in_archive())?;
            if let Some(column) = ours.column_missing_in(&theirs) {
                let (table, column) = (ours.name(), column.to_owned());
                return Err(places.refused(Refusal::Column { table, column }));
            }
        }
        open::sync_folder(&places.archive).map_err(places.archive_io())?;
        let copied_to = LogTable::ends(LogTable::CHAIN, &archive).map_err(places.in_archive())?;
        let copied_to = copied_to.map_or(0, |(_, last)| last);
        let now = super::logs::timestamp(now);
        let cut = plan.cut;
        let (month, by_row) = (None, false);
        Ok(Self { database, archive, tables, places, cut, copied_to, now, month, by_row })
    }

    /// Copies the next rows to the archive, durably; `None` if all are moved. Rows that a killed run left
    /// in both files are not copied again.
    ///
    /// # Errors
    /// [`ArchiveError::Archive`], for example on a full disk: nothing was deleted.
    pub fn copy(&mut self) -> Result<Option<Piece>, ArchiveError> {
        let Self { archive, tables: [rows, chain], places, copied_to, now, month, .. } = self;
        let (from, cut, by_row) = (&self.database, self.cut, self.by_row);
        let copied = from.read(|database| {
            if month.is_none() && !by_row {
                *month = from.whole_month(database, cut)?;
            }
            let (after, end) = match month {
                // All of it may be copied, by a run that was killed.
                Some(month) if month.up_to <= *copied_to => return Ok(Some((month.up_to, None))),
                Some(month) => (*copied_to, month.up_to),
                None => (i64::MIN, cut),
            };
            let next = next_cut(database, after, end, *copied_to).map_err(places.in_database())?;
            let Some(up_to) = next else { return Ok(None) };
            if up_to <= *copied_to {
                return Ok(Some((up_to, None)));
            }
            let tx = Transaction::new(archive, TransactionBehavior::Immediate)
                .map_err(places.in_archive())?;
            // Another command may have moved rows to another archive meanwhile.
            places.must_follow(database, &tx)?;
            let ids = (*copied_to, up_to);
            let copied = |table: &LogTable| {
                table.copy(database, &*tx, ids).map_err(|error| match error {
                    CopyError::Reading(cause) => places.in_database()(cause),
                    CopyError::Writing(cause) => places.in_archive()(cause),
                })
            };
            let count = i64::try_from(copied(rows)?).unwrap_or(i64::MAX);
            copied(chain)?;
            let ends = LogTable::ends(LogTable::ROWS, &*tx).map_err(places.in_archive())?;
            let (first, _) = ends.unwrap_or((up_to, up_to));
            tx.execute(MARK, (first, up_to, count, places.database.to_string(), &*now))
                .map_err(places.in_archive())?;
            Ok(Some((up_to, Some(tx))))
        })?;
        let Some((up_to, tx)) = copied else { return Ok(None) };
        if let Some(tx) = tx {
            tx.commit().map_err(places.in_archive())?;
            *copied_to = up_to;
        }
        let deletion = match month {
            None => Deletion::Rows,
            Some(month) if up_to < month.up_to => Deletion::Later,
            Some(month) => Deletion::Month(month.clone()),
        };
        Ok(Some(Piece { up_to, deletion }))
    }

    /// Deletes rows that [`copy`](Self::copy) copied, and gives their number; 0 for a piece that is deleted with a
    /// later one. Rows of which the archive does not have the same are an error.
    ///
    /// # Errors
    /// [`ArchiveError`]: nothing was deleted.
    pub fn delete(&mut self, Piece { up_to, deletion }: Piece) -> Result<u64, ArchiveError> {
        match deletion {
            Deletion::Rows => self.delete_rows(up_to),
            Deletion::Later => Ok(0),
            Deletion::Month(month) => {
                self.month = None;
                let compare = |database: &dyn Sql| {
                    let [rows, chain] = &self.tables;
                    self.compare(chain, database, month.up_to)?;
                    let ids = self.compare(rows, database, month.up_to)?;
                    let count = ids.map_or(Ok(0), |ids| rows.count(&self.archive, ids));
                    count.map_err(self.places.in_archive())
                };
                let dropped = self.database.drop_month(&month, compare)?;
                self.by_row |= dropped.is_none();
                Ok(dropped.unwrap_or(0))
            }
        }
    }

    /// The ids of a table up to this one, of which the archive has the same rows; `None` if there are none.
    fn compare(
        &self,
        table: &LogTable,
        database: &dyn Sql,
        up_to: i64,
    ) -> Result<Option<Ids>, ArchiveError> {
        let failed = self.places.in_database();
        let Some((first, _)) = LogTable::ends(table.which(), database).map_err(&failed)? else {
            return Ok(None);
        };
        let ids = (first.saturating_sub(1), up_to);
        match table.difference(database, &self.archive, ids).map_err(&failed)? {
            Some(id) => Err(ArchiveError::Differs { table: table.name(), id }),
            None => Ok(Some(ids)),
        }
    }

    fn delete_rows(&self, up_to: i64) -> Result<u64, ArchiveError> {
        let failed = self.places.in_database();
        self.database.write(|database| {
            let mut deleted = 0;
            for table in &self.tables {
                let Some(ids) = self.compare(table, database, up_to)? else { continue };
                let count = table.delete(database, ids).map_err(&failed)?;
                if table.which() == LogTable::ROWS {
                    deleted = count;
                }
            }
            Ok(deleted)
        })
    }

    /// For tests: limits the archive to this many pages, as a full disk would.
    #[doc(hidden)]
    pub fn limit_pages(&self, pages: u32) {
        let _ = self.archive.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
    }

    /// For tests: how long a month is tried to be deleted as a whole, next to readers of the table.
    #[doc(hidden)]
    pub fn limit_tries(&mut self, tries: std::time::Duration) {
        self.database.limit_tries(tries);
    }

    /// Closes the archive into one file and writes its checksum. `None` if the archive is empty.
    ///
    /// # Errors
    /// [`ArchiveError::InUse`], [`ArchiveError::Archive`]: all rows stay where they are.
    pub fn finish(self) -> Result<Option<Archived>, ArchiveError> {
        let Self { archive, places, .. } = self;
        let select = r#"SELECT "firstId", "lastId", "rows", lower(hex("head"))
            FROM "provider_log_archive""#;
        let sql: &dyn Sql = &archive;
        let found = sql
            .first(select, &[], |row| {
                let rows = row.integer(2)?.unsigned_abs();
                Ok(((row.integer(0)?, row.integer(1)?), rows, row.text(3)?.to_owned()))
            })
            .map_err(places.in_archive())?;
        // The same bytes whoever reads it, and no file next to it.
        let mode = archive
            .pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0));
        if mode.as_deref() != Ok("delete") {
            return Err(ArchiveError::InUse { path: places.archive.clone() });
        }
        archive.close().map_err(|(_, cause)| places.in_archive()(cause))?;
        let Some((ids, rows, head)) = found else { return Ok(None) };
        let sha256 = checksum::write(&places.archive).map_err(places.archive_io())?;
        let checksum_file = checksum::path(&places.archive);
        Ok(Some(Archived { ids, rows, head, sha256, checksum_file }))
    }
}

/// Opens the archive for writing, marked as one.
fn open_archive(places: &Places) -> Result<Connection, ArchiveError> {
    let archive = open::archive_writer(&SqliteConfig::new(&places.archive), LOCK_WAIT)
        .map_err(places.not_opened())?;
    archive
        .pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))
        .map_err(places.in_archive())?;
    archive.execute_batch(MARKER).map_err(places.in_archive())?;
    // What a killed run wrote must be on the disk before rows are deleted because of it.
    let is_busy: bool = archive
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(places.in_archive())?;
    if is_busy {
        return Err(ArchiveError::InUse { path: places.archive.clone() });
    }
    Ok(archive)
}

/// Creates the file, if there is none, so that the same users may read and write it as `original`; without that,
/// only this user may.
fn create_like(path: &Path, original: Option<&Path>) -> io::Result<()> {
    let mode = match original {
        Some(original) => original.metadata()?.mode() & 0o666,
        None => 0o600,
    };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The last id of the next piece, whose records end above `after`, and of which all or no rows are up to
/// `copied_to`, and none is above `end`.
fn next_cut(sql: &dyn Sql, after: i64, end: i64, copied_to: i64) -> Result<Option<i64>, SqlError> {
    let select = r#"SELECT "firstId", "lastId" FROM "log_chain" WHERE "lastId" > $1 AND "lastId" <= $2
        ORDER BY "lastId" LIMIT $3"#;
    // Each has a row at least, so that these are more than a piece.
    let most = i64::try_from(PIECE).unwrap_or(i64::MAX).saturating_add(1);
    let records = sql.all(select, &[after, end, most].map(ValueRef::Integer), |row| {
        Ok((row.integer(0)?, row.integer(1)?))
    })?;
    let (mut cut, mut rows) = (None, 0);
    for (first, last) in records {
        rows += last.abs_diff(first) + 1;
        let is_mixed = cut.is_some_and(|cut| cut <= copied_to) && last > copied_to;
        if cut.is_some() && (rows > PIECE || is_mixed) {
            break;
        }
        cut = Some(last);
    }
    Ok(cut)
}
