//! Shared by the tests of the log on PostgreSQL: the same log on both engines.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use valuation_server::domain::{CallOutcome, Entry, ErrorCode, Provider, ProviderCall};
use valuation_server::store::{Durability, Location, Store};

use crate::contract::on_postgres;
use crate::postgres_server::PostgresServer;
use crate::store_support::{Place, call, in_time};

/// 1 October 2026 in UTC, in seconds.
pub(crate) const OCTOBER: i64 = 1_790_812_800;

/// 1 November 2026 in UTC, in seconds.
pub(crate) const NOVEMBER: i64 = OCTOBER + 31 * 86_400;

/// The calls of an entry.
const CALLS: u64 = 50;

/// A database of its own on the shared server.
pub(crate) struct OnServer {
    pub(crate) server: &'static PostgresServer,
    pub(crate) database: String,
}

impl OnServer {
    /// Empty. `None` if PostgreSQL is not installed; in CI that is a failure.
    pub(crate) fn new() -> Option<Self> {
        let server = PostgresServer::shared()?;
        Some(Self { server, database: server.database() })
    }

    pub(crate) fn location(&self) -> Location {
        self.server.address(&self.database).into()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.server.client(&self.database).execute(sql).unwrap();
    }

    /// The rows of a query as one text.
    pub(crate) fn rows(&self, sql: &str) -> String {
        let rows = self.server.client(&self.database).rows(sql).unwrap();
        let row = |row: Vec<Option<String>>| {
            row.into_iter().map(|value| value.unwrap_or_else(|| "NULL".to_owned())).collect()
        };
        rows.into_iter().map(row).map(|row: Vec<_>| row.join("|") + "\n").collect()
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&on_postgres(self.server, &self.database)).await.unwrap()
    }

    /// With the tables, and partitions for October and November.
    pub(crate) async fn make(&self) -> Store {
        let store = self.open().await;
        for (name, from, to) in
            [("2026_10", "2026-10", "2026-11"), ("2026_11", "2026-11", "2026-12")]
        {
            self.execute(&format!(
                r#"CREATE TABLE IF NOT EXISTS "ProviderLogs_{name}" PARTITION OF "ProviderLogs"
                    FOR VALUES FROM ('{from}') TO ('{to}')"#
            ));
        }
        store
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        self.server.forget(&self.database);
    }
}

/// A call each ten minutes, some of them late, and the sixth by a clock that was wrong.
fn logged(number: u64) -> ProviderCall {
    let late = if number % 7 == 3 { 7_200 } else { 0 };
    let at = OCTOBER.unsigned_abs() + number * 600 - late;
    let (has_failed, rescue) = (number % 10 == 8, number % 10 == 9);
    ProviderCall {
        requested_at: match number {
            5 => SystemTime::UNIX_EPOCH,
            _ => SystemTime::UNIX_EPOCH + Duration::from_millis(at * 1_000 + number % 997),
        },
        provider: if rescue { Provider::Premium } else { Provider::SuperCar },
        duration: Duration::from_millis(number * 37 % 9_000),
        response_code: (!has_failed).then_some(200),
        error: has_failed.then(|| (ErrorCode::Timeout, format!("no answer, “{number}”"))),
        outcome: if has_failed { CallOutcome::Failure } else { CallOutcome::Success },
        rescue,
        ..call(&format!("V{}", number % 40))
    }
}

/// Commits so many calls, 50 by 50: each is a record of the hash chain.
pub(crate) async fn commit(store: &Store, calls: u64) {
    commit_all(store, 0..calls).await;
}

/// As [`commit`], those of these numbers: another number is another time.
pub(crate) async fn commit_all(store: &Store, numbers: Range<u64>) {
    for first in numbers.step_by(50) {
        let calls = (first..first + CALLS).map(logged).collect();
        let entry = Entry { valuation: None, calls };
        in_time("a commit", store.commit(entry)).await.unwrap();
    }
}

/// The same log in a file.
pub(crate) async fn in_a_file(calls: u64) -> Place {
    let place = Place::new();
    let config = place.config_with(|file| file.durability = Durability::Normal);
    let store = Store::open(&config).await.unwrap();
    commit(&store, calls).await;
    store.shutdown().await;
    place
}

/// Runs what blocks.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    in_time("a blocking call", tokio::task::spawn_blocking(work)).await.unwrap()
}
