//! A row that somebody else wrote: whatever is in its columns, a look-up never panics, gives a
//! sound valuation or says what is wrong with the row, and reads each type as it is documented.
#![no_main]

use std::pin::pin;
use std::sync::{LazyLock, Mutex};
use std::task::{Context, Poll, Waker};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use tempfile::TempDir;
use valuation_server::domain::{Money, Vrm};
use valuation_server::store::{Store, StoreConfig, StoreError};

#[derive(Arbitrary, Clone, Debug)]
enum Stored {
    Null,
    Integer(i64),
    Pounds(u32),
    Real(f64),
    Pence(u32),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Stored> for Value {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Null => Self::Null,
            Stored::Integer(number) => Self::Integer(number),
            Stored::Pounds(number) => Self::Integer(number.into()),
            Stored::Real(number) => Self::Real(number),
            Stored::Pence(number) => Self::Real(f64::from(number) / 100.0),
            Stored::Text(text) => Self::Text(text),
            Stored::Bytes(bytes) => Self::Blob(bytes),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Row {
    /// Whether the columns keep each type as it is, or make numbers of texts that look like them.
    typed: bool,
    lowest: Stored,
    highest: Stored,
    provider: Stored,
}

/// A store, and another program's connection to the same file.
struct Database {
    store: Store,
    neighbour: Mutex<Connection>,
    _folder: TempDir,
}

impl Database {
    fn with_columns(kind: &str) -> Self {
        let folder = TempDir::with_prefix("fuzz-database-").expect("a folder");
        let path = folder.path().join("valuations.sqlite");
        let neighbour = Connection::open(&path).expect("a new file");
        let table = format!(
            r#"CREATE TABLE "vehicle_valuation" ("vrm" varchar(7) PRIMARY KEY NOT NULL,
               "lowestValue" {kind}, "highestValue" {kind}, "providerName" {kind} NULL);
               INSERT INTO "vehicle_valuation" ("vrm") VALUES ('FUZZ');"#
        );
        neighbour.execute_batch(&table).expect("a table");
        let store = at_once(Store::open(&StoreConfig::new(path))).expect("an older database opens");
        neighbour.execute_batch("PRAGMA synchronous = OFF").expect("a pragma");
        Self { store, neighbour: Mutex::new(neighbour), _folder: folder }
    }
}

/// The output of a future of the store, which is ready at once for a file.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a file is read on the caller's thread"),
    }
}

static DECIMAL: LazyLock<Database> = LazyLock::new(|| Database::with_columns("decimal(10,2)"));
static BLOB: LazyLock<Database> = LazyLock::new(|| Database::with_columns("blob"));

fuzz_target!(|row: Row| {
    let database = if row.typed { &*DECIMAL } else { &*BLOB };
    let [lowest, highest, provider] = [row.lowest, row.highest, row.provider].map(Value::from);
    let neighbour = database.neighbour.lock().expect("one thread");
    neighbour
        .execute(
            r#"UPDATE "vehicle_valuation" SET "lowestValue" = ?1, "highestValue" = ?2,
               "providerName" = ?3"#,
            params![lowest, highest, provider],
        )
        .expect("any value fits a column");
    drop(neighbour);
    let vrm = Vrm::parse("FUZZ").expect("a mark");
    match at_once(database.store.find(&vrm)) {
        Ok(Some(found)) => {
            assert!(found.lowest <= found.highest && found.highest <= Money::MAX);
            let sides = [(&lowest, found.lowest), (&highest, found.highest)];
            for (stored, read) in sides {
                match stored {
                    Value::Integer(pounds) => {
                        assert_eq!(u128::from(read.pence()), *pounds as u128 * 100)
                    }
                    Value::Real(pounds) => {
                        // Half a penny, and what a double can't tell apart.
                        assert!((read.pence() as f64 - pounds * 100.0).abs() <= 0.5 + 1e-4);
                    }
                    Value::Text(_) => {}
                    other => panic!("{other:?} was read as {read}"),
                }
            }
            if let (Some(known), Value::Text(name)) = (found.provider, &provider) {
                assert_eq!(known.name(), name);
            }
        }
        Ok(None) => panic!("the row is there"),
        Err(StoreError::Corrupt { problem, .. }) => {
            assert!(problem.len() < 1_000 && !problem.contains('\n'), "{problem}");
        }
        Err(other) => panic!("{other}"),
    }
});
