//! The hash chain over `ProviderLogs`, in `log_chain`.
//!
//! A row's hash is BLAKE3 of its [encoding](encode). The hashes of the rows of a transaction are linked by a
//! record per run of ids without a gap: its head is BLAKE3 of a tag, the head of the record before, and
//! these hashes. So a head binds all rows up to it. `super::verify` checks it.
//!
//! The row's encoding: a version byte, then for each column in the table's order a byte for its kind of
//! value, and the value. Integers and reals have 8 bytes; texts and blobs their length in 8 bytes, then
//! their bytes. Numbers are little-endian. NULL differs from an empty text, a text from a blob, 1 from 1.0.

use crate::domain::LogHead;
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// A BLAKE3 hash.
pub(in crate::store) type Hash = [u8; 32];

/// Adds a record.
pub(in crate::store) const INSERT: &str = r#"INSERT INTO "log_chain"
    ("lastId", "firstId", "previous", "head", "rowTags") VALUES ($1, $2, $3, $4, $5)"#;

/// What the first record follows.
pub(in crate::store) const START: Hash = [0; 32];
/// The length of the part of each row's hash that a record has.
pub(in crate::store) const TAG: usize = 8;

/// The version of the row's encoding. No head's input begins with this byte.
const ROW_VERSION: u8 = 1;
const HEAD_DOMAIN: &[u8] = b"valuation-server log_chain head 1";

/// The place of the id in an encoding: after the version and the kind.
pub(in crate::store) const ID_AT: std::ops::Range<usize> = 2..10;

/// Encodes a row, in place of what `into` had.
pub(in crate::store) fn encode<'a>(
    values: impl Iterator<Item = Result<ValueRef<'a>, SqlError>>,
    into: &mut Vec<u8>,
) -> Result<(), SqlError> {
    let sized = |into: &mut Vec<u8>, kind, bytes: &[u8]| {
        into.push(kind);
        into.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        into.extend_from_slice(bytes);
    };
    into.clear();
    into.push(ROW_VERSION);
    for value in values {
        match value? {
            ValueRef::Null => into.push(0),
            ValueRef::Integer(number) => {
                into.push(1);
                into.extend_from_slice(&number.to_le_bytes());
            }
            ValueRef::Real(number) => {
                into.push(2);
                into.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            ValueRef::Text(bytes) => sized(into, 3, bytes),
            ValueRef::Blob(bytes) => sized(into, 4, bytes),
        }
    }
    Ok(())
}

/// The hash of an encoded row.
pub(in crate::store) fn row_hash(encoded: &[u8]) -> Hash {
    *blake3::hash(encoded).as_bytes()
}

/// The head of a record, row by row.
pub(in crate::store) struct Head(blake3::Hasher);

impl Head {
    pub(in crate::store) fn after(previous: &Hash) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(HEAD_DOMAIN);
        hasher.update(previous);
        Self(hasher)
    }

    pub(in crate::store) fn add(&mut self, row: &Hash) {
        self.0.update(row);
    }

    pub(in crate::store) fn hash(&self) -> Hash {
        *self.0.finalize().as_bytes()
    }
}

/// Rows to be sealed, in the order of their ids.
#[derive(Debug, Default)]
pub(in crate::store) struct Unsealed {
    /// The first id of each run, and its hashes.
    runs: Vec<(i64, Vec<Hash>)>,
    last_id: i64,
}

impl Unsealed {
    pub(in crate::store) fn add(&mut self, id: i64, hash: Hash) {
        match self.runs.last_mut() {
            Some((_, hashes)) if id == self.last_id + 1 => hashes.push(hash),
            _ => self.runs.push((id, vec![hash])),
        }
        self.last_id = id;
    }

    /// Adds the records after the chain's end, and gives its new end; `None` without rows.
    pub(in crate::store) fn store(
        &self,
        sql: &dyn Sql,
        mut end: Option<LogHead>,
    ) -> Result<Option<LogHead>, SqlError> {
        if self.runs.is_empty() {
            return Ok(None);
        }
        for (first_id, hashes) in &self.runs {
            let previous = end.map_or(START, |end| end.hash);
            let mut head = Head::after(&previous);
            let mut tags = Vec::with_capacity(hashes.len() * TAG);
            let mut last_id = first_id - 1;
            for hash in hashes {
                head.add(hash);
                tags.extend_from_slice(&hash[..TAG]);
                last_id += 1;
            }
            let hash = head.hash();
            let values = [
                ValueRef::Integer(last_id),
                ValueRef::Integer(*first_id),
                ValueRef::Blob(&previous),
                ValueRef::Blob(&hash),
                ValueRef::Blob(&tags),
            ];
            sql.execute(INSERT, &values)?;
            end = Some(LogHead { last_id, hash });
        }
        Ok(end)
    }
}

