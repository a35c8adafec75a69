//! Inspects a database, wherever it is: nothing is created, locked for writing or changed.

use super::error::StoreError;
use super::location::Location;
use super::postgres;
use super::sqlite::look::{self, Found};

/// Checks whether [`Store::open`](super::Store::open) would accept the database, and reads all of a file for damage.
/// Blocks the thread.
///
/// A database of PostgreSQL must be one that can be written to, by a role that may create what is missing.
///
/// # Errors
/// [`StoreError::Open`] names the database, what is wrong and what to do.
pub fn look(place: impl Into<Location>) -> Result<Found, StoreError> {
    match place.into() {
        Location::File(path) => look::look(&path),
        Location::Server(address) => postgres::look::look(&address)
            .map_err(|problem| StoreError::Open { place: Location::Server(address), problem }),
    }
}
