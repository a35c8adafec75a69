//! Counts and checksums of both databases.

use std::fmt;

use rusqlite::types::Value;

use super::error::MigrateError;
use super::side::Side;
use super::tables::{Table, View};
use crate::store::chain::{self, Hash};
use crate::store::sql::{SqlError, ValueRef};

/// After how many rows the progress is reported.
const STEP: u64 = 4_096;

/// A table that was moved, as both databases have it.
#[derive(Clone, Debug)]
pub struct MovedTable {
    /// Its name.
    pub name: &'static str,
    source: Digest,
    target: Digest,
}

/// The rows of a table, in the order of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest {
    rows: u64,
    /// BLAKE3 of the rows as the hash chain encodes them, with amounts as decimals.
    hash: Hash,
}

impl MovedTable {
    /// Reads both. `step` is called with the number of rows that were read since its last call.
    pub(super) fn read(
        table: &Table,
        view: &View,
        (from, to): (&Side, &Side),
        step: &mut dyn FnMut(u64) -> Result<(), MigrateError>,
    ) -> Result<Self, MigrateError> {
        let source = digest(table, view, from, step)?;
        let target = digest(table, &View::Plain, to, step)?;
        Ok(Self { name: table.name, source, target })
    }

    /// Whether both have the same rows.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.source == self.target
    }

    /// The rows of the source, and those of the target.
    #[must_use]
    pub fn rows(&self) -> [u64; 2] {
        [self.source.rows, self.target.rows]
    }

    /// The checksum at the source, and that at the target.
    #[must_use]
    pub fn checksums(&self) -> [String; 2] {
        [&self.source, &self.target].map(ToString::to_string)
    }
}

/// The checksum as hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        blake3::Hash::from_bytes(self.hash).to_hex().fmt(f)
    }
}

fn digest(
    table: &Table,
    view: &View,
    side: &Side,
    step: &mut dyn FnMut(u64) -> Result<(), MigrateError>,
) -> Result<Digest, MigrateError> {
    let (mut hasher, mut rows, mut encoded) = (blake3::Hasher::new(), 0, Vec::new());
    let mut stopped = None;
    let read = side.sql().each(&table.select(view, side.casts_money()), &[], &mut |row| {
        let values = table.read(row)?;
        let values = values.iter().map(|value: &Value| Ok(ValueRef::from(value)));
        chain::encode(values, &mut encoded)?;
        hasher.update(&encoded);
        rows += 1;
        if rows % STEP == 0
            && let Err(error) = step(STEP)
        {
            stopped = Some(error);
            return Err(SqlError::from(rusqlite::Error::QueryReturnedNoRows));
        }
        Ok(())
    });
    if let Some(error) = stopped {
        return Err(error);
    }
    read.map_err(MigrateError::reading(&side.place))?;
    step(rows % STEP)?;
    Ok(Digest { rows, hash: *hasher.finalize().as_bytes() })
}
