//! Errors of PostgreSQL, and what they say about other statements.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::error::OpenProblem;
use crate::store::failure::Failure;

/// Why PostgreSQL did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum PgError {
    /// The client's error: the server's answer, or a connection that broke.
    #[error("{}", shown(.0))]
    Client(#[from] tokio_postgres::Error),
    /// No answer in time. The connection is given up.
    #[error("no answer from PostgreSQL within {0:?}")]
    TimedOut(Duration),
    /// All connections are in use.
    #[error("no connection to PostgreSQL was free within {0:?}")]
    NoneFree(Duration),
    /// There is no connection now.
    #[error("the connection to PostgreSQL is lost")]
    Lost,
    /// A value of a type that no table of ours has.
    #[error(
        "column {column} of PostgreSQL's answer has the type {kind}, which is none of this server's"
    )]
    Type {
        /// Counted from 0.
        column: usize,
        /// The type's name.
        kind: String,
    },
    /// A role without a right that a server needs.
    #[error(
        "the role {role} may not write to {table}: use the role that owns the tables, or grant it SELECT, INSERT, \
         UPDATE and DELETE on all of them"
    )]
    MayNotWrite {
        /// The table.
        table: String,
        /// The role.
        role: String,
    },
    /// A database that can't store each text.
    #[error(
        "its encoding is {0}, which has no room for each text: create it with ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding(String),
    /// A server that stores nothing.
    #[error(
        "the server is read-only: it is a replica, or default_transaction_read_only is on; name the one that can \
         be written to"
    )]
    ReadOnly,
    /// A statement of a batch that was not prepared.
    #[error("a statement is not prepared: {0}")]
    Unprepared(String),
    /// The head of the log is missing.
    #[error("log_head has no row: somebody deleted it; restore a backup")]
    NoHead,
    /// The head of the log is no hash.
    #[error(
        "the head in log_head has {0} bytes in place of 32: somebody changed it; restore a backup"
    )]
    Head(usize),
    /// A schema change failed.
    #[error("the schema cannot be changed: {0}")]
    Migration(String),
}

impl From<PgError> for OpenProblem {
    fn from(error: PgError) -> Self {
        Self::Postgres(Arc::new(error))
    }
}

impl PgError {
    /// What it says about other statements.
    pub(in crate::store) fn failure(&self) -> Failure {
        let Some(state) = self.state() else {
            return Failure::Unavailable;
        };
        match (state.code().get(..2).unwrap_or_default(), state) {
            // Data exceptions, constraints, and what a trigger raises.
            ("22" | "23", _) | ("P0", _) => Failure::Row,
            // Deadlocks and conflicts, and a lock that was not free in time.
            ("40", _) => Failure::Locked,
            (_, state) if *state == SqlState::LOCK_NOT_AVAILABLE => Failure::Locked,
            (_, state) if *state == SqlState::QUERY_CANCELED => Failure::Locked,
            // A missing table, or a missing right.
            ("42", _) => Failure::Statement,
            _ => Failure::Unavailable,
        }
    }

    /// Whether the server answered that the statement failed, and goes on: then it is known that nothing of its
    /// transaction is stored. A broken connection tells nothing, and neither does a server that ends the connection
    /// (FATAL) or itself (PANIC, as when a commit's record may have reached the disk).
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Client(error) => error
                .as_db_error()
                .is_some_and(|answer| answer.parsed_severity() == Some(Severity::Error)),
            _ => false,
        }
    }

    /// Whether the connection may be used again.
    pub(super) fn leaves_connection(&self) -> bool {
        match self {
            // A database that became a replica answers; another host may be the one that writes.
            Self::Client(error) => {
                self.is_refusal() && error.code() != Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
            }
            _ => false,
        }
    }

    fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Client(error) => error.code(),
            _ => None,
        }
    }
}

/// The server's own words with their code, or the error with all its causes.
pub(super) fn shown(error: &(dyn Error + 'static)) -> String {
    if let Some(answer) = error.downcast_ref::<DbError>() {
        return answered(answer);
    }
    match error.source() {
        // The client's own text for it is "db error".
        Some(cause) if cause.is::<DbError>() => shown(cause),
        Some(cause) => format!("{error}: {}", shown(cause)),
        None => error.to_string(),
    }
}

fn answered(error: &DbError) -> String {
    let (message, code) = (error.message(), error.code().code());
    match error.detail() {
        // The detail of a constraint repeats the row.
        Some(detail) if !code.starts_with("23") => format!("{message} ({detail}; SQLSTATE {code})"),
        _ => format!("{message} (SQLSTATE {code})"),
    }
}
