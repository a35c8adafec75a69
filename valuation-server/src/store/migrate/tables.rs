//! The tables that are moved, and their values as both engines can have them.

use std::fmt;

use rusqlite::types::Value;

use crate::store::migration_mark;
use crate::store::sql::{Row, SqlError, ValueRef};
use crate::store::valuation_row::{self, Shown};

/// A row's values, in the order of the table's columns.
pub(super) type Values = Vec<Value>;

/// A table. Its first columns are its key.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    keys: usize,
    columns: &'static [(&'static str, Kind)],
}

/// What a column may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    OptionalInteger,
    Text,
    OptionalText,
    /// A text of at most seven characters.
    Vrm,
    Blob,
    /// An amount, compared as such: SQLite has it as an integer or a real number, PostgreSQL as a decimal.
    Money,
}

use Kind::{Blob, Integer, Money, OptionalInteger, OptionalText, Text, Vrm};

/// The log: in the table's order, as the hash chain encodes it.
pub(super) const ROWS: Table = Table {
    name: "ProviderLogs",
    keys: 1,
    columns: &[
        ("id", Integer),
        ("vrm", Text),
        ("providerName", Text),
        ("requestedAt", Text),
        ("requestDurationMs", Integer),
        ("requestUrl", Text),
        ("responseCode", OptionalInteger),
        ("errorCode", OptionalText),
        ("errorMessage", OptionalText),
        ("outcome", OptionalText),
        ("rescue", OptionalInteger),
    ],
};

/// The place of `requestedAt` in a row of [`ROWS`].
pub(super) const REQUESTED_AT: usize = 3;

/// The records of the hash chain.
pub(super) const CHAIN: Table = Table {
    name: "log_chain",
    keys: 1,
    columns: &[
        ("lastId", Integer),
        ("firstId", Integer),
        ("previous", Blob),
        ("head", Blob),
        ("rowTags", Blob),
    ],
};

/// The valuations.
pub(super) const VALUATIONS: Table = Table {
    name: "vehicle_valuation",
    keys: 1,
    columns: &[
        ("vrm", Vrm),
        ("lowestValue", Money),
        ("highestValue", Money),
        ("providerName", OptionalText),
    ],
};

/// What servers saved for their next start.
pub(super) const NOTES: Table = Table {
    name: "failover_state",
    keys: 1,
    columns: &[("name", Text), ("state", Text), ("savedAt", Text)],
};

/// All others.
pub(super) const SUMS: [Table; 4] = [
    Table {
        name: "call_hours",
        keys: 5,
        columns: &[
            ("hour", Integer),
            ("providerName", Text),
            ("errorCode", Text),
            ("outcome", Text),
            ("rescue", Integer),
            ("calls", Integer),
            ("sumMs", Integer),
            ("maxMs", Integer),
            ("minutes", Integer),
            ("firstId", Integer),
            ("lastId", Integer),
        ],
    },
    Table {
        name: "call_durations",
        keys: 4,
        columns: &[
            ("span", Integer),
            ("at", Integer),
            ("providerName", Text),
            ("bucket", Integer),
            ("calls", Integer),
        ],
    },
    Table { name: "rollup_mark", keys: 1, columns: &[("id", Integer), ("countedTo", Integer)] },
    Table {
        name: "history",
        keys: 3,
        columns: &[
            ("span", Integer),
            ("at", Integer),
            ("source", Text),
            ("calls", Integer),
            ("failures", Integer),
            ("rescues", Integer),
            ("fallbackMs", Integer),
            ("upTo1ms", Integer),
            ("upTo2.5ms", Integer),
            ("upTo5ms", Integer),
            ("upTo10ms", Integer),
            ("upTo25ms", Integer),
            ("upTo50ms", Integer),
            ("upTo100ms", Integer),
            ("upTo250ms", Integer),
            ("upTo500ms", Integer),
            ("upTo1s", Integer),
            ("upTo2.5s", Integer),
            ("upTo5s", Integer),
            ("upTo10s", Integer),
            ("above10s", Integer),
        ],
    },
];

/// The rows of a table, as they are to be at the target.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// As they are, without the command's own note.
    Plain,
    /// Notes that get this node's name, in PostgreSQL.
    WithNode(String),
    /// The notes of this node alone, without its name.
    OfNode(String),
}

