//! The write that finds out whether the writer can store.

use rusqlite::{Connection, TransactionBehavior};

use super::valuations;
use crate::store::sql::SqlError;
use crate::store::{derived, logs};

/// The bytes that a probe writes: more than most transactions, so that the next transaction finds room
/// if the probe did.
const PROBE_SIZE: u32 = 64 << 10;

/// Does what the next transaction will need, and leaves room for it: grows the file by
/// [`PROBE_SIZE`], gives the pages to the free list, and checkpoints both into the file.
///
/// Inserting a row would prove less: right after the disk was full SQLite may let a small write
/// succeed, into pages that exist already.
pub(super) fn probe(conn: &mut Connection) -> Result<(), SqlError> {
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
    Ok(conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}
