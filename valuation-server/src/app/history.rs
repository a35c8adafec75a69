//! What the operator's page shows of the history: the last hour, and the current day with its costs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use failover::Route;
use failover::clock::CoarseClock;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::switch::Providers;
use super::transition::provider;
use crate::domain::{Counts, Provider};
use crate::store::{HistoryRow, Span, Store, StoreError};
use crate::telemetry::ProviderCalls;

const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long after an interval other servers on the same database have added to it.
const SETTLED: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The names of the history's sources: the failover, and the providers.
pub(super) const SOURCES: [&str; 1 + Provider::ALL.len()] =
    [FAILOVER, Provider::ALL[0].name(), Provider::ALL[1].name()];
/// The failover's calls are those of its primary that it counts.
const FAILOVER: &str = Providers::<CoarseClock>::NAME;

/// The counts of all [`SOURCES`] since the start.
pub(super) type Totals = [Counts; SOURCES.len()];

/// The history. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) store: Store,
    pub(super) calls: ProviderCalls,
    day: Arc<Mutex<Day>>,
}

/// What is known of the current day.
#[derive(Clone, Debug)]
struct Day {
    /// Its start.
    began: SystemTime,
    /// The database's sums of the day until [`SETTLED`] ago, by source.
    settled: BTreeMap<String, Counts>,
    /// Until when that is.
    until: SystemTime,
    /// The sums since.
    recent: BTreeMap<String, Counts>,
    /// The totals of this process that are part of these sums.
    included: Totals,
    /// The last hour, if it was read since the last row.
    hour: Option<Arc<[HistoryRow]>>,
}

impl Day {
    fn new(began: SystemTime) -> Self {
        let (settled, recent) = (BTreeMap::new(), BTreeMap::new());
        Self { began, settled, until: began, recent, included: Totals::default(), hour: None }
    }

    /// Reads what was added since the last time: a few rows, or at the start the whole day, an hour at a
    /// time, so that no reader of the database is in use for long.
    async fn reread(&mut self, now: SystemTime, store: &Store) -> Result<(), StoreError> {
        let settled = now.checked_sub(SETTLED).unwrap_or(UNIX_EPOCH);
        while self.until < settled {
            let end = settled.min(self.until + HOUR);
            for (source, counts) in store.history_totals(self.until..end).await? {
                *self.settled.entry(source).or_default() += &counts;
            }
            self.until = end;
        }
        self.recent = store.history_totals(self.until..now + HOUR).await?;
        Ok(())
    }
}

impl History {
    pub(super) fn new(store: Store, calls: ProviderCalls) -> Self {
        let day = Arc::new(Mutex::new(Day::new(midnight(SystemTime::now()))));
        Self { store, calls, day }
    }

    /// The last hour. Reads the database at most once in ten seconds, some milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub(super) async fn last_hour(&self) -> Result<Arc<[HistoryRow]>, StoreError> {
        if let Some(hour) = self.day().hour.clone() {
            return Ok(hour);
        }
        let began = SystemTime::now().checked_sub(HOUR).unwrap_or(UNIX_EPOCH);
        let hour: Arc<[_]> = self.store.history(Span::TenSeconds, began).await?.into();
        self.day().hour = Some(Arc::clone(&hour));
        Ok(hour)
    }

    /// The sums of the current day, by source; those of other servers on the database are up to ten
    /// seconds old. Reads no database.
    pub(super) fn today(&self) -> BTreeMap<String, Counts> {
        let began = midnight(SystemTime::now());
        let day = self.day();
        let mut counts = BTreeMap::<String, Counts>::new();
        // For a moment after midnight it is the day before.
        if day.began == began {
            let live = self.totals(0);
            let live = live.iter().zip(&day.included).map(|(now, before)| now.since(before));
            let live: Vec<_> = SOURCES.into_iter().zip(live).collect();
            let stored = day.settled.iter().chain(&day.recent);
            let stored = stored.map(|(source, counts)| (source.as_str(), counts));
            for (source, more) in
                stored.chain(live.iter().map(|(source, counts)| (*source, counts)))
            {
                *counts.entry(source.to_owned()).or_default() += more;
            }
        }
        counts
    }

    /// Reads what the database has of the current day, off the runtime's threads. `included` of this
    /// process's totals are part of that.
    pub(super) async fn reread_day(&self, included: Totals) {
        let now = SystemTime::now();
        let (store, mut day) = (self.store.clone(), self.day().clone());
        // After a step back of the clock rows may be added to the time that counts as settled.
        if day.began != midnight(now) || day.until > now {
            day = Day::new(midnight(now));
        }
        (day.included, day.hour) = (included, None);
        let reread = async move { day.reread(now, &store).await.map(|()| day) };
        let runtime = Handle::current();
        match spawn_blocking(move || runtime.block_on(reread)).await {
            Ok(Ok(day)) => *self.day() = day,
            Ok(Err(error)) => tracing::debug!(%error, "the history cannot be read now"),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }

    /// All counts of this process.
    pub(super) fn totals(&self, fallback_ms: u64) -> Totals {
        let mut counted = self.calls.counted(provider(Route::Primary));
        counted.fallback_ms = fallback_ms;
        let [first, second] = Provider::ALL.map(|provider| self.calls.totals(provider));
        [counted, first, second]
    }

    // It is only replaced as a whole, so poisoning is ignored.
    fn day(&self) -> MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The start of the day in UTC.
fn midnight(now: SystemTime) -> SystemTime {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds - seconds % DAY.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(midnight(at(86_400_000 * 3 + 5)), at(86_400_000 * 3));
    }
}
