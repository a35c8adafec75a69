//! What is derived from each row of `ProviderLogs` once, in the order of ids: its part of the
//! [rollups](super::rollup), and its link of the [hash chain](super::chain).
//!
//! Each of both has a mark: all rows up to an id are done, none above it. The writer does its own rows in
//! their transaction, unless rows before them are not done yet: those of a program without rollups, of an
//! operator's INSERT, or of a database from before. Then [`catch_up`] does all of them, in pieces. The marks
//! are independent, so that the rollups can be built again without a new chain.
//!
//! The rows are read back from the table: what is hashed is what is stored, whatever a trigger or a
//! column's type made of it.

use tokio::sync::oneshot;

use super::chain::{self, Unsealed};
use super::rollup::{self, Rollup};
use super::rows::{self, Rows, WholeRow};
use crate::domain::LogHead;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Sql, SqlError};

/// How many rows a piece of [`catch_up`] takes: no more than a commit of the server may have, so that none waits
/// for longer; and two of its records fit on a page of the file.
const PIECE: u32 = 240;

/// A piece of catching up, and the caller that waits: whether more is to be done.
#[derive(Debug)]
pub(in crate::store) struct CatchUp {
    pub(in crate::store) done: oneshot::Sender<Result<bool, StoreError>>,
}

/// The result of a piece.
pub(in crate::store) struct Piece {
    pub(in crate::store) more: bool,
    /// The new head of the chain, if rows were sealed.
    pub(in crate::store) head: Option<LogHead>,
}

/// How far the rollups and the hash chain are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerivedState {
    /// All rows up to this id are in both.
    pub done_to: i64,
    /// The highest id of `ProviderLogs`; 0 without rows.
    pub newest: i64,
}

/// Up to which ids the rows are done.
struct Marks {
    /// `None` if the rollups can't be used.
    counted_to: Option<i64>,
    end: Option<LogHead>,
}

impl Marks {
    fn read(sql: &dyn Sql) -> Result<Self, SqlError> {
        Ok(Self { counted_to: rollup::counted_to(sql)?, end: chain::end(sql)? })
    }

    fn sealed_to(&self) -> i64 {
        self.end.map_or(0, |end| end.last_id)
    }

    /// Whether records were removed from the chain's end. Rows are never counted before they are sealed: both
    /// marks begin with 0, and each transaction that moves the first moves the second as far.
    fn is_cut(&self) -> bool {
        self.counted_to.is_some_and(|counted_to| counted_to > self.sealed_to())
    }

    /// The id up to which all is done that will be: nothing is sealed after a cut, which would hide it.
    fn lowest(&self) -> i64 {
        match self.counted_to {
            None => self.sealed_to(),
            Some(counted_to) if self.is_cut() => counted_to,
            Some(counted_to) => counted_to.min(self.sealed_to()),
        }
    }
}

/// Derives from the rows that this transaction has written: those above `newest`, which was the highest id
/// before, as far as all rows before them are done. Gives the new head of the chain.
pub(in crate::store) fn keep(sql: &dyn Sql, newest: i64) -> Result<Option<LogHead>, SqlError> {
    let marks = Marks::read(sql)?;
    let follows = |mark: i64| newest <= mark;
    // An id below the mark is one that an operator's reset of the ids gave again: it is another call, but
    // the chain has that id already.
    let count_above = marks.counted_to.is_some_and(follows).then_some(newest);
    let sealed_to = marks.sealed_to();
    let seal_above = (follows(sealed_to) && !marks.is_cut()).then_some(sealed_to.max(newest));
    if count_above.is_none() && seal_above.is_none() {
        return Ok(None);
    }
    let rows = Rows::After { id: newest, limit: u32::MAX };
    let (_, head) = derive(sql, &marks, &rows, count_above, seal_above)?;
    Ok(head)
}

/// The statements of [`keep`] that write: they must fit the tables.
pub(in crate::store) const WRITES: [&str; 4] =
    [rollup::INSERT_HOUR, rollup::INSERT_DURATION, rollup::SET_MARK, chain::INSERT];

