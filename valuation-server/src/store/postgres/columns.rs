//! Many rows as one statement: each column is one array, whatever the number of rows.

use std::error::Error;

use rusqlite::types::Value;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

/// What a statement that takes rows has.
pub(super) const VALUES: &str = "VALUES (";

/// The form of a statement for many rows, of one that has `VALUES ($1, $2, …)`, and the types of its parameters.
///
/// Values of any other type than `bigint` and `bytea` are sent as text, which the server converts: a table may be
/// the older service's.
pub(super) fn for_many(sql: &str, types: &[Type]) -> Option<String> {
    let (before, rest) = sql.split_once(VALUES)?;
    let (_, after) = rest.split_once(')')?;
    let array = |(index, kind): (usize, &Type)| {
        let sent = if [Type::INT8, Type::BYTEA].contains(kind) { kind.name() } else { "text" };
        format!("CAST(CAST(${} AS {sent}[]) AS {}[])", index + 1, kind.name())
    };
    let arrays: Vec<_> = types.iter().enumerate().map(array).collect();
    Some(format!("{before}SELECT * FROM unnest({}){after}", arrays.join(", ")))
}

/// The values of one column, in the order of the rows.
#[derive(Debug)]
pub(super) struct Column<'a> {
    rows: &'a [Vec<Value>],
    index: usize,
}

/// All columns of these rows, each of which has `count` values.
pub(super) fn columns(rows: &[Vec<Value>], count: usize) -> Vec<Column<'_>> {
    (0..count).map(|index| Column { rows, index }).collect()
}

impl<'a> Column<'a> {
    /// The values that `of` takes; `None` for NULL.
    ///
    /// # Errors
    /// If there is one of another kind.
    fn all<T>(&self, of: impl Fn(&'a Value) -> Option<T>) -> Result<Vec<Option<T>>, String> {
        let rows = self.rows.iter().map(|row| match row.get(self.index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match of(value) {
                Some(value) => Ok(Some(value)),
                None => Err(format!("{:?} in column {}", value.data_type(), self.index)),
            },
        });
        rows.collect()
    }
}

impl ToSql for Column<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let integer = |value: &Value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        };
        match kind.kind() {
            Kind::Array(Type::INT8) => self.all(integer)?.to_sql(kind, out),
            Kind::Array(Type::BYTEA) => {
                let blob = |value: &'_ Value| match value {
                    Value::Blob(bytes) => Some(bytes.clone()),
                    _ => None,
                };
                self.all(blob)?.to_sql(kind, out)
            }
            _ => {
                let text = |value: &'_ Value| match value {
                    Value::Text(text) => Some(text.clone()),
                    Value::Integer(number) => Some(number.to_string()),
                    _ => None,
                };
                self.all(text)?.to_sql(kind, out)
            }
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(kind.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_for_one_row_becomes_one_for_many() {
        let one =
            r#"INSERT INTO "t" ("a", "b", "c") VALUES ($1, $2, $3) ON CONFLICT ("a") DO NOTHING"#;
        let many = for_many(one, &[Type::INT8, Type::VARCHAR, Type::NUMERIC]).unwrap();
        assert_eq!(
            many,
            "INSERT INTO \"t\" (\"a\", \"b\", \"c\") SELECT * FROM unnest(CAST(CAST($1 AS int8[]) AS int8[]), \
             CAST(CAST($2 AS text[]) AS varchar[]), CAST(CAST($3 AS text[]) AS numeric[])) \
             ON CONFLICT (\"a\") DO NOTHING"
        );
        assert_eq!(for_many(r#"UPDATE "t" SET "a" = $1"#, &[Type::INT8]), None);
    }
}
