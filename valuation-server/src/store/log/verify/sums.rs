//! Compares the rollups with the rows that they are of. A chain without a finding binds the rows; this binds
//! the sums to them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{BuildHasher, RandomState};

use super::findings::{Findings, Problem};
use crate::domain::AccountedCall;
use crate::store::location::Location;
use crate::store::log::rollup::{self, Cell, CellKey, Rollup};
use crate::store::sql::{Row, Sql, SqlError};

/// So many rows are summed before they are added to the others.
const PIECE: u64 = 4_096;

/// The sums of the rows that the rollups of a file should have. In memory there is a cell per row of
/// `call_hours`, and a hash per interval and provider of `call_durations`.
pub(super) struct Sums {
    /// The lowest id in the rollups: those that were built again have no rows that were archived before.
    first_id: i64,
    /// The mark of the rollups.
    counted_to: i64,
    piece: Rollup,
    in_piece: u64,
    cells: BTreeMap<CellKey, Cell>,
    durations: Durations,
}

/// By interval, start and provider the sum of a hash of each call's bucket.
#[derive(Default)]
struct Durations {
    sums: BTreeMap<(i64, i64, String), u64>,
    /// With keys of this process, so that nobody can prepare other durations of the same sum.
    hash: RandomState,
}

impl Durations {
    fn add(&mut self, key: (i64, i64, String), bucket: i64, calls: u64) {
        let sum = self.sums.entry(key).or_default();
        *sum = sum.wrapping_add(self.hash.hash_one(bucket).wrapping_mul(calls));
    }
}

impl Sums {
    /// For the rollups of this file; `None` without a mark, since then no report uses them.
    pub(super) fn of(sql: &dyn Sql) -> Result<Option<Self>, SqlError> {
        let Some(counted_to) = rollup::counted_to(sql)? else { return Ok(None) };
        Ok(Some(Self {
            first_id: rollup::first_id(sql)?.unwrap_or(i64::MIN),
            counted_to,
            piece: Rollup::default(),
            in_piece: 0,
            cells: BTreeMap::new(),
            durations: Durations::default(),
        }))
    }

    pub(super) fn counted_to(&self) -> i64 {
        self.counted_to
    }

    pub(super) fn add(&mut self, call: &AccountedCall<'_>) {
        if self.first_id <= call.id && call.id <= self.counted_to {
            self.piece.add(call);
            self.in_piece += 1;
            if self.in_piece == PIECE {
                self.end_piece();
            }
        }
    }

    fn end_piece(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        self.in_piece = 0;
        for (key, cell) in piece.cells {
            match self.cells.entry(key) {
                Entry::Vacant(entry) => _ = entry.insert(cell),
                Entry::Occupied(mut entry) => entry.get_mut().merge(&cell),
            }
        }
        for ((span, at, provider, bucket), calls) in piece.durations {
            self.durations.add((span, at, provider), i64::from(bucket), calls);
        }
    }

    /// After the last row: adds what differs in the file.
    pub(super) fn compare(
        mut self,
        file: &Location,
        sql: &dyn Sql,
        findings: &mut Findings,
    ) -> Result<(), SqlError> {
        self.end_piece();
        let mut hours = Vec::new();
        let select = r#"SELECT "hour", "providerName", "errorCode", "outcome", "rescue", "calls", "sumMs",
            "maxMs", "minutes", "firstId", "lastId" FROM "call_hours""#;
        sql.each(select, &[], &mut |row| {
            let outcome = text(row, 3)?;
            let key = CellKey {
                hour: integer(row, 0)?,
                provider: text(row, 1)?,
                error_code: text(row, 2)?,
                outcome: crate::domain::row_outcome(Some(&outcome), None, None).as_str(),
                rescue: integer(row, 4)? == 1,
            };
            let is_same = key.outcome == outcome
                && self.cells.remove(&key).is_some_and(|cell| {
                    let numbers = (5..11).map(|column| integer(row, column).ok());
                    cell.numbers().into_iter().map(Some).eq(numbers)
                });
            if !is_same {
                hours.push(key.hour);
            }
            Ok(())
        })?;
        hours.extend(self.cells.into_keys().map(|key| key.hour));
        hours.sort_unstable();
        hours.dedup();
        for hour in hours {
            findings.add(file, Problem::Sums(hour));
        }
        self.durations.compare(file, sql, findings)
    }
}

impl Durations {
    fn compare(
        self,
        file: &Location,
        sql: &dyn Sql,
        findings: &mut Findings,
    ) -> Result<(), SqlError> {
        let mut found = Self { sums: BTreeMap::new(), hash: self.hash };
        let select =
            r#"SELECT "span", "at", "providerName", "bucket", "calls" FROM "call_durations""#;
        sql.each(select, &[], &mut |row| {
            let key = (integer(row, 0)?, integer(row, 1)?, text(row, 2)?);
            found.add(key, integer(row, 3)?, integer(row, 4)?.cast_unsigned());
            Ok(())
        })?;
        let of_one = |one: &BTreeMap<_, _>, other: &BTreeMap<_, _>| {
            let differs = one.iter().filter(|(key, sum)| other.get(*key) != Some(*sum));
            differs.map(|((span, at, _), _)| (*span, *at)).collect::<Vec<_>>()
        };
        let mut differ = of_one(&self.sums, &found.sums);
        differ.extend(of_one(&found.sums, &self.sums));
        differ.sort_unstable();
        differ.dedup();
        for (span, at) in differ {
            findings.add(file, Problem::Durations(span, at));
        }
        Ok(())
    }
}

/// Another kind of value is none of the server's, and equals none.
fn integer(row: &dyn Row, column: usize) -> Result<i64, SqlError> {
    Ok(row.value(column)?.as_i64().unwrap_or(i64::MIN))
}

fn text(row: &dyn Row, column: usize) -> Result<String, SqlError> {
    Ok(row.value(column)?.as_str().unwrap_or("\u{fffd}").to_owned())
}
