//! Checks of the database after the server has ended.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use valuation_server::domain::Provider;

use crate::Failed;

/// An open database without damage.
pub(crate) struct Records(Connection);

impl Records {
    /// Opens it, and lets SQLite check it for damage.
    pub(crate) fn open(path: &Path) -> Result<Self, Failed> {
        let conn = Connection::open(path)?;
        let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if check != "ok" {
            return Err(format!("integrity_check says {check}").into());
        }
        Ok(Self(conn))
    }

    pub(crate) fn rows(&self, table: &str) -> Result<u64, Failed> {
        self.count(&format!("SELECT count(*) FROM {table}"))
    }

    /// Valuations without the call that gave them: halves of a transaction. (By the plus SQLite
    /// looks the calls up by vehicle: there are two providers and many vehicles.)
    pub(crate) fn halves(&self) -> Result<u64, Failed> {
        self.count(
            "SELECT count(*) FROM vehicle_valuation v WHERE NOT EXISTS
             (SELECT 1 FROM ProviderLogs l WHERE l.vrm = v.vrm
              AND +l.providerName = v.providerName AND l.errorCode IS NULL)",
        )
    }

    /// On how many days calls were made, by the wall clock.
    pub(crate) fn days(&self) -> Result<u64, Failed> {
        self.count("SELECT count(DISTINCT substr(requestedAt, 1, 10)) FROM ProviderLogs")
    }

    fn count(&self, sql: &str) -> Result<u64, Failed> {
        Ok(self.0.query_row(sql, [], |row| row.get::<_, i64>(0))?.try_into()?)
    }

    /// Checks that an answered PUT is stored with all its calls: one, or SuperCar's failed one before
    /// Premium's.
    pub(crate) fn has_answered(&self, mark: &str, body: &[u8]) -> Result<(), Failed> {
        let answer: serde_json::Value = serde_json::from_slice(body)?;
        let provider: Option<String> = self
            .0
            .prepare_cached("SELECT providerName FROM vehicle_valuation WHERE vrm = ?1")?
            .query_row([mark], |row| row.get(0))
            .optional()?;
        if provider.as_deref() != answer["providerName"].as_str() || provider.is_none() {
            return Err(format!("{mark} was answered with {answer}, {provider:?} is stored").into());
        }
        let calls: Vec<(String, Option<String>)> = self
            .0
            .prepare_cached(
                "SELECT providerName, errorCode FROM ProviderLogs WHERE vrm = ?1 ORDER BY id",
            )?
            .query_map([mark], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let rescued = calls.len() == 2
            && calls[0] == (Provider::SuperCar.name().to_owned(), Some("STATUS".to_owned()))
            && calls[1].0 == Provider::Premium.name();
        let last_is_good = calls
            .last()
            .is_some_and(|(name, error)| Some(name) == provider.as_ref() && error.is_none());
        if last_is_good && (calls.len() == 1 || rescued) {
            return Ok(());
        }
        Err(format!("{mark} was answered, and its log is {calls:?}").into())
    }
}
