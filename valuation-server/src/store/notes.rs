//! Texts that the server saves for its next start, one per name.

use std::time::SystemTime;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use super::error::StoreError;
use super::logs::timestamp;

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
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) at: SystemTime,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Saves a text under its name, replacing any earlier one.
pub(super) fn replace(conn: &Connection, noting: &Noting) -> rusqlite::Result<()> {
    conn.prepare_cached(
        r#"INSERT OR REPLACE INTO "failover_state" ("name", "state", "savedAt")
            VALUES (?1, ?2, ?3)"#,
    )?
    .execute((noting.name, &noting.text, timestamp(noting.at)))?;
    Ok(())
}

/// The text with this name.
pub(super) fn find(conn: &Connection, name: &str) -> rusqlite::Result<Option<Note>> {
    let mut select =
        conn.prepare(r#"SELECT "state", "savedAt" FROM "failover_state" WHERE "name" = ?1"#)?;
    let note = select.query_row([name], |row| {
        let at: String = row.get(1)?;
        Ok(Note { text: row.get(0)?, at: at.parse::<Timestamp>().ok().map(SystemTime::from) })
    });
    note.optional()
}
