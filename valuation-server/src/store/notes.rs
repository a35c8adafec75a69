//! What the server notes for its next start: a text by name, the newest alone.

use std::time::SystemTime;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use super::error::StoreError;
use super::logs::timestamp;

/// A text that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What was noted.
    pub text: String,
    /// When, to the millisecond. `None` if the table holds no time that can be read.
    pub at: Option<SystemTime>,
}

/// A text on its way to the table, and who waits for that.
#[derive(Debug)]
pub(super) struct Noting {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) at: SystemTime,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Puts a text in the place of the one of that name.
pub(super) fn replace(conn: &Connection, noting: &Noting) -> rusqlite::Result<()> {
    conn.prepare_cached(
        r#"INSERT OR REPLACE INTO "failover_state" ("name", "state", "savedAt")
            VALUES (?1, ?2, ?3)"#,
    )?
    .execute((noting.name, &noting.text, timestamp(noting.at)))?;
    Ok(())
}

/// The text of that name.
pub(super) fn find(conn: &Connection, name: &str) -> rusqlite::Result<Option<Note>> {
    let mut select =
        conn.prepare(r#"SELECT "state", "savedAt" FROM "failover_state" WHERE "name" = ?1"#)?;
    let note = select.query_row([name], |row| {
        let at: String = row.get(1)?;
        Ok(Note { text: row.get(0)?, at: at.parse::<Timestamp>().ok().map(SystemTime::from) })
    });
    note.optional()
}
