//! Moves the oldest rows of the log, and the records of the hash chain over them, to a file of their own,
//! next to a running server.
//!
//! A transaction over two files in WAL mode is atomic in each of them, not over both. So nothing depends on
//! that: a piece of rows is copied and made durable in the archive, and then deleted from the database, in a
//! transaction that first compares every row. After a kill between the two the rows are in both files; the
//! next run compares them and deletes.
//!
//! The archive belongs to the database by the hash chain: the record that follows its last one is the
//! database's first.

mod checksum;
mod plan;
mod refused;

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::config::SqliteConfig;
use super::error::{OpenProblem, StoreError};
use super::log_tables::{CopyError, LogTable};
use super::sqlite::{open, schema};
use super::{audit_file, chain};

pub use plan::{ArchivePlan, StopReason};
pub use refused::{ArchiveError, Refusal};

/// How many rows a piece has, unless a single commit has more. The write lock is held for some tens of
/// milliseconds.
const PIECE: u64 = 2_000;

/// How long another program's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// SQLite's default: the commits of this command keep the write-ahead log short also without a server.
const CHECKPOINT_PAGES: u32 = 1_000;

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
}

/// Moves rows to an archive. Blocks.
#[derive(Debug)]
pub struct Archiver {
    database: Connection,
    archive: Connection,
    tables: [LogTable; 2],
    paths: Paths,
    /// All up to this id are moved.
    cut: i64,
    /// The archive's last id.
    copied_to: i64,
    now: String,
}

#[derive(Clone, Debug)]
struct Paths {
    database: PathBuf,
    archive: PathBuf,
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
pub fn archive_plan(database: &Path, to: &Path, before: i64) -> Result<ArchivePlan, ArchiveError> {
    let paths = Paths::new(database, to)?;
    let database = paths.look()?;
    if let Some(id) = plan::outside_chain(&database).map_err(paths.in_database())? {
        return Err(ArchiveError::OutsideChain { id });
    }
    let plan = plan::plan(&database, before).map_err(paths.in_database())?;
    let is_finished = !paths.archive.exists() || checksum::path(&paths.archive).exists();
    Ok(ArchivePlan { is_done: plan.cut == 0 && is_finished, ..plan })
}

impl Paths {
    fn new(database: &Path, to: &Path) -> Result<Self, ArchiveError> {
        let paths = Self { database: open::absolute(database)?, archive: open::absolute(to)? };
        let same = |a: &Path, b: &Path| a == b || a.canonicalize().ok() == b.canonicalize().ok();
        if paths.archive.exists() && same(&paths.database, &paths.archive) {
            return Err(paths.refused(Refusal::Itself));
        }
        Ok(paths)
    }

    fn refused(&self, reason: Refusal) -> ArchiveError {
        ArchiveError::Refused { path: self.archive.clone(), reason }
    }

    fn in_database(&self) -> impl Fn(rusqlite::Error) -> ArchiveError {
        |cause| ArchiveError::database(&self.database, cause)
    }

    fn in_archive(&self) -> impl Fn(rusqlite::Error) -> ArchiveError {
        |cause| ArchiveError::archive(&self.archive, cause)
    }

    fn open_failed(path: &Path) -> impl Fn(OpenProblem) -> StoreError {
        |problem| StoreError::Open { path: path.to_owned(), problem }
    }

    /// Checks both files by reading alone, and gives the database.
    fn look(&self) -> Result<Connection, ArchiveError> {
        let (database, found) =
            audit_file::open(&self.database).map_err(Self::open_failed(&self.database))?;
        if schema::is_archive(&database).map_err(self.in_database())? {
            return Err(Self::open_failed(&self.database)(OpenProblem::Archive).into());
        }
        let latest = schema::latest();
        if found != latest {
            return Err(ArchiveError::Older { path: self.database.clone(), found, latest });
        }
        open::look_at_the_path(&self.archive).map_err(Self::open_failed(&self.archive))?;
        if self.archive.metadata().is_ok_and(|file| file.len() > 0) {
            let (archive, _) =
                audit_file::open(&self.archive).map_err(Self::open_failed(&self.archive))?;
            self.must_follow(&database, &archive)?;
        }
        Ok(database)
    }

