//! Checkpoints: copying the write-ahead log into the file, and keeping it bounded.
//!
//! SQLite would checkpoint inside a commit. Here the writer does it after its answers, so that none
//! waits. A passive checkpoint does not wait for readers, but the log can't start again while any of
//! them uses it, and grows. So a log above its limit gets a truncating checkpoint, which waits for the
//! readers for a short time.

use std::time::Duration;

use rusqlite::Connection;

/// How many pages make a checkpoint due: SQLite's default.
const CHECKPOINT_PAGES: u64 = 1_000;

/// How long a truncating checkpoint waits for readers. A long read (a report) must not delay commits.
const TRUNCATE_WAIT: Duration = Duration::from_millis(50);

/// Checkpoints the log when it is due.
#[derive(Debug)]
pub(super) struct WalKeeper {
    limit: u64,
    lock_wait: Duration,
    /// The length, in pages, at which truncating is tried next. Above the limit it rises with each failed
    /// try.
    truncate_at: Option<u64>,
    unsettled: bool,
}

/// The log's length in pages, and how many of them are in the file.
struct Length {
    pages: u64,
    carried: u64,
}

impl WalKeeper {
    pub(super) fn new(limit: u64, lock_wait: Duration) -> Self {
        Self { limit, lock_wait, truncate_at: None, unsettled: false }
    }

    /// Whether there was a commit since the log was last emptied.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Call it after each commit and its answers.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        self.unsettled = true;
        if let Err(error) = self.keep_bounded(conn) {
            // Nothing is lost: the log has everything. If it can't grow, the next commit fails.
            tracing::warn!(%error, "the database's write-ahead log cannot be carried into the file");
        }
    }

    /// Empties the log. Call it when nothing waits.
    pub(super) fn settle(&mut self, conn: &Connection) {
        self.unsettled = false;
        if let Err(error) = self.truncate(conn) {
            tracing::warn!(%error, "the database's write-ahead log cannot be emptied");
        }
    }

    fn keep_bounded(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let length = run(conn, "PRAGMA wal_checkpoint(NOOP)")?;
        if length.pages < length.carried + CHECKPOINT_PAGES {
            return Ok(());
        }
        let length = run(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
        let limit = self.limit / page_in_log(conn)?;
        if length.pages < self.truncate_at.unwrap_or(limit) {
            return Ok(());
        }
        let left = self.truncate(conn)?;
        self.truncate_at = (left.pages >= limit).then(|| left.pages + CHECKPOINT_PAGES);
        if self.truncate_at.is_some() {
            tracing::warn!(pages = left.pages, "a long read keeps the write-ahead log growing");
        }
        Ok(())
    }

    fn truncate(&self, conn: &Connection) -> rusqlite::Result<Length> {
        conn.busy_timeout(TRUNCATE_WAIT)?;
        let left = run(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
        conn.busy_timeout(self.lock_wait)?;
        left
    }
}

fn run(conn: &Connection, checkpoint: &str) -> rusqlite::Result<Length> {
    conn.prepare_cached(checkpoint)?.query_row([], |row| {
        // Both are -1 if there is no log.
        let count = |index| row.get::<_, i64>(index).map(|pages| u64::try_from(pages).unwrap_or(0));
        Ok(Length { pages: count(1)?, carried: count(2)? })
    })
}

/// The bytes of a page in the log: its content and the frame's header.
fn page_in_log(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached("PRAGMA page_size")?
        .query_row([], |row| row.get::<_, u32>(0))
        .map(|size| u64::from(size) + 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_truncation_commits_wait_for_a_lock_as_long_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let conn = Connection::open(folder.path().join("v.sqlite")).unwrap();
        conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let lock_wait = Duration::from_secs(7);
        conn.busy_timeout(lock_wait).unwrap();
        let mut wal = WalKeeper::new(1, lock_wait);
        let waits = || conn.pragma_query_value(None, "busy_timeout", |row| row.get::<_, i64>(0));
        wal.settle(&conn);
        assert_eq!(waits(), Ok(7_000));
        wal.after_commit(&conn);
        assert_eq!(waits(), Ok(7_000));
        // One that is held up by a reader as well.
        let reader = Connection::open(folder.path().join("v.sqlite")).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        conn.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        wal.settle(&conn);
        assert_eq!(waits(), Ok(7_000));
    }
}
