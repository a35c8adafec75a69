//! What a failed statement says about others.

use rusqlite::ErrorCode;

/// What a failed statement says about others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The database refuses the row: without it the statement may succeed.
    Row,
    /// The statement can't be run: a missing table, or a trigger that refuses it. Others can.
    Statement,
    /// Somebody else holds a lock.
    Locked,
    /// The database is damaged. Only another one helps.
    Damage,
    /// The database is not available now.
    Unavailable,
}

impl Failure {
    /// What an error of SQLite says about other statements.
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            _ if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) => Self::Row,
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                Self::Row
            }
            Some(ErrorCode::Unknown) => Self::Statement,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damage,
            _ => Self::Unavailable,
        }
    }
}
