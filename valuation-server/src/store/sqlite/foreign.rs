//! Detects commits of other programs: an operator's DELETE, the older service, another server.
//!
//! `PRAGMA data_version` changes with the commits of all connections but its own. The writer's is the
//! only connection of this process that commits, so that on it the number changes only with commits of
//! other programs. The writer reads it between two transactions, so that no request waits. If another
//! program commits all the time, each cached row is read again a few times a second.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How often it is read. Together with the pause of an idle writer it is below the promised second.
const EVERY: Duration = Duration::from_millis(300);

/// The last known state of other programs' commits.
#[derive(Debug, Default)]
pub(super) struct ForeignCommits {
    last: Option<(Instant, i64)>,
}

impl ForeignCommits {
    /// Whether another program may have committed since the last look; false while that is recent. True
    /// after the first look at a connection, and after one that fails.
    pub(super) fn any(&mut self, conn: &Connection) -> bool {
        let now = Instant::now();
        let known = match self.last {
            Some((at, _)) if now.saturating_duration_since(at) < EVERY => return false,
            last => last.map(|(_, version)| version),
        };
        let version = conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut ask| ask.query_row([], |row| row.get(0)));
        self.last = version.as_ref().ok().map(|version| (now, *version));
        known.is_none() || known != version.ok()
    }
}
