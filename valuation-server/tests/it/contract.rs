//! The contract of the store: what it promises on every engine. What is named in a `contract!` is run
//! once for each.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use valuation_server::store::{self, PostgresConfig, Store, StoreConfig};

use crate::postgres_client::{PostgresClient, words};
use crate::postgres_server::PostgresServer;
use crate::store_support::{Place, patient};

/// Makes of each of these functions a test per engine: `name::sqlite` and `name::postgres`.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name($crate::contract::TestStore::sqlite()).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(place) = $crate::contract::TestStore::postgres() {
                    super::$name(place).await;
                }
            }
        }
    )+};
}
pub(crate) use contract;

/// A database of its own, empty, on one of the engines.
pub(crate) struct TestStore(Backend);

enum Backend {
    Sqlite(Place),
    Postgres(&'static PostgresServer, String),
}

impl TestStore {
    pub(crate) fn sqlite() -> Self {
        Self(Backend::Sqlite(Place::new()))
    }

    /// `None` if PostgreSQL is not installed; in CI that is a failure.
    pub(crate) fn postgres() -> Option<Self> {
        let server = PostgresServer::shared()?;
        Some(Self(Backend::Postgres(server, server.database())))
    }

    fn config(&self) -> StoreConfig {
        match &self.0 {
            Backend::Sqlite(place) => place.config(),
            Backend::Postgres(server, database) => on_postgres(server, database),
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

    /// A store that reads by one connection.
    pub(crate) async fn open_with_one_reader(&self) -> Store {
        self.open_with(|config| match &mut config.backend {
            store::Backend::Sqlite(file) => file.readers = 1,
            store::Backend::Postgres(server) => server.connections = 3,
            other => panic!("{other}"),
        })
        .await
    }

    /// Another program's connection.
    pub(crate) fn other(&self) -> Other {
        match &self.0 {
            Backend::Sqlite(place) => Other::Sqlite(place.neighbour()),
            Backend::Postgres(server, database) => Other::Postgres(server.client(database)),
        }
    }

    /// Whether no store has the database open any longer. Another program must not have read it yet.
    pub(crate) fn is_let_go(&self) -> bool {
        match &self.0 {
            // The last connection to close removes the log's files.
            Backend::Sqlite(place) => !place.path().with_extension("sqlite-wal").exists(),
            Backend::Postgres(..) => {
                let stores = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                              AND application_name = 'valuation-server'";
                self.other().rows(stores).is_empty()
            }
        }
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        if let Backend::Postgres(server, database) = &self.0 {
            server.forget(database);
        }
    }
}

/// With long waits, by four connections.
pub(crate) fn on_postgres(server: &PostgresServer, database: &str) -> StoreConfig {
    patient(StoreConfig::at(store::Backend::Postgres(PostgresConfig {
        address: server.address(database),
        connections: 4,
        node: "test".into(),
    })))
}

/// Another program's connection, to look at rows and to be in the way.
pub(crate) enum Other {
    Sqlite(Connection),
    Postgres(PostgresClient),
}

impl Other {
    /// Runs a statement that all engines understand.
    pub(crate) fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(conn) => conn.execute_batch(sql).unwrap(),
            Self::Postgres(client) => {
                client.execute(sql).unwrap_or_else(|error| panic!("{sql}: {}", words(&error)));
            }
        }
    }

    /// The rows of a query that all engines understand. NULL is `null`, a blob `[aa, 0b]`. Fractions are not the
    /// same text on all.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Sqlite(conn) => sqlite_rows(conn, sql),
            Self::Postgres(client) => {
                let rows = client.rows(sql);
                let rows = rows.unwrap_or_else(|error| panic!("{sql}: {}", words(&error)));
                let shown = |value: Option<String>| value.map_or("null".to_owned(), blob_or_text);
                rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect()
            }
        }
    }

    pub(crate) fn count(&self, table: &str) -> u32 {
        self.rows(&format!(r#"SELECT count(*) FROM "{table}""#))[0][0].parse().unwrap()
    }

    /// Keeps every writer from committing until [`Other::let_go`]. Others read.
    pub(crate) fn hold_up(&self) {
        self.execute(match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => {
                r#"BEGIN; SELECT "lastId" FROM "log_head" WHERE "id" = 1 FOR UPDATE;
                   LOCK TABLE "vehicle_valuation", "failover_state", "history" IN EXCLUSIVE MODE"#
            }
        });
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

    /// Lets the database refuse the valuations of these vehicles, by something that is called `poisoned`.
    pub(crate) fn refuse(&self, marks: &[&str]) {
        let marks = marks.join("', '");
        self.execute(&match self {
            Self::Sqlite(_) => format!(
                "CREATE TRIGGER poison BEFORE INSERT ON vehicle_valuation \
                 WHEN NEW.vrm IN ('{marks}') BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
            ),
            Self::Postgres(_) => format!(
                "ALTER TABLE vehicle_valuation \
                 ADD CONSTRAINT poisoned CHECK (vrm NOT IN ('{marks}')) NOT VALID"
            ),
        });
    }
}

fn sqlite_rows(conn: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut query = conn.prepare(sql).unwrap();
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

/// A blob of PostgreSQL, `\xaa0b`, as the other engine's are shown.
fn blob_or_text(value: String) -> String {
    let Some(digits) = value.strip_prefix(r"\x") else { return value };
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<_> = digits.as_bytes().chunks(2).map(byte).collect();
    format!("{bytes:02x?}")
}
