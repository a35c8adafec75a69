//! Makes a table of the target as that of the source: both are read in the order of their keys, and what differs is
//! written.

use std::cmp::Ordering;

use rusqlite::types::Value;

use super::error::MigrateError;
use super::side::Side;
use super::tables::{Table, Values, View};
use crate::store::sql::ValueRef;

/// How many rows of each are read at once.
const PAGE: usize = 2_000;

/// What differs in a range of keys.
pub(super) struct Differences {
    /// The last key of the range; `None` if it goes to the end.
    pub(super) end: Option<Values>,
    /// How many rows the source has in it.
    pub(super) rows: u64,
    missing: Vec<Values>,
    surplus: Vec<Values>,
}

impl Differences {
    /// Compares the rows after a key, or from the first.
    pub(super) fn find(
        table: &Table,
        view: &View,
        (from, to): (&Side, &Side),
        after: Option<&[Value]>,
    ) -> Result<Self, MigrateError> {
        let wanted = page(table, view, from, after)?;
        let found = page(table, &View::Plain, to, after)?;
        // Of a full page it is not known what comes after it.
        let last = |page: &[Values]| {
            let last = (page.len() == PAGE).then(|| page.last()).flatten();
            last.map(|row| table.key_of(row).to_vec())
        };
        let end = match (last(&wanted), last(&found)) {
            (Some(one), Some(other)) => {
                Some(if order(&one, &other) == Ordering::Greater { other } else { one })
            }
            (one, other) => one.or(other),
        };
        let within = |row: &Values| {
            end.as_ref().is_none_or(|end| order(table.key_of(row), end) != Ordering::Greater)
        };
        let mut differences = Self { end: None, rows: 0, missing: Vec::new(), surplus: Vec::new() };
        let mut found = found.into_iter().filter(within).peekable();
        for row in wanted.into_iter().filter(within) {
            differences.rows += 1;
            let key = table.key_of(&row);
            while let Some(other) =
                found.next_if(|other| order(table.key_of(other), key) == Ordering::Less)
            {
                differences.surplus.push(table.key_of(&other).to_vec());
            }
            let same = found.next_if(|other| order(table.key_of(other), key) == Ordering::Equal);
            if same.is_none_or(|other| other != row) {
                differences.missing.push(row);
            }
        }
        differences.surplus.extend(found.map(|row| table.key_of(&row).to_vec()));
        differences.end = end;
        Ok(differences)
    }

    /// Whether there is something to write.
    pub(super) fn any(&self) -> bool {
        !self.missing.is_empty() || !self.surplus.is_empty()
    }

    /// Writes them, within a transaction of the caller.
    pub(super) fn write(&self, table: &Table, to: &Side) -> Result<(), MigrateError> {
        let delete = table.delete();
        for key in &self.surplus {
            to.execute(&delete, key)?;
        }
        to.insert(&table.upsert(), &self.missing)
    }
}

fn page(
    table: &Table,
    view: &View,
    side: &Side,
    after: Option<&[Value]>,
) -> Result<Vec<Values>, MigrateError> {
    let select = table.select_page(view, side.casts_money(), after.is_some(), PAGE);
    let after: Vec<_> = after.unwrap_or_default().iter().map(ValueRef::from).collect();
    let rows = side.sql().all(&select, &after, |row| table.read(row));
    rows.map_err(MigrateError::reading(&side.place))
}

/// The order of both engines, whose texts compare by their bytes. A key has integers and texts alone.
fn order(one: &[Value], other: &[Value]) -> Ordering {
    let by_value = |(one, other): (&Value, &Value)| match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Text(one), Value::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        _ => Ordering::Equal,
    };
    one.iter().zip(other).map(by_value).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
