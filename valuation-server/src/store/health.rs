//! Whether the writer can store, and the write that finds out.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::error::{Cause, is_about_damage};
use super::{derived, logs, valuations};

/// How often an unhealthy writer tries again.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_millis(300);

/// How long a try waits for another program's lock. Together with the interval it is far below the
/// second within which the writer must recover.
pub(super) const PROBE_LOCK_WAIT: Duration = Duration::from_millis(100);

/// The bytes that a probe writes: more than most transactions, so that the next transaction finds room
/// if the probe did.
const PROBE_SIZE: u32 = 64 << 10;

/// Whether the writer can store. Set by the writer, and by a reader that finds a malformed page.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Written while `trouble` is locked.
    unhealthy: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    cause: Option<Cause>,
    /// Whether the file is damaged. A successful write does not repair it.
    damage: bool,
}

impl Health {
    pub(super) fn is_healthy(&self) -> bool {
        // Ordering: Relaxed. The flag publishes no other data; `trouble` has its own lock.
        !self.unhealthy.load(Ordering::Relaxed)
    }

    /// Whether the file is damaged. Then nothing is stored until the server is restarted.
    pub(super) fn is_damaged(&self) -> bool {
        self.lock().damage
    }

    /// The last failure of an unhealthy writer; `None` if it is healthy.
    pub(super) fn trouble(&self) -> Option<Cause> {
        if self.is_healthy() { None } else { self.lock().cause.clone() }
    }

    /// Records a failure. The first of a streak goes to the log.
    pub(super) fn failed(&self, cause: &Cause, database: &Path) {
        let mut trouble = self.lock();
        if trouble.damage {
            return;
        }
        trouble.cause = Some(Arc::clone(cause));
        trouble.damage = cause.downcast_ref().is_some_and(is_about_damage);
        let was_unhealthy = self.unhealthy.swap(true, Ordering::Relaxed);
        let damage = trouble.damage;
        drop(trouble);
        if damage {
            tracing::error!(
                error = %cause, database = %database.display(),
                "the database is damaged: PUTs of new vehicles get 503 and no provider is asked, \
                 stored ones are answered if their pages can be read. Stop the server, restore a \
                 backup without the files that end in -wal and -shm, and start it again"
            );
        } else if !was_unhealthy {
            tracing::error!(
                error = %cause, database = %database.display(),
                "the database cannot store: PUTs of new vehicles get 503 and no provider is \
                 asked, stored ones are answered. It is tried several times a second, and goes on by \
                 itself when the cause is gone"
            );
        }
    }

    /// Records that the writer has ended. This is not reported.
    pub(super) fn ended(&self, cause: Cause) {
        let mut trouble = self.lock();
        trouble.cause = Some(cause);
        self.unhealthy.store(true, Ordering::Relaxed);
    }

    /// Records that the writer can store, unless the file is damaged.
    pub(super) fn recovered(&self) {
        let mut trouble = self.lock();
        if trouble.damage {
            return;
        }
        trouble.cause = None;
        if self.unhealthy.swap(false, Ordering::Relaxed) {
            tracing::info!("the database can store again, and PUTs of new vehicles go on");
        }
    }

    // A panic can't interrupt an assignment, so poisoning is ignored.
    fn lock(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what the next transaction will need, and leaves room for it: grows the file by
/// [`PROBE_SIZE`], gives the pages to the free list, and checkpoints both into the file.
///
/// Inserting a row would prove less: right after the disk was full SQLite may let a small write
/// succeed, into pages that exist already.
pub(super) fn probe(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute(
        r#"INSERT OR REPLACE INTO "writer_probe" ("id", "filler") VALUES (1, zeroblob(?1))"#,
        [PROBE_SIZE],
    )?;
    // The INSERT statements must fit the tables. They are prepared after a statement that ran, since
    // only a running one notices a changed schema, and not from the cache, which keeps statements whose
    // table is gone.
    for write in [valuations::INSERT, logs::INSERT].into_iter().chain(derived::WRITES) {
        tx.prepare(write)?;
    }
    derived::state(&*tx)?;
    tx.commit()?;
    conn.execute(r#"UPDATE "writer_probe" SET "filler" = x''"#, [])?;
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> Cause {
        Arc::new(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
    }

    #[test]
    fn a_full_disk_is_over_when_a_write_succeeds_and_a_damaged_file_is_not() {
        let (health, path) = (Health::default(), Path::new("v.sqlite"));
        health.failed(&error(rusqlite::ffi::SQLITE_FULL), path);
        assert!(!health.is_healthy() && !health.is_damaged());
        health.recovered();
        assert!(health.is_healthy() && health.trouble().is_none());

        for code in [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB] {
            let health = Health::default();
            health.failed(&error(code), path);
            health.recovered();
            health.failed(&error(rusqlite::ffi::SQLITE_FULL), path);
            assert!(!health.is_healthy() && health.is_damaged());
            assert_eq!(health.trouble().unwrap().to_string(), error(code).to_string());
        }
    }
}
