//! The contract of the store: what it promises on every engine. What is named in a `contract!` is run
//! once for each.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use valuation_server::store::{Store, StoreConfig};

use crate::store_support::Place;

/// Makes of each of these functions a test per engine: `name::sqlite`.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name($crate::contract::TestStore::sqlite()).await;
            }
        }
    )+};
}
pub(crate) use contract;

/// A database of its own, empty, on one of the engines.
pub(crate) struct TestStore(Backend);

enum Backend {
    Sqlite(Place),
}

impl TestStore {
    pub(crate) fn sqlite() -> Self {
        Self(Backend::Sqlite(Place::new()))
    }

    /// With long waits: a test never depends on the machine's speed.
    fn config(&self) -> StoreConfig {
        match &self.0 {
            Backend::Sqlite(place) => place.config(),
        }
    }

    pub(crate) async fn open(&self) -> Store {
        self.open_with(|_| {}).await
    }

    pub(crate) async fn open_with(&self, change: impl FnOnce(&mut StoreConfig)) -> Store {
        let mut config = self.config();
        change(&mut config);
        Store::open(&config).await.unwrap()
    }

    /// A store that does not wait for the locks of others.
    pub(crate) async fn open_impatient(&self) -> Store {
        self.open_with(|config| config.lock_wait = Duration::from_millis(20)).await
    }

    /// Another program's connection.
    pub(crate) fn other(&self) -> Other {
        match &self.0 {
            Backend::Sqlite(place) => Other(place.neighbour()),
        }
    }
}

/// Another program's connection, to look at rows and to be in the way.
pub(crate) struct Other(Connection);

impl Other {
    /// Runs a statement that all engines understand.
    pub(crate) fn execute(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }

    /// The rows of a query that all engines understand. NULL is `null`.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let mut query = self.0.prepare(sql).unwrap();
        let columns = query.column_count();
        let shown = |value: Value| match value {
            Value::Null => "null".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Blob(bytes) => format!("{bytes:02x?}"),
        };
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at).map(shown)).collect();
        query.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn count(&self, table: &str) -> u32 {
        self.rows(&format!(r#"SELECT count(*) FROM "{table}""#))[0][0].parse().unwrap()
    }

    /// Keeps every writer from committing until [`Other::let_go`].
    pub(crate) fn hold_up(&self) {
        self.execute("BEGIN IMMEDIATE");
    }

    pub(crate) fn let_go(&self) {
        self.execute("ROLLBACK");
    }

    /// Takes a table away, until [`Other::mend`].
    pub(crate) fn break_table(&self, name: &str) {
        self.execute(&format!(r#"ALTER TABLE "{name}" RENAME TO "away""#));
    }

    pub(crate) fn mend(&self, name: &str) {
        self.execute(&format!(r#"ALTER TABLE "away" RENAME TO "{name}""#));
    }

    /// Lets the database refuse the valuations of these vehicles.
    pub(crate) fn refuse(&self, marks: &[&str]) {
        let marks = marks.join("', '");
        self.execute(&format!(
            "CREATE TRIGGER poison BEFORE INSERT ON vehicle_valuation \
             WHEN NEW.vrm IN ('{marks}') BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
        ));
    }
}
