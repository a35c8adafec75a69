//! The mark of a database that `migrate` moves another one into: a note that says from where, and whether all of
//! it is there.
//!
//! No server opens an unfinished one, which has a part of the log and no sums. The first server that opens a
//! finished one removes the mark: from then on its rows are its own, and nothing is moved into it any more.

use std::time::SystemTime;

use super::error::OpenProblem;
use super::notes;
use super::sql::{Sql, SqlError, ValueRef};

/// The name of the note. It has no node.
pub(super) const NAME: &str = "migration";

const FINISHED: &str = "finished";
const UNFINISHED: &str = "unfinished";

/// What the note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) is_finished: bool,
    /// The place of the database that is moved.
    pub(super) source: String,
}

/// The mark, if there is one. A text that is none counts as unfinished.
pub(super) fn find(sql: &dyn Sql) -> Result<Option<Mark>, SqlError> {
    let note = notes::find(sql, NAME)?;
    Ok(note.map(|note| {
        let (state, source) = note.text.split_once(' ').unwrap_or_default();
        Mark { is_finished: state == FINISHED, source: source.to_owned() }
    }))
}

/// Saves the mark in place of any other.
pub(super) fn set(sql: &dyn Sql, mark: &Mark, at: SystemTime) -> Result<(), SqlError> {
    let state = if mark.is_finished { FINISHED } else { UNFINISHED };
    notes::save(sql, NAME, &format!("{state} {}", mark.source), at)
}

/// Removes the mark of a finished database, which is going to be served.
///
/// # Errors
/// [`OpenProblem::Unfinished`].
pub(super) fn serve(sql: &dyn Sql) -> Result<(), OpenProblem> {
    match find(sql)? {
        None => Ok(()),
        Some(Mark { is_finished: false, source }) => Err(OpenProblem::Unfinished(source)),
        Some(_) => {
            let delete = r#"DELETE FROM "failover_state" WHERE "name" = $1"#;
            sql.execute(delete, &[ValueRef::from(NAME)])?;
            Ok(())
        }
    }
}