/// A record, without its tags.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Record {
    pub(in crate::store) first_id: i64,
    pub(in crate::store) last_id: i64,
    pub(in crate::store) previous: Hash,
    pub(in crate::store) head: Hash,
}

/// The first record.
pub(in crate::store) fn first(sql: &dyn Sql) -> Result<Option<Record>, SqlError> {
    record(sql, r#"ORDER BY "lastId" LIMIT 1"#, &[])
}

/// The last record.
pub(in crate::store) fn last(sql: &dyn Sql) -> Result<Option<Record>, SqlError> {
    record(sql, r#"ORDER BY "lastId" DESC LIMIT 1"#, &[])
}

/// The record that ends with this id.
pub(in crate::store) fn ending_with(
    sql: &dyn Sql,
    last_id: i64,
) -> Result<Option<Record>, SqlError> {
    record(sql, r#"WHERE "lastId" = $1"#, &[ValueRef::Integer(last_id)])
}

/// The last record's head; `None` if nothing is sealed.
pub(in crate::store) fn end(sql: &dyn Sql) -> Result<Option<LogHead>, SqlError> {
    Ok(last(sql)?.map(|last| LogHead { last_id: last.last_id, hash: last.head }))
}

fn record(sql: &dyn Sql, which: &str, values: &[ValueRef<'_>]) -> Result<Option<Record>, SqlError> {
    let select =
        format!(r#"SELECT "firstId", "lastId", "previous", "head" FROM "log_chain" {which}"#);
    sql.first(&select, values, |row| {
        // What an operator destroyed must not stop the writer; it can't be hidden by that.
        let last_id = row.integer(1)?;
        let first_id = row.value(0)?.as_i64().unwrap_or(last_id);
        let [previous, head] = [hash(row, 2)?, hash(row, 3)?].map(|hash| hash.unwrap_or(START));
        Ok(Record { first_id, last_id, previous, head })
    })
}

/// The hash in a column; `None` if it is something else.
pub(in crate::store) fn hash(row: &dyn Row, column: usize) -> Result<Option<Hash>, SqlError> {
    Ok(row.value(column)?.as_blob().ok().and_then(|hash| hash.try_into().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(values: &[ValueRef<'_>]) -> Vec<u8> {
        let mut into = vec![9; 3];
        encode(values.iter().copied().map(Ok), &mut into).unwrap();
        into
    }

    #[test]
    fn different_rows_have_different_encodings() {
        use ValueRef::{Blob, Integer, Null, Real, Text};
        let rows: Vec<Vec<ValueRef<'_>>> = vec![
            vec![Null, Null],
            vec![Null],
            vec![Text(b""), Null],
            vec![Null, Text(b"")],
            vec![Blob(b""), Null],
            vec![Integer(0), Null],
            vec![Real(0.0), Null],
            vec![Real(-0.0), Null],
            vec![Integer(1), Null],
            vec![Real(1.0), Null],
            vec![Text(b"1"), Null],
            vec![Text(b"ab"), Text(b"c")],
            vec![Text(b"a"), Text(b"bc")],
            vec![Text(b"abc"), Text(b"")],
            vec![Text(b"a\0"), Text(b"bc")],
        ];
        for (at, row) in rows.iter().enumerate() {
            for other in &rows[..at] {
                assert_ne!(encoded(row), encoded(other), "{row:?} and {other:?}");
            }
        }
    }

    /// Chains are read by later versions: neither the encoding nor the heads may change.
    #[test]
    fn the_encoding_and_the_heads_are_these() {
        let row = encoded(&[ValueRef::Integer(7), ValueRef::Null, ValueRef::Text(b"AB")]);
        assert_eq!(row, b"\x01\x01\x07\0\0\0\0\0\0\0\0\x03\x02\0\0\0\0\0\0\0AB");
        assert_eq!(row[ID_AT], 7_i64.to_le_bytes());
        let hash = row_hash(&row);
        let mut head = Head::after(&START);
        head.add(&hash);
        let mut input = HEAD_DOMAIN.to_vec();
        input.extend_from_slice(&START);
        input.extend_from_slice(blake3::hash(&row).as_bytes());
        assert_eq!(head.hash(), *blake3::hash(&input).as_bytes());
        assert_ne!(HEAD_DOMAIN[0], ROW_VERSION);
    }
}
