//! The entries of one transaction: their log rows, what is derived from these, and valuations.

use rusqlite::{Connection, TransactionBehavior};

use super::valuations;
use crate::store::derived::{self, Piece};
use crate::store::engine::Written;
use crate::store::logs;
use crate::store::queue::Job;
use crate::store::sql::SqlError;

/// Stores all entries in one transaction, or none.
pub(super) fn write(conn: &mut Connection, jobs: &[Job]) -> Result<Written, SqlError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut written = Written { stored: Vec::with_capacity(jobs.len()), rows: 0, head: None };
    let mut insert_call = tx.prepare_cached(logs::INSERT)?;
    let mut insert_valuation = tx.prepare_cached(valuations::INSERT)?;
    let newest = derived::newest(&*tx)?;
    for Job { entry, .. } in jobs {
        for call in &entry.calls {
            written.rows += logs::insert(&mut insert_call, call)?;
        }
        written.stored.push(match &entry.valuation {
            None => Ok(None),
            Some(valuation) if valuations::insert(&mut insert_valuation, valuation)? => {
                written.rows += 1;
                Ok(Some(valuation.clone()))
            }
            Some(valuation) => valuations::find(&tx, &valuation.vrm)?,
        });
    }
    drop((insert_call, insert_valuation));
    written.head = derived::keep(&*tx, newest)?;
    tx.commit()?;
    Ok(written)
}

/// Adds rows to what is derived from them, in one transaction. After an error or a kill nothing of it is done.
pub(super) fn catch_up(conn: &mut Connection) -> Result<Piece, SqlError> {
    if !derived::is_behind(conn)? {
        return Ok(Piece { more: false, head: None });
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let piece = derived::catch_up(&*tx)?;
    tx.commit()?;
    Ok(piece)
}
