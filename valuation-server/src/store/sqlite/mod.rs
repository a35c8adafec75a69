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

pub(super) use readers::Readers;
pub(super) use sqlite_engine::SqliteEngine;
