//! Verifies the hash chain over `ProviderLogs`: in a database, and in the archives that its rows were moved to.
//!
//! Files are read in the order of their ids, each in one pass over its records and one over its rows, in
//! constant memory.

mod file;
mod findings;
mod witnesses;

use std::fmt;
use std::path::PathBuf;

use super::audit_file::{AuditFile, FileSnapshot};
use super::error::StoreError;
use super::log_tables::LogTable;
use super::schema;
use crate::domain::LogHead;
use file::Walk;
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
        let sealed = self.rows - self.unsealed;
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
            0 => writeln!(f),
            1 => writeln!(f, "; 1 row at the end is not sealed yet"),
            rows => writeln!(f, "; {rows} rows at the end are not sealed yet"),
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
pub fn verify(
    files: &[PathBuf],
    witnesses: &[LogHead],
    mut progress: impl FnMut(u64, u64),
) -> Result<Verified, StoreError> {
    let mut logs =
        files.iter().map(|file| AuditFile::open(file)).collect::<Result<Vec<_>, StoreError>>()?;
    // All of them before the first is read: the rows are of one moment.
    let mut snapshots =
        logs.iter_mut().map(AuditFile::snapshot).collect::<Result<Vec<_>, StoreError>>()?;
    let (mut walk, mut all) = (Walk::new(Witnesses::new(witnesses)), 0);
    let mut parts = Vec::new();
    for snapshot in snapshots.drain(..) {
        let (chained, first, rows) = look(&snapshot).map_err(StoreError::unavailable)?;
        if chained {
            all += rows;
            parts.push((first.unwrap_or(i64::MAX), snapshot));
        } else {
            walk.findings.add(snapshot.path, Problem::NoChain);
        }
    }
    parts.sort_by_key(|(first, _)| *first);
    let last = parts.len().saturating_sub(1);
    for (at, (_, snapshot)) in parts.iter().enumerate() {
        walk.file(snapshot.path, &snapshot.tx, at == last, &mut |rows| progress(rows, all))
            .map_err(StoreError::unavailable)?;
    }
    Ok(walk.end(files))
}

/// Whether the file has a chain, the first id of it, and about how many rows there are: as many as ids, since
/// counting the rows would read all of them.
fn look(file: &FileSnapshot<'_>) -> rusqlite::Result<(bool, Option<i64>, u64)> {
    if !schema::has_table(&file.tx, "log_chain")? {
        return Ok((false, None, 0));
    }
    let first = LogTable::chain(&file.tx)?.ends(&file.tx)?.map(|(first, _)| first);
    let rows = file.ends.map_or(0, |(low, high)| high.abs_diff(low).saturating_add(1));
    Ok((true, first, rows))
}
