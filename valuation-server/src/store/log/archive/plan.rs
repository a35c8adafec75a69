//! Which rows of the log can be archived.

use crate::domain::log_seconds;
use crate::store::log::log_tables::LogTable;
use crate::store::log::{chain, rollup};
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

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

/// How many records of the chain are held in memory.
const RECORDS: i64 = 64;

/// Reads the rows from the oldest to the first that stays, in constant memory.
///
/// Rows are cut by id, after a whole record of the chain: a row with an old time that stands behind a newer
/// one stays. A row whose time can't be read is as old as its neighbours.
pub(super) fn plan(sql: &dyn Sql, before: i64) -> Result<ArchivePlan, SqlError> {
    let mut plan =
        ArchivePlan { rows: 0, ids: None, stop_reason: StopReason::Newest, is_done: false, cut: 0 };
    let Some(counted_to) = rollup::counted_to(sql)? else {
        return Ok(ArchivePlan { stop_reason: StopReason::NoMark, ..plan });
    };
    let newest = chain::last(sql)?;
    let (newest_first, newest_last) =
        newest.map_or((0, 0), |newest| (newest.first_id, newest.last_id));
    let recent = |row: &dyn Row| {
        let text = row.value(1)?.as_str().unwrap_or_default();
        let is_recent = log_seconds(text).is_some_and(|at| at >= before);
        let id = row.integer(0)?;
        Ok((id, is_recent.then(|| StopReason::Recent { id, requested_at: text.to_owned() })))
    };
    let records = r#"SELECT "lastId" FROM "log_chain"
        WHERE "lastId" >= $1 AND "lastId" <= $2 AND "lastId" < $3 ORDER BY "lastId" LIMIT $4"#;
    let rows = r#"SELECT "id", "requestedAt" FROM "ProviderLogs" WHERE "id" >= $1"#;

    let (mut seen, mut first, mut last) = (0, None, 0);
    let mut from = i64::MIN;
    loop {
        let values = [from, counted_to, newest_last, RECORDS].map(ValueRef::Integer);
        let ends = sql.all(records, &values, |row| row.integer(0))?;
        let Some(up_to) = ends.last().copied() else { break };
        let mut ends = ends.into_iter().peekable();
        let mut stop = None;
        let rows = format!(r#"{rows} AND "id" <= $2 ORDER BY "id""#);
        sql.each(&rows, &[from, up_to].map(ValueRef::Integer), &mut |row| {
            if stop.is_some() {
                return Ok(());
            }
            let (id, recent) = recent(row)?;
            while let Some(end) = ends.next_if(|end| id > *end) {
                plan.take(end, seen, first, last);
            }
            if recent.is_none() {
                (seen, last) = (seen + 1, id);
                first.get_or_insert(id);
            }
            stop = recent;
            Ok(())
        })?;
        if let Some(stop_reason) = stop {
            return Ok(ArchivePlan { stop_reason, ..plan });
        }
        for end in ends {
            plan.take(end, seen, first, last);
        }
        from = up_to.saturating_add(1);
    }
    let rows = format!(r#"{rows} ORDER BY "id" LIMIT 1"#);
    // There is none only if the rows of the newest record were deleted.
    if let Some((id, recent)) = sql.first(&rows, &[ValueRef::Integer(from)], recent)? {
        plan.stop_reason = recent.unwrap_or(match id {
            _ if id > counted_to => StopReason::Uncounted(id),
            _ if id > newest_last => StopReason::Unsealed(id),
            _ if id >= newest_first => StopReason::Newest,
            // In a record of which a part is counted.
            _ => StopReason::Uncounted(counted_to.saturating_add(1)),
        });
    }
    Ok(plan)
}

/// The lowest row, if it is below the first that the hash chain has. Rows are sealed from id 1 on, so that
/// none of a server is.
pub(super) fn outside_chain(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    let lowest = LogTable::ends(LogTable::ROWS, sql)?.map(|(lowest, _)| lowest);
    let first = chain::first(sql)?.map(|first| first.first_id);
    Ok(lowest.filter(|id| first.is_some_and(|first| *id < first)))
}

impl ArchivePlan {
    fn take(&mut self, cut: i64, rows: u64, first: Option<i64>, last: i64) {
        self.cut = cut;
        self.rows = rows;
        self.ids = first.map(|first| (first, last));
    }
}