    /// Refuses a file that the database's rows do not continue.
    fn must_follow(&self, database: &Connection, archive: &Connection) -> Result<(), ArchiveError> {
        let failed = self.in_archive();
        if !schema::is_archive(archive).map_err(&failed)? {
            // A file that a kill left before it was marked has nothing in it.
            let sql = r#"SELECT EXISTS (SELECT 1 FROM "vehicle_valuation")
                OR EXISTS (SELECT 1 FROM "sqlite_sequence")"#;
            let is_used: bool = archive.query_row(sql, [], |row| row.get(0)).map_err(&failed)?;
            return if is_used { Err(self.refused(Refusal::NotAnArchive)) } else { Ok(()) };
        }
        let Some(last) = chain::last(archive).map_err(&failed)? else { return Ok(()) };
        let first = chain::first(database).map_err(self.in_database())?;
        let Some(first) = first else { return Ok(()) };
        let follows = if first.last_id <= last.last_id {
            // A kill left it in both files.
            let copy = chain::ending_with(archive, first.last_id).map_err(&failed)?;
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

impl Archiver {
    /// Opens the database, and the archive at `to`, which is created if there is none: for what
    /// [`archive_plan`] found in the same files. `now` is stored in the archive, with the database's name.
    ///
    /// # Errors
    /// [`ArchiveError`]. A file that is no archive of this database is left unchanged.
    pub fn open(
        database: &Path,
        to: &Path,
        plan: &ArchivePlan,
        now: std::time::SystemTime,
    ) -> Result<Self, ArchiveError> {
        let paths = Paths::new(database, to)?;
        drop(paths.look()?);
        let database = open::next_writer(&SqliteConfig::new(&paths.database), LOCK_WAIT)
            .map_err(Paths::open_failed(&paths.database))?;
        // Opening changes the file's header.
        checksum::remove(&paths.archive)
            .map_err(|cause| ArchiveError::archive(&paths.archive, cause))?;
        create_like(&paths.archive, &paths.database)
            .map_err(|cause| ArchiveError::archive(&paths.archive, cause))?;
        let archive = open::archive_writer(&SqliteConfig::new(&paths.archive), LOCK_WAIT)
            .map_err(Paths::open_failed(&paths.archive))?;
        for conn in [&database, &archive] {
            conn.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))
                .map_err(paths.in_database())?;
        }
        archive.execute_batch(MARKER).map_err(paths.in_archive())?;
        // What a killed run wrote must be on the disk before rows are deleted because of it.
        let is_busy: bool = archive
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(paths.in_archive())?;
        if is_busy {
            return Err(ArchiveError::InUse { path: paths.archive });
        }
        if let Some(refusal) = schema_matches(&database, &archive).map_err(paths.in_archive())? {
            return Err(paths.refused(refusal));
        }
        open::sync_folder(&paths.archive)
            .map_err(|cause| ArchiveError::archive(&paths.archive, cause))?;
        let tables = [
            LogTable::rows(&database).map_err(paths.in_database())?,
            LogTable::chain(&database).map_err(paths.in_database())?,
        ];
        let copied_to = tables[1].ends(&archive).map_err(paths.in_archive())?;
        let copied_to = copied_to.map_or(0, |(_, last)| last);
        let now = super::logs::timestamp(now);
        Ok(Self { database, archive, tables, paths, cut: plan.cut, copied_to, now })
    }

    /// Copies the next rows to the archive, durably; `None` if all are moved. Rows that a killed run left
    /// in both files are not copied again.
    ///
    /// # Errors
    /// [`ArchiveError::Archive`], for example on a full disk: nothing was deleted.
    pub fn copy(&mut self) -> Result<Option<Piece>, ArchiveError> {
        let failed = self.paths.in_database();
        // One state for all reads.
        let database = self.database.unchecked_transaction().map_err(&failed)?;
        let next = next_cut(&database, self.cut, self.copied_to).map_err(&failed)?;
        let Some(up_to) = next else { return Ok(None) };
        if up_to <= self.copied_to {
            return Ok(Some(Piece { up_to }));
        }
        let in_archive = self.paths.in_archive();
        let tx = self
            .archive
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&in_archive)?;
        // Another command may have moved rows to another archive meanwhile.
        self.paths.must_follow(&database, &tx)?;
        let ids = (self.copied_to, up_to);
        let copied = |table: &LogTable| {
            table.copy(&database, &tx, ids).map_err(|error| match error {
                CopyError::Reading(cause) => failed(cause),
                CopyError::Writing(cause) => in_archive(cause),
            })
        };
        let [rows, chain] = &self.tables;
        let count = i64::try_from(copied(rows)?).unwrap_or(i64::MAX);
        copied(chain)?;
        let ends = rows.ends(&tx).map_err(&in_archive)?.unwrap_or((up_to, up_to));
        let name = self.paths.database.to_string_lossy();
        tx.execute(MARK, (ends.0, up_to, count, name, &self.now)).map_err(&in_archive)?;
        drop(database);
        tx.commit().map_err(&in_archive)?;
        self.copied_to = up_to;
        Ok(Some(Piece { up_to }))
    }