/// Whether [`catch_up`] has something to do. Most of the time it has not, and this needs no lock.
pub(in crate::store) fn is_behind(sql: &dyn Sql) -> Result<bool, SqlError> {
    let marks = Marks::read(sql)?;
    if let (Some(counted_to), true) = (marks.counted_to, marks.is_cut()) {
        tracing::error!(
            sealed_to = marks.sealed_to(),
            counted_to,
            "records were removed from the end of log_chain: no row is sealed until they are back. \
             `report --verify` names them; restore a backup"
        );
    }
    Ok(marks.lowest() < newest(sql)?)
}

/// Derives from the first rows that are not done, within a transaction of the caller.
pub(in crate::store) fn catch_up(sql: &dyn Sql) -> Result<Piece, SqlError> {
    let marks = Marks::read(sql)?;
    let rows = Rows::After { id: marks.lowest(), limit: PIECE };
    let seal_above = (!marks.is_cut()).then_some(marks.sealed_to());
    let (read, head) = derive(sql, &marks, &rows, marks.counted_to, seal_above)?;
    Ok(Piece { more: read >= u64::from(PIECE), head })
}

/// How far both are; `None` without a mark of the rollups.
pub(in crate::store) fn state(sql: &dyn Sql) -> Result<Option<DerivedState>, SqlError> {
    let (marks, newest) = (Marks::read(sql)?, newest(sql)?);
    let done_to = marks.lowest();
    Ok(marks.counted_to.map(|_| DerivedState { done_to, newest }))
}

/// The highest id of `ProviderLogs`; 0 without rows.
pub(in crate::store) fn newest(sql: &dyn Sql) -> Result<i64, SqlError> {
    let select = r#"SELECT coalesce(max("id"), 0) FROM "ProviderLogs""#;
    Ok(sql.first(select, &[], |row| row.integer(0))?.unwrap_or(0))
}

/// Counts and seals the rows above these ids, and gives the number of all, and the new head.
fn derive(
    sql: &dyn Sql,
    marks: &Marks,
    rows: &Rows<'_>,
    count_above: Option<i64>,
    seal_above: Option<i64>,
) -> Result<(u64, Option<LogHead>), SqlError> {
    let mut derivation = Derivation::default();
    let read = rows::each_whole(sql, rows, |row| {
        if count_above.is_some_and(|above| row.id > above) {
            derivation.count(row)?;
        }
        if seal_above.is_some_and(|above| row.id > above) {
            derivation.seal(row)?;
        }
        Ok(())
    })?;
    Ok((read, derivation.store(sql, marks.counted_to.unwrap_or(0), marks.end)?))
}

/// Derives from rows that are about to be stored, all of which follow the chain's end and are counted up to
/// there. Gives the new head of the chain. Their columns are in the order of a query for whole rows.
pub(in crate::store) fn follow<'a>(
    sql: &dyn Sql,
    end: LogHead,
    rows: impl Iterator<Item = &'a dyn Row>,
) -> Result<Option<LogHead>, SqlError> {
    let mut derivation = Derivation::default();
    for row in rows {
        let row = WholeRow::of(row)?;
        derivation.count(&row)?;
        derivation.seal(&row)?;
    }
    derivation.store(sql, end.last_id, Some(end))
}

/// What is derived from some rows, before it is stored.
#[derive(Default)]
struct Derivation {
    rollup: Rollup,
    unsealed: Unsealed,
    encoded: Vec<u8>,
}

impl Derivation {
    fn count(&mut self, row: &WholeRow<'_>) -> Result<(), SqlError> {
        self.rollup.add(&row.accounted()?);
        Ok(())
    }

    fn seal(&mut self, row: &WholeRow<'_>) -> Result<(), SqlError> {
        chain::encode(row.values(), &mut self.encoded)?;
        self.unsealed.add(row.id, chain::row_hash(&self.encoded));
        Ok(())
    }

    fn store(
        &self,
        sql: &dyn Sql,
        counted_to: i64,
        end: Option<LogHead>,
    ) -> Result<Option<LogHead>, SqlError> {
        self.rollup.store(sql, counted_to)?;
        self.unsealed.store(sql, end)
    }
}
