//! Shared by the store's tests: a database in a temporary folder, and entries for it.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use rusqlite::Connection;
use tempfile::TempDir;
use valuation_server::domain::{
    CallOutcome, Entry, ErrorCode, Money, Provider, ProviderCall, Valuation, Vrm,
};
use valuation_server::store::{self, SqliteConfig, Store, StoreConfig};

/// The table as the older service makes it.
pub(crate) const OLDER_TABLE: &str = r#"CREATE TABLE "vehicle_valuation" (
    "vrm" varchar(7) PRIMARY KEY NOT NULL,
    "lowestValue" decimal(10,2) NOT NULL,
    "highestValue" decimal(10,2) NOT NULL)"#;

/// A folder with room for a database.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("valuations.sqlite")
    }

    pub(crate) fn config(&self) -> StoreConfig {
        patient(StoreConfig::new(self.path()))
    }

    /// A configuration with other values of what a file alone has.
    pub(crate) fn config_with(&self, change: impl FnOnce(&mut SqliteConfig)) -> StoreConfig {
        let mut file = SqliteConfig::new(self.path());
        change(&mut file);
        StoreConfig { backend: store::Backend::Sqlite(file), ..self.config() }
    }

    pub(crate) fn open(&self) -> Store {
        at_once(Store::open(&self.config())).unwrap()
    }

    /// A database of ours, created and closed, without other files next to it.
    pub(crate) fn make(&self) {
        let store = self.open();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(store.shutdown());
    }

    /// Another program's connection to the same file.
    pub(crate) fn neighbour(&self) -> Connection {
        let conn = Connection::open(self.path()).unwrap();
        conn.busy_timeout(Duration::from_secs(60)).unwrap();
        conn
    }

    /// The size of the write-ahead log.
    pub(crate) fn wal_size(&self) -> u64 {
        self.folder.path().join("valuations.sqlite-wal").metadata().map_or(0, |file| file.len())
    }

    /// Every file in the folder, with its bytes. Not to be used while a database in it is open:
    /// closing the file would release SQLite's locks.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = self
            .folder
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

/// With long waits: a test never depends on the machine's speed.
pub(crate) fn patient(config: StoreConfig) -> StoreConfig {
    let wait = Duration::from_secs(60);
    StoreConfig { queue_wait: wait, read_wait: wait, lock_wait: wait, ..config }
}

pub(crate) fn vrm(text: &str) -> Vrm {
    Vrm::parse(text).unwrap()
}

pub(crate) fn valuation(mark: &str, lowest: &str, highest: &str) -> Valuation {
    Valuation {
        vrm: vrm(mark),
        lowest: Money::parse(lowest).unwrap(),
        highest: Money::parse(highest).unwrap(),
        provider: Some(Provider::SuperCar),
    }
}

pub(crate) fn call(mark: &str) -> ProviderCall {
    ProviderCall {
        vrm: vrm(mark),
        provider: Provider::SuperCar,
        requested_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_376_280_007),
        duration: Duration::from_millis(12),
        url: format!("http://127.0.0.1:1/valuations/{mark}?mileage=1"),
        response_code: Some(200),
        error: None,
        outcome: CallOutcome::Success,
        rescue: false,
    }
}

pub(crate) fn failed_call(mark: &str, message: &str) -> ProviderCall {
    let error = Some((ErrorCode::Connect, message.to_owned()));
    ProviderCall { response_code: None, error, outcome: CallOutcome::Failure, ..call(mark) }
}

/// A valuation and the call that it comes from.
pub(crate) fn entry(mark: &str) -> Entry {
    Entry { valuation: Some(valuation(mark, "100", "200.5")), calls: vec![call(mark)] }
}

/// `V0` to `V999999`.
pub(crate) fn marks(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("V{number}"))
}

/// The output of a future that is ready at once, as the reads of a file are.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a file is read on the caller's thread")
}

/// Waits for a condition that another thread fulfils. It fails only by a hang.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(what, reached).await;
}

/// Polls a future once: an entry that it commits is with the writer then, unless the queue is full.
/// Only for a future that can't be ready, since a lock is held.
pub(crate) async fn handed_over<F: Future>(future: F) -> Pin<Box<F>> {
    // Each with a cooperation budget of its own: without one left it would not be polled really.
    tokio::task::yield_now().await;
    let mut future = Box::pin(future);
    let pending = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(pending, "it was ready, although a lock is held");
    future
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .unwrap_or_else(|_| panic!("not within a minute: {what}"))
}

pub(crate) fn count(conn: &Connection, table: &str) -> u32 {
    conn.query_row(&format!(r#"SELECT count(*) FROM "{table}""#), [], |row| row.get(0)).unwrap()
}
