//! SQLite: a file, its connections, and what is said to SQLite alone.
//!
//! Reads run on the caller's thread, with a connection of its own. Writes go through one connection, the
//! writer's: SQLite allows one writer at a time, and many that wait for its lock stall each other for
//! seconds.

mod backup;
mod batch;
mod checkpoint;
mod damage;
mod disk;
mod foreign;
mod identity;
mod lock_pause;
pub(super) mod look;
pub(super) mod open;
mod probe;
mod readers;
pub(super) mod schema;
mod sqlite_engine;
pub(super) mod valuations;

pub use backup::{BackedUp, BackupError, backup};
pub use lock_pause::pause_after;

use std::sync::Arc;

use super::StoreConfig;
use super::config::SqliteConfig;
use super::error::StoreError;
use super::stats::Shared;
use sqlite_engine::SqliteEngine;

pub(super) use readers::Readers;

/// Opens a file for the writer and the readers, and creates or migrates it. The path must be absolute.
///
/// # Errors
/// [`StoreError::Open`] names the file, what is wrong and what to do.
pub(super) fn connect(
    file: &SqliteConfig,
    config: &StoreConfig,
    shared: &Arc<Shared>,
) -> Result<(SqliteEngine, Readers), StoreError> {
    let failed = |problem| StoreError::Open { place: file.path.clone().into(), problem };
    let engine = SqliteEngine::open(file, config).map_err(failed)?;
    let readers = Readers::open(file, config.read_wait, engine.opened(), Arc::clone(shared));
    Ok((engine, readers.map_err(failed)?))
}