impl View {
    /// What stands after `FROM`.
    pub(super) fn of(&self, table: &Table) -> String {
        if table.name != NOTES.name {
            return format!(r#""{}""#, table.name);
        }
        let (name, condition) = match self {
            Self::Plain => (r#""name""#.to_owned(), String::new()),
            Self::WithNode(node) => (format!(r#""name" || {}"#, suffix(node)), String::new()),
            Self::OfNode(node) => {
                let length = node.chars().count() + SEPARATOR.len();
                let ends =
                    format!(r#"substr("name", length("name") - {length} + 1) = {}"#, suffix(node));
                (format!(r#"substr("name", 1, length("name") - {length})"#), format!(" AND {ends}"))
            }
        };
        format!(
            r#"(SELECT {name} AS "name", "state", "savedAt" FROM "failover_state"
                WHERE "name" <> '{}'{condition}) AS "notes""#,
            migration_mark::NAME
        )
    }
}

/// Between the name of a note and that of its node.
const SEPARATOR: &str = " @ ";

/// The end of the name of a node's note, as a literal.
fn suffix(node: &str) -> String {
    format!("'{SEPARATOR}{}'", node.replace('\'', "''"))
}

impl Table {
    /// The columns, as a SELECT has them. PostgreSQL's client has no type for decimals.
    fn selected(&self, casts_money: bool) -> String {
        let column = |(name, kind): &(&str, Kind)| match kind {
            Money if casts_money => format!(r#"CAST("{name}" AS text)"#),
            _ => format!(r#""{name}""#),
        };
        self.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// The columns of the key.
    fn key(&self) -> String {
        let names = self.columns[..self.keys].iter().map(|(name, _)| format!(r#""{name}""#));
        names.collect::<Vec<_>>().join(", ")
    }

    /// All rows, in the order of their keys.
    pub(super) fn select(&self, view: &View, casts_money: bool) -> String {
        let (columns, from, key) = (self.selected(casts_money), view.of(self), self.key());
        format!("SELECT {columns} FROM {from} ORDER BY {key}")
    }

    /// The first rows after a key, or the first of all.
    pub(super) fn select_page(
        &self,
        view: &View,
        casts_money: bool,
        is_after: bool,
        limit: usize,
    ) -> String {
        let (columns, from, key) = (self.selected(casts_money), view.of(self), self.key());
        let after = if is_after {
            format!(" WHERE ({key}) > ({})", places(self.keys))
        } else {
            String::new()
        };
        format!("SELECT {columns} FROM {from}{after} ORDER BY {key} LIMIT {limit}")
    }

    /// The rows whose first column is above `$1` and up to `$2`, in its order.
    pub(super) fn select_range(&self) -> String {
        let (columns, key, name) = (self.selected(false), self.key(), self.name);
        format!(r#"SELECT {columns} FROM "{name}" WHERE {key} > $1 AND {key} <= $2 ORDER BY {key}"#)
    }

    /// Adds a row.
    pub(super) fn insert(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|(name, _)| format!(r#""{name}""#)).collect();
        format!(
            r#"INSERT INTO "{}" ({}) VALUES ({})"#,
            self.name,
            columns.join(", "),
            places(columns.len())
        )
    }

    /// Adds a row, or replaces that with its key.
    pub(super) fn upsert(&self) -> String {
        let set = self.columns[self.keys..].iter();
        let set: Vec<_> = set.map(|(name, _)| format!(r#""{name}" = excluded."{name}""#)).collect();
        format!("{} ON CONFLICT ({}) DO UPDATE SET {}", self.insert(), self.key(), set.join(", "))
    }

    /// Deletes the row with a key.
    pub(super) fn delete(&self) -> String {
        format!(r#"DELETE FROM "{}" WHERE ({}) = ({})"#, self.name, self.key(), places(self.keys))
    }

    /// The values of the key of a row.
    pub(super) fn key_of<'a>(&self, row: &'a [Value]) -> &'a [Value] {
        &row[..self.keys.min(row.len())]
    }

    /// The values of a row.
    ///
    /// # Errors
    /// If a table of ours in PostgreSQL can't have one of them: names the row, the column and the value.
    pub(super) fn read(&self, row: &dyn Row) -> Result<Values, SqlError> {
        let mut values = Vec::with_capacity(self.columns.len());
        for (index, (column, kind)) in self.columns.iter().enumerate() {
            let found = row.value(index)?;
            let value = kind.value(found).map_err(|expected| {
                let key = (0..self.keys).map(|key| Ok(Shown(row.value(key)?).to_string()));
                let key = key.collect::<Result<Vec<_>, SqlError>>().unwrap_or_default();
                let (table, found) = (self.name, Shown(found).to_string());
                let unfit = Unfit { table, key: key.join(", "), column, found, expected };
                rusqlite::Error::ToSqlConversionFailure(Box::new(unfit))
            })?;
            values.push(value);
        }
        Ok(values)
    }
}

impl Kind {
    /// The value, or what it should be.
    fn value(self, found: ValueRef<'_>) -> Result<Value, &'static str> {
        match (self, found) {
            (OptionalInteger | OptionalText, ValueRef::Null) => Ok(Value::Null),
            (Integer | OptionalInteger, ValueRef::Integer(number)) => Ok(Value::Integer(number)),
            (Integer, _) => Err("an integer"),
            (OptionalInteger, _) => Err("an integer or NULL"),
            (Text | OptionalText | Vrm, ValueRef::Text(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| "a text in UTF-8")?;
                if text.contains('\0') {
                    return Err("a text without the character U+0000");
                }
                if self == Vrm && text.chars().count() > 7 {
                    return Err("a text of at most 7 characters");
                }
                Ok(Value::Text(text.to_owned()))
            }
            (Text | Vrm, _) => Err("a text"),
            (OptionalText, _) => Err("a text or NULL"),
            (Blob, ValueRef::Blob(bytes)) => Ok(Value::Blob(bytes.to_vec())),
            (Blob, _) => Err("a blob"),
            (Money, _) => match valuation_row::amount(found) {
                Ok(amount) => Ok(Value::Text(amount.to_string())),
                Err(_) => Err("an amount from 0 to 99999999.99"),
            },
        }
    }
}

/// `$1, $2, …`
fn places(count: usize) -> String {
    (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// A value that can't be moved.
#[derive(Debug)]
struct Unfit {
    table: &'static str,
    key: String,
    column: &'static str,
    found: String,
    expected: &'static str,
}

impl std::error::Error for Unfit {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, key, column, found, expected } = self;
        write!(
            f,
            "the row {key} of its table {table} has {found} in the column {column}, where only {expected} can be \
             moved; correct the row, or delete it"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_keys_and_columns_in_double_quotes() {
        let table = Table {
            name: "t",
            keys: 2,
            columns: &[("a", Integer), ("b", Text), ("c", Money), ("d", Blob)],
        };
        assert_eq!(
            table.select_page(&View::Plain, true, true, 9),
            r#"SELECT "a", "b", CAST("c" AS text), "d" FROM "t" WHERE ("a", "b") > ($1, $2) ORDER BY "a", "b" LIMIT 9"#
        );
        assert_eq!(
            table.upsert(),
            r#"INSERT INTO "t" ("a", "b", "c", "d") VALUES ($1, $2, $3, $4) ON CONFLICT ("a", "b") DO UPDATE SET "c" = excluded."c", "d" = excluded."d""#
        );
        assert_eq!(table.delete(), r#"DELETE FROM "t" WHERE ("a", "b") = ($1, $2)"#);
    }

    #[test]
    fn a_value_that_postgresql_cannot_have_is_named_by_what_is_expected() {
        for (kind, found, expected) in [
            (Integer, ValueRef::Real(1.5), "an integer"),
            (Integer, ValueRef::Null, "an integer"),
            (OptionalInteger, ValueRef::Text(b"x"), "an integer or NULL"),
            (Text, ValueRef::Text(b"\xff"), "a text in UTF-8"),
            (OptionalText, ValueRef::Text(b"a\0b"), "a text without the character U+0000"),
            (Vrm, ValueRef::Text(b"AA99BCDE"), "a text of at most 7 characters"),
            (Blob, ValueRef::Text(b"x"), "a blob"),
            (Money, ValueRef::Real(-1.0), "an amount from 0 to 99999999.99"),
        ] {
            assert_eq!(kind.value(found), Err(expected), "{found:?}");
        }
        let amounts = [ValueRef::Text(b"22350.50"), ValueRef::Real(22350.5)];
        let amounts = amounts.map(|found| Money.value(found));
        assert_eq!(amounts, [Ok(Value::Text("22350.5".into())), Ok(Value::Text("22350.5".into()))]);
    }
}
