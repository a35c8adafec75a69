//! Which rows of the log can be archived.

use rusqlite::Connection;

use crate::domain::log_seconds;
use crate::store::log::log_tables::LogTable;
use crate::store::log::{chain, rollup};

/// What would be moved, and why no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePlan {
    /// How many rows.
    pub rows: u64,
    /// The lowest and the highest id of them.
    pub ids: Option<(i64, i64)>,
    /// Why the row after them stays.
    pub stop_reason: StopReason,
    /// Nothing is left to do: there are no such rows, and an archive has its checksum.
    pub is_done: bool,
    /// The last record of the chain that is moved, by its id.
    pub(super) cut: i64,
}

/// Why rows stay in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// From here on they are not old enough: the first row at or after the date.
    Recent {
        /// Its id.
        id: i64,
        /// Its time.
        requested_at: String,
    },
    /// All are old enough; those of the newest record of the chain stay, since the chain goes on from it.
    Newest,
    /// From this id on they are not in the rollups yet.
    Uncounted(i64),
    /// From this id on the hash chain does not cover them yet.
    Unsealed(i64),
    /// The rollups have no mark, so nothing says which rows they have.
    NoMark,
}

/// Reads the rows from the oldest to the first that stays, in constant memory.
///
/// Rows are cut by id, after a whole record of the chain: a row with an old time that stands behind a newer
/// one stays. A row whose time can't be read is as old as its neighbours.
pub(super) fn plan(conn: &Connection, before: i64) -> rusqlite::Result<ArchivePlan> {
    // One state for all reads.
    let conn = conn.unchecked_transaction()?;
    let mut plan =
        ArchivePlan { rows: 0, ids: None, stop_reason: StopReason::Newest, is_done: false, cut: 0 };
    let Some(counted_to) = rollup::counted_to(&conn)? else {
        return Ok(ArchivePlan { stop_reason: StopReason::NoMark, ..plan });
    };
    let newest = chain::last(&conn)?;
    let (newest_first, newest_last) =
        newest.map_or((0, 0), |newest| (newest.first_id, newest.last_id));
    let mut records = conn.prepare(
        r#"SELECT "lastId" FROM "log_chain" WHERE "lastId" <= ?1 AND "lastId" < ?2 ORDER BY "lastId""#,
    )?;
    let mut records = records.query_map((counted_to, newest_last), |row| row.get::<_, i64>(0))?;
    let mut rows =
        conn.prepare(r#"SELECT "id", "requestedAt" FROM "ProviderLogs" ORDER BY "id""#)?;
    let mut rows = rows.query([])?;

    let mut record = records.next().transpose()?;
    let (mut seen, mut first, mut last) = (0, None, 0);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        while let Some(end) = record.filter(|end| id > *end) {
            plan.take(end, seen, first, last);
            record = records.next().transpose()?;
        }
        let text = row.get_ref(1)?.as_str().unwrap_or_default();
        if log_seconds(text).is_some_and(|at| at >= before) {
            plan.stop_reason = StopReason::Recent { id, requested_at: text.to_owned() };
            return Ok(plan);
        }
        if record.is_none() {
            plan.stop_reason = match id {
                _ if id > counted_to => StopReason::Uncounted(id),
                _ if id > newest_last => StopReason::Unsealed(id),
                _ if id >= newest_first => StopReason::Newest,
                // In a record of which a part is counted.
                _ => StopReason::Uncounted(counted_to.saturating_add(1)),
            };
            return Ok(plan);
        }
        (seen, last) = (seen + 1, id);
        first.get_or_insert(id);
    }
    // Only if the rows of the newest record were deleted.
    while let Some(end) = record {
        plan.take(end, seen, first, last);
        record = records.next().transpose()?;
    }
    Ok(plan)
}

/// The lowest row, if it is below the first that the hash chain has. Rows are sealed from id 1 on, so that
/// none of a server is.
pub(super) fn outside_chain(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let conn = conn.unchecked_transaction()?;
    let lowest = LogTable::rows(&conn)?.ends(&conn)?.map(|(lowest, _)| lowest);
    let first = chain::first(&conn)?.map(|first| first.first_id);
    Ok(lowest.filter(|id| first.is_some_and(|first| *id < first)))
}

impl ArchivePlan {
    fn take(&mut self, cut: i64, rows: u64, first: Option<i64>, last: i64) {
        self.cut = cut;
        self.rows = rows;
        self.ids = first.map(|first| (first, last));
    }
}
