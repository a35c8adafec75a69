//! Values as PostgreSQL sends and takes them.

use std::error::Error;

use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::error::PgError;
use crate::store::sql::{Row, SqlError, ValueRef};

/// A value that is sent, in the type that the server has for its place.
#[derive(Debug)]
pub(super) struct Parameter<'a>(pub(super) ValueRef<'a>);

type Encoded = Result<IsNull, Box<dyn Error + Sync + Send>>;

impl ToSql for Parameter<'_> {
    fn to_sql(&self, kind: &Type, out: &mut bytes::BytesMut) -> Encoded {
        match self.0 {
            ValueRef::Null => Ok(IsNull::Yes),
            ValueRef::Integer(number) => match *kind {
                Type::INT2 => i16::try_from(number)?.to_sql(kind, out),
                Type::INT4 => i32::try_from(number)?.to_sql(kind, out),
                Type::FLOAT8 => Err("an integer for a column of floating-point numbers".into()),
                _ => number.to_sql(kind, out),
            },
            ValueRef::Real(number) => number.to_sql(kind, out),
            ValueRef::Text(bytes) => std::str::from_utf8(bytes)?.to_sql(kind, out),
            ValueRef::Blob(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A row of an answer.
pub(super) struct Answer(pub(super) tokio_postgres::Row);

impl Row for Answer {
    fn value(&self, column: usize) -> Result<ValueRef<'_>, SqlError> {
        let value: Received<'_> = self.0.try_get(column).map_err(PgError::from)?;
        match value {
            Received::Value(value) => Ok(value),
            Received::Other(kind) => Err(PgError::Type { column, kind }.into()),
        }
    }
}

/// A value that was received.
enum Received<'a> {
    Value(ValueRef<'a>),
    /// Of a type that no table of ours has.
    Other(String),
}

impl<'a> FromSql<'a> for Received<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Value(match *kind {
            Type::INT2 => ValueRef::Integer(i16::from_sql(kind, raw)?.into()),
            Type::INT4 => ValueRef::Integer(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => ValueRef::Integer(i64::from_sql(kind, raw)?),
            Type::BOOL => ValueRef::Integer(bool::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => ValueRef::Real(f64::from_sql(kind, raw)?),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR => ValueRef::Text(raw),
            Type::BYTEA => ValueRef::Blob(raw),
            _ => return Ok(Self::Other(kind.name().to_owned())),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Value(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
