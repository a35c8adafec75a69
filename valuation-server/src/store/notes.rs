//! Texts that the server saves for its next start, one per name.

use std::time::SystemTime;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::error::StoreError;
use super::logs::timestamp;
use super::sql::{Sql, SqlError, ValueRef};

/// A saved text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text.
    pub text: String,
    /// When it was saved, to the millisecond. `None` if the table has no valid time.
    pub at: Option<SystemTime>,
}

/// A text to save, and the caller that waits.
#[derive(Debug)]
pub(super) struct Noting {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) at: SystemTime,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Saves a text under its name, replacing any earlier one.
pub(super) fn replace(sql: &dyn Sql, noting: &Noting) -> Result<(), SqlError> {
    save(sql, &noting.name, &noting.text, noting.at)
}

/// As [`replace`], for a caller that does not wait.
pub(super) fn save(sql: &dyn Sql, name: &str, text: &str, at: SystemTime) -> Result<(), SqlError> {
    let at = timestamp(at);
    let values = [name, text, &at].map(ValueRef::from);
    sql.execute(
        r#"INSERT INTO "failover_state" ("name", "state", "savedAt") VALUES ($1, $2, $3)
            ON CONFLICT ("name") DO UPDATE
            SET "state" = excluded."state", "savedAt" = excluded."savedAt""#,
        &values,
    )?;
    Ok(())
}

/// The text with this name.
pub(super) fn find(sql: &dyn Sql, name: &str) -> Result<Option<Note>, SqlError> {
    let select = r#"SELECT "state", "savedAt" FROM "failover_state" WHERE "name" = $1"#;
    sql.first(select, &[ValueRef::Text(name.as_bytes())], |row| {
        let at = row.text(1)?.parse::<Timestamp>().ok().map(SystemTime::from);
        Ok(Note { text: row.text(0)?.to_owned(), at })
    })
}