    /// Deletes rows that [`copy`](Self::copy) copied, and gives their number. Rows of which the archive does
    /// not have the same are an error.
    ///
    /// # Errors
    /// [`ArchiveError`]: nothing was deleted.
    pub fn delete(&mut self, Piece { up_to }: Piece) -> Result<u64, ArchiveError> {
        let failed = self.paths.in_database();
        let tx = self
            .database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let mut deleted = 0;
        for table in &self.tables {
            let Some((first, _)) = table.ends(&tx).map_err(&failed)? else { continue };
            let ids = (first.saturating_sub(1), up_to);
            if let Some(id) = table.difference(&tx, &self.archive, ids).map_err(&failed)? {
                return Err(ArchiveError::Differs { table: table.name(), id });
            }
            let count = table.delete(&tx, ids).map_err(&failed)?;
            if table.name() == self.tables[0].name() {
                deleted = count as u64;
            }
        }
        tx.commit().map_err(&failed)?;
        Ok(deleted)
    }

    /// For tests: limits the archive to this many pages, as a full disk would.
    #[doc(hidden)]
    pub fn limit_pages(&self, pages: u32) {
        let _ = self.archive.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
    }

    /// Closes the archive into one file and writes its checksum. `None` if the archive is empty.
    ///
    /// # Errors
    /// [`ArchiveError::InUse`], [`ArchiveError::Archive`]: all rows stay where they are.
    pub fn finish(self) -> Result<Option<Archived>, ArchiveError> {
        let Self { archive, paths, .. } = self;
        let failed = paths.in_archive();
        let sql = r#"SELECT "firstId", "lastId", "rows", lower(hex("head"))
            FROM "provider_log_archive""#;
        let found: Option<((i64, i64), u64, String)> = archive
            .query_row(sql, [], |row| {
                let rows: i64 = row.get(2)?;
                Ok(((row.get(0)?, row.get(1)?), rows.unsigned_abs(), row.get(3)?))
            })
            .optional()
            .map_err(&failed)?;
        // The same bytes whoever reads it, and no file next to it.
        let mode = archive
            .pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0));
        if mode.as_deref() != Ok("delete") {
            return Err(ArchiveError::InUse { path: paths.archive.clone() });
        }
        archive.close().map_err(|(_, cause)| failed(cause))?;
        let Some((ids, rows, head)) = found else { return Ok(None) };
        let sha256 = checksum::write(&paths.archive)
            .map_err(|cause| ArchiveError::archive(&paths.archive, cause))?;
        let checksum_file = checksum::path(&paths.archive);
        Ok(Some(Archived { ids, rows, head, sha256, checksum_file }))
    }
}

/// Creates the file, if there is none, so that the same users may read and write it as `original`.
fn create_like(path: &Path, original: &Path) -> io::Result<()> {
    let mode = original.metadata()?.mode() & 0o666;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The last id of the next piece, of which all or no rows are up to `copied_to`, and none is above `end`.
fn next_cut(conn: &Connection, end: i64, copied_to: i64) -> rusqlite::Result<Option<i64>> {
    let mut records = conn.prepare_cached(
        r#"SELECT "firstId", "lastId" FROM "log_chain" WHERE "lastId" <= ?1 ORDER BY "lastId""#,
    )?;
    let mut records = records.query([end])?;
    let (mut cut, mut rows) = (None, 0);
    while let Some(record) = records.next()? {
        let (first, last): (i64, i64) = (record.get(0)?, record.get(1)?);
        rows += last.abs_diff(first) + 1;
        let is_mixed = cut.is_some_and(|cut| cut <= copied_to) && last > copied_to;
        if cut.is_some() && (rows > PIECE || is_mixed) {
            break;
        }
        cut = Some(last);
    }
    Ok(cut)
}

/// What the archive would lose.
fn schema_matches(
    database: &Connection,
    archive: &Connection,
) -> rusqlite::Result<Option<Refusal>> {
    for of in [LogTable::rows, LogTable::chain] {
        let (ours, theirs) = (of(database)?, of(archive)?);
        if let Some(column) = ours.column_missing_in(&theirs) {
            let (table, column) = (ours.name(), column.to_owned());
            return Ok(Some(Refusal::Column { table, column }));
        }
    }
    Ok(None)
}
