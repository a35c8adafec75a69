//! Moves a database into another one, from SQLite to PostgreSQL or back, next to a server that uses the first.
//!
//! ```text
//! pieces   the log, piece by piece: records of the hash chain, with their rows
//! sync     the valuations, piece by piece
//! last     from one state of the source: the rest of the log, and of all other tables what differs
//! proof    both are read from end to end, the source in the same state: counts and checksums
//! ```
//!
//! Each piece is one transaction of the target, which so has a beginning of the log at any time, with its chain.
//! What is done stays done; the next run goes on from the last record that the target has. Until the proof the
//! target has a [mark](super::migration_mark) by which no server opens it.
//!
//! Memory is that of a piece, whatever the number of rows.

mod error;
mod log_piece;
mod proof;
mod side;
mod sync;
mod tables;
mod work;

pub use error::MigrateError;
pub use proof::MovedTable;
pub use work::{Moved, Moving, migrate};
