//! Verifies the hash chain over `ProviderLogs`: in a database, and in the archives that its rows were moved to.
//!
//! Files are read in the order of their ids, each in one pass over its records and one over its rows. The memory
//! depends on the number of hours with calls, for the comparison with the rollups, and not on that of rows.

mod file;
mod findings;
mod sums;
mod witnesses;

use std::fmt;

use super::log_tables::LogTable;
use super::source::{LogSnapshot, LogSource};
use crate::domain::LogHead;
use crate::store::error::StoreError;
use crate::store::location::Location;
use crate::store::sql::SqlError;
use file::Walk;
use sums::Sums;
use witnesses::Witnesses;

pub use findings::{Finding, Problem};

/// What was verified, and what was found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The first of the findings, at most [`Self::MOST`].
    pub findings: Vec<Finding>,
    /// How many there are.
    pub count: u64,
    /// How many rows were read.
    pub rows: u64,
    /// The lowest and the highest id of a sealed row, if there is one.
    pub ids: Option<(i64, i64)>,
    /// The end of the chain.
    pub head: Option<LogHead>,
    /// How many rows at the end are not sealed yet, so that nothing is known of them.
    pub unsealed: u64,
    /// How many rows are in two files, with the same record: archiving was interrupted. They count in `rows`.
    pub repeated: u64,
}

impl Verified {
    /// How many findings are kept.
    pub const MOST: usize = 100;
}

/// A line per finding, and one about all.
impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let shown = self.findings.len() as u64;
        if self.count > shown {
            writeln!(f, "… and {} more findings", self.count - shown)?;
        }
        let sealed = self.rows - self.unsealed - self.repeated;
        match (self.count, self.ids, self.head) {
            (0, Some((first, last)), Some(head)) => write!(
                f,
                "verified: {sealed} rows, ids {first} to {last}, are as they were sealed; the head is {head}"
            ),
            (0, ..) => f.write_str("verified: no row is sealed yet"),
            (1, ..) => write!(f, "not as it was sealed: 1 finding in {sealed} rows"),
            (count, ..) => write!(f, "not as it was sealed: {count} findings in {sealed} rows"),
        }?;
        match self.unsealed {
            0 => {}
            1 => f.write_str("; 1 row at the end is not sealed yet")?,
            rows => write!(f, "; {rows} rows at the end are not sealed yet")?,
        }
        match self.repeated {
            0 => writeln!(f),
            1 => writeln!(f, "; 1 row is in two files"),
            rows => writeln!(f, "; {rows} rows are in two files"),
        }
    }
}

/// Verifies the log in these files: the database, and archives of its rows, in any order. Each of the
/// witnesses must be a head of the chain. `progress` is called now and then with the number of rows so far,
/// and that of all, which is an upper bound.
///
/// # Errors
/// [`StoreError::Open`] names a file that can't be opened, and [`StoreError::Unavailable`] if one can't be
/// read. What is wrong with the log is no error, but a finding.
pub fn verify<P: Into<Location>>(
    places: impl IntoIterator<Item = P>,
    witnesses: &[LogHead],
    mut progress: impl FnMut(u64, u64),
) -> Result<Verified, StoreError> {
    let mut logs = LogSource::open_all(places)?;
    let last = logs.last().map(|log| log.place.clone());
    // All of them before the first is read: the rows are of one moment.
    let mut snapshots = logs.iter_mut().map(LogSource::snapshot).collect::<Result<Vec<_>, _>>()?;
    let (mut walk, mut all) = (Walk::new(Witnesses::new(witnesses)), 0);
    let mut parts = Vec::new();
    for snapshot in snapshots.drain(..) {
        let Some(ends) = chain_ends(&snapshot)? else {
            walk.findings.add(snapshot.place, Problem::NoChain);
            continue;
        };
        // About as many rows as ids, since counting the rows would read all of them.
        all += snapshot.ends.map_or(0, |(low, high)| high.abs_diff(low).saturating_add(1));
        parts.push((ends, snapshot));
    }
    // Of two that begin alike the shorter one is of an interrupted command.
    parts.sort_by_key(|(ends, _)| *ends);
    let mut summed = None;
    for (_, snapshot) in &parts {
        // Those of an archive are empty.
        if let Some(sums) = Sums::of(snapshot.sql())?
            && walk.sums.as_ref().is_none_or(|best| sums.counted_to() >= best.counted_to())
        {
            (summed, walk.sums) = (Some(snapshot), Some(sums));
        }
    }
    for (at, (_, snapshot)) in parts.iter().enumerate() {
        let next = parts.get(at + 1).map(|((first, _), _)| *first);
        walk.file(snapshot, next, &mut |rows| progress(rows, all))?;
    }
    // Rows of which something is wrong have other sums, and a chain with findings does not bind them.
    if walk.findings.is_empty()
        && let Some((file, sums)) = summed.zip(walk.sums.take())
    {
        sums.compare(file.place, file.sql(), &mut walk.findings)?;
    }
    Ok(walk.end(last.as_ref()))
}

/// The last ids of the first and the last record; above all others without records, `None` without a chain.
fn chain_ends(log: &LogSnapshot<'_>) -> Result<Option<(i64, i64)>, SqlError> {
    if !log.has_table("log_chain")? {
        return Ok(None);
    }
    let ends = LogTable::ends(LogTable::CHAIN, log.sql())?;
    Ok(Some(ends.unwrap_or((i64::MAX, i64::MAX))))
}
