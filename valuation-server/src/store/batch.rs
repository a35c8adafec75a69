//! The entries of one transaction: their log rows, valuations and rollups.

use rusqlite::{Connection, TransactionBehavior};

use super::queue::Job;
use super::rollup::Rollup;
use super::valuations::StoredValuation;
use super::{logs, valuations};

/// The result of a transaction.
pub(super) struct Written {
    /// For each of its entries, in order, the stored valuation.
    pub(super) stored: Vec<StoredValuation>,
    /// The rows it wrote, but for those of the rollups.
    pub(super) rows: u64,
}

/// Stores all entries in one transaction, or none.
pub(super) fn write(conn: &mut Connection, jobs: &[Job]) -> rusqlite::Result<Written> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut written = Written { stored: Vec::with_capacity(jobs.len()), rows: 0 };
    let mut insert_call = tx.prepare_cached(logs::INSERT)?;
    let mut insert_valuation = tx.prepare_cached(valuations::INSERT)?;
    let (mut rollup, mut first_id) = (Rollup::default(), None);
    for Job { entry, .. } in jobs {
        for call in &entry.calls {
            logs::insert(&mut insert_call, call)?;
            let id = tx.last_insert_rowid();
            first_id.get_or_insert(id);
            rollup.add_stored(id, call);
            written.rows += 1;
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
    if let Some(first_id) = first_id {
        rollup.keep(&tx, first_id)?;
    }
    tx.commit()?;
    Ok(written)
}
