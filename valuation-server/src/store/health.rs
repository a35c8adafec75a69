//! Whether the writer can store.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::Cause;
use super::failure::Failure;

/// How often an unhealthy writer tries again.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_millis(300);

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
    pub(super) fn failed(&self, cause: &Cause, failure: Failure, database: &dyn Display) {
        let mut trouble = self.lock();
        if trouble.damage {
            return;
        }
        trouble.cause = Some(Arc::clone(cause));
        trouble.damage = failure == Failure::Damage;
        let was_unhealthy = self.unhealthy.swap(true, Ordering::Relaxed);
        let damage = trouble.damage;
        drop(trouble);
        if damage {
            tracing::error!(
                error = %cause, %database,
                "the database is damaged: PUTs of new vehicles get 503 and no provider is asked, \
                 stored ones are answered if their pages can be read. Stop the server, restore a \
                 backup without the files that end in -wal and -shm, and start it again"
            );
        } else if !was_unhealthy {
            tracing::error!(
                error = %cause, %database,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_over_when_a_write_succeeds_and_a_damaged_file_is_not() {
        let cause: Cause = Arc::new(std::io::Error::other("full"));
        let health = Health::default();
        health.failed(&cause, Failure::Unavailable, &"v.sqlite");
        assert!(!health.is_healthy() && !health.is_damaged());
        health.recovered();
        assert!(health.is_healthy() && health.trouble().is_none());

        let damage: Cause = Arc::new(std::io::Error::other("malformed"));
        health.failed(&damage, Failure::Damage, &"v.sqlite");
        health.recovered();
        health.failed(&cause, Failure::Unavailable, &"v.sqlite");
        assert!(!health.is_healthy() && health.is_damaged());
        assert_eq!(health.trouble().unwrap().to_string(), "malformed");
    }
}
