//! Noticing what other programs commit: an operator's DELETE, the older service, another server.
//!
//! `PRAGMA data_version` changes with the commits of all connections but the one that asks. The
//! writer's is the only connection of this process that commits, so there it changes only with the
//! commits of other programs. The writer asks between two transactions, so no request waits for it.
//! If another program commits all the time, each cached row is read again a few times a second.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How often it is asked. With the pause of an idle writer it stays below the second that is
/// promised.
const EVERY: Duration = Duration::from_millis(300);

/// What is known of other programs' commits.
#[derive(Debug, Default)]
pub(super) struct ForeignCommits {
    last: Option<(Instant, i64)>,
}

impl ForeignCommits {
    /// Whether another program may have committed since the last look; false while the last look is
    /// recent. The first look at a connection, and one that fails, can't rule it out.
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
