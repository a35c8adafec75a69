//! Records the history, and reads it for the operator's page.
//!
//! Every ten seconds of wall-clock time the counts since the last row go to the database: those of the
//! failover, which are the primary's calls that it counts, and those of each provider. If they can't be
//! stored, they are part of the next row. Once an hour, and at the start, old rows are thinned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use failover::clock::{Clock, CoarseClock, Moment};
use failover::{Event, FailoverHandle, Route, Snapshot};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::switch::Providers;
use super::transition::provider;
use crate::domain::{Counts, Provider};
use crate::store::{HistoryRow, Span, Store, StoreError};
use crate::telemetry::ProviderCalls;

/// How often a row is written.
const EVERY: Duration = Duration::from_secs(Span::TenSeconds.seconds() as u64);
/// How often old rows are thinned.
const THIN_EVERY: Duration = HOUR;
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long after an interval other servers on the same database have added to it.
const SETTLED: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The names of the history's sources: the failover, and the providers.
const SOURCES: [&str; 1 + Provider::ALL.len()] =
    [FAILOVER, Provider::ALL[0].name(), Provider::ALL[1].name()];
const FAILOVER: &str = Providers::<CoarseClock>::NAME;

/// The counts of all [`SOURCES`] since the start.
type Totals = [Counts; SOURCES.len()];

/// The history. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct History {
    store: Store,
    calls: ProviderCalls,
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
    fn reread(&mut self, now: SystemTime, store: &Store) -> Result<(), StoreError> {
        let settled = now.checked_sub(SETTLED).unwrap_or(UNIX_EPOCH);
        while self.until < settled {
            let end = settled.min(self.until + HOUR);
            for (source, counts) in store.history_totals(self.until..end)? {
                *self.settled.entry(source).or_default() += &counts;
            }
            self.until = end;
        }
        self.recent = store.history_totals(self.until..now + HOUR)?;
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
    pub(super) fn last_hour(&self) -> Result<Arc<[HistoryRow]>, StoreError> {
        if let Some(hour) = self.day().hour.clone() {
            return Ok(hour);
        }
        let began = SystemTime::now().checked_sub(HOUR).unwrap_or(UNIX_EPOCH);
        let hour: Arc<[_]> = self.store.history(Span::TenSeconds, began)?.into();
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

    /// All counts of this process.
    fn totals(&self, fallback_ms: u64) -> Totals {
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

/// Writes the history.
#[derive(Debug)]
pub(super) struct Recorder<Clk: Clock> {
    history: History,
    handle: FailoverHandle<Clk>,
    clock: Clk,
    fallback: FallbackTime,
    /// The totals that the database has.
    written: Totals,
    /// When the last row was due.
    ticked: Instant,
}

impl<Clk: Clock> Recorder<Clk> {
    pub(super) fn new(history: History, providers: &Providers<Clk>) -> Self {
        Self {
            history,
            handle: providers.handle(),
            clock: providers.attempts.clock.clone(),
            fallback: FallbackTime::default(),
            written: Totals::default(),
            ticked: Instant::now(),
        }
    }

    /// Writes until `stop`, and once more then.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let transition = Arc::new(Notify::new());
        let observed = Arc::clone(&transition);
        self.handle.observe(move |_: &Event| observed.notify_one());
        let mut thinning = Instant::now();
        let mut tick = Instant::now();
        loop {
            self.observe_route();
            tokio::select! {
                () = stop.cancelled() => return self.write().await,
                () = transition.notified() => continue,
                () = sleep_until(tick) => {}
            }
            self.write().await;
            self.reread_day().await;
            if Instant::now() >= thinning && self.thin(&stop).await {
                thinning = Instant::now() + THIN_EVERY;
            }
            tick = Instant::now() + until_next(SystemTime::now());
        }
    }

    fn observe_route(&mut self) {
        self.fallback.observe(self.clock.now(), &self.handle.snapshot());
    }

    /// Writes what was counted since the last row, if there was anything.
    async fn write(&mut self) {
        self.observe_route();
        // The middle of the time since the last row is in the right interval even if a timer is late, or
        // the wall clock was stepped meanwhile.
        let elapsed = self.ticked.elapsed();
        self.ticked += elapsed;
        let at = SystemTime::now().checked_sub(elapsed / 2).unwrap_or(UNIX_EPOCH);
        let totals = self.history.totals(self.fallback.milliseconds());
        let counted = totals.iter().zip(&self.written).map(|(now, before)| now.since(before));
        let rows: Vec<_> = SOURCES
            .into_iter()
            .zip(counted)
            .filter(|(_, counts)| *counts != Counts::ZERO)
            .collect();
        if rows.is_empty() {
            return;
        }
        match self.history.store.record(at, rows).await {
            Ok(()) => self.written = totals,
            // The store has logged its cause.
            Err(error) => tracing::debug!(%error, "the history cannot be written now"),
        }
    }

    /// Reads what the database has of the current day, off the runtime's threads.
    async fn reread_day(&self) {
        let now = SystemTime::now();
        let (store, mut day) = (self.history.store.clone(), self.history.day().clone());
        // After a step back of the clock rows may be added to the time that counts as settled.
        if day.began != midnight(now) || day.until > now {
            day = Day::new(midnight(now));
        }
        (day.included, day.hour) = (self.written, None);
        match spawn_blocking(move || day.reread(now, &store).map(|()| day)).await {
            Ok(Ok(day)) => *self.history.day() = day,
            Ok(Err(error)) => tracing::debug!(%error, "the history cannot be read now"),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }

    /// Thins all that is due, and says whether that is done.
    async fn thin(&self, stop: &CancellationToken) -> bool {
        while !stop.is_cancelled() {
            match self.history.store.thin_history(SystemTime::now()).await {
                Ok(true) => {}
                Ok(false) => return true,
                Err(error) => {
                    tracing::debug!(%error, "the history cannot be thinned now");
                    return false;
                }
            }
        }
        false
    }
}

/// The time that the route was the fallback since the start.
#[derive(Debug, Default)]
struct FallbackTime {
    total: Duration,
    /// When it was last seen to be the fallback, and when it will no longer be.
    on: Option<(Moment, Option<Moment>)>,
}

impl FallbackTime {
    /// Call it at each transition, and from time to time. A timed revert needs no call.
    fn observe(&mut self, now: Moment, snapshot: &Snapshot) {
        let is_on = snapshot.route == Route::Fallback;
        if let Some((since, until)) = self.on {
            let end = if is_on { now } else { until.map_or(now, |until| now.min(until)) };
            let nanos = end.as_nanos().saturating_sub(since.as_nanos());
            self.total += Duration::from_nanos(nanos);
        }
        let until = snapshot.reverts_in.map(|left| {
            let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            Moment::from_nanos(now.as_nanos().saturating_add(left))
        });
        self.on = is_on.then_some((now, until));
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.total.as_millis()).unwrap_or(u64::MAX)
    }
}

/// How long until the next whole ten seconds.
fn until_next(now: SystemTime) -> Duration {
    let every = EVERY.as_nanos();
    let past = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() % every);
    Duration::from_nanos(u64::try_from(every - past).unwrap_or(0))
}

/// The start of the day in UTC.
fn midnight(now: SystemTime) -> SystemTime {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds - seconds % DAY.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallOutcome, Entry, ProviderCall, Vrm};
    use crate::store::StoreConfig;
    use failover::clock::ManualClock;
    use failover::{Monitor, Outcome, Policy};

    const ON_THE_FALLBACK: Duration = Duration::from_secs(300);

    struct Place {
        recorder: Recorder<ManualClock>,
        monitor: Monitor<ManualClock>,
        clock: ManualClock,
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&StoreConfig::new(folder.path().join("v.sqlite"))).unwrap();
            let clock = ManualClock::new();
            let policy = Policy::builder().minimum_calls(2).revert_after(ON_THE_FALLBACK);
            let monitor = Monitor::with_clock(policy.build().unwrap(), clock.clone());
            let recorder = Recorder {
                history: History::new(store, ProviderCalls::default()),
                handle: monitor.handle(),
                clock: clock.clone(),
                fallback: FallbackTime::default(),
                written: Totals::default(),
                ticked: Instant::now(),
            };
            Self { recorder, monitor, clock, folder }
        }

        fn note(&self, provider: Provider, outcome: CallOutcome, rescue: bool) {
            self.recorder.history.calls.note(&call(provider, outcome, rescue));
        }

        fn trip(&mut self) {
            for _ in 0..2 {
                let ticket = self.monitor.admit().ticket().unwrap();
                self.monitor.record(ticket, Outcome::Failure);
            }
            self.recorder.observe_route();
        }

        fn advance(&self, seconds: u64) {
            self.clock.advance(Duration::from_secs(seconds));
        }

        fn store(&self) -> &Store {
            &self.recorder.history.store
        }

        /// Calls, failures, rescues and seconds on the fallback of each source.
        fn stored(&self) -> Vec<(String, u64, u64, u64, u64)> {
            let sums = self.store().history_totals(always()).unwrap();
            let seen = |(source, c): (String, Counts)| {
                (source, c.calls, c.failures, c.rescues, c.fallback_ms / 1_000)
            };
            sums.into_iter().map(seen).collect()
        }
    }

    fn always() -> std::ops::Range<SystemTime> {
        UNIX_EPOCH..UNIX_EPOCH + Duration::from_secs(1 << 40)
    }

    fn call(provider: Provider, outcome: CallOutcome, rescue: bool) -> ProviderCall {
        ProviderCall {
            vrm: Vrm::parse("A").unwrap(),
            provider,
            requested_at: UNIX_EPOCH,
            duration: Duration::from_millis(30),
            url: "x".repeat(1_000),
            response_code: None,
            error: None,
            outcome,
            rescue,
        }
    }

    const SUPERCAR: &str = "SuperCar Valuations";
    const PREMIUM: &str = "Premium Car Valuations";

    #[tokio::test]
    async fn a_row_has_what_was_counted_since_the_last_one_and_nothing_leaves_none() {
        let mut place = Place::new();
        place.recorder.write().await;
        assert_eq!(place.stored(), []);
        place.note(Provider::SuperCar, CallOutcome::Failure, false);
        place.note(Provider::SuperCar, CallOutcome::Ignored, false);
        place.note(Provider::Premium, CallOutcome::Success, true);
        place.recorder.write().await;
        place.recorder.write().await;
        let expected = [(PREMIUM, 1, 0, 1, 0), (SUPERCAR, 2, 1, 0, 0), (FAILOVER, 1, 1, 0, 0)];
        assert_eq!(
            place.stored(),
            expected.map(|(name, a, b, c, d)| (name.to_owned(), a, b, c, d))
        );
    }

    #[tokio::test]
    async fn the_time_on_the_fallback_ends_at_the_timed_revert_though_no_call_has_made_it_yet() {
        let mut place = Place::new();
        place.advance(100);
        place.trip();
        place.advance(10);
        place.recorder.write().await;
        assert_eq!(place.stored(), [(FAILOVER.to_owned(), 0, 0, 0, 10)]);
        // Half an hour later, without a call: 290 s of it were on the fallback.
        place.advance(1_800);
        place.recorder.write().await;
        assert_eq!(place.stored(), [(FAILOVER.to_owned(), 0, 0, 0, 300)]);
        // Forced: until released.
        place.recorder.handle.force(Route::Fallback);
        place.recorder.observe_route();
        place.advance(1_000);
        place.recorder.handle.release();
        place.recorder.observe_route();
        place.advance(1_000);
        place.recorder.write().await;
        assert_eq!(place.stored(), [(FAILOVER.to_owned(), 0, 0, 0, 1_300)]);
    }

    #[tokio::test]
    async fn counts_that_met_a_full_disk_are_part_of_the_next_row() {
        let mut place = Place::new();
        place.store().limit_pages(Some(1)).await;
        while place.store().can_store() {
            let calls = vec![call(Provider::SuperCar, CallOutcome::Success, false); 100];
            drop(place.store().commit(Entry { valuation: None, calls }).await);
        }
        place.note(Provider::Premium, CallOutcome::Failure, false);
        place.recorder.write().await;
        place.note(Provider::Premium, CallOutcome::Success, false);
        place.recorder.write().await;
        assert_eq!(place.stored(), []);
        place.store().limit_pages(None).await;
        while !place.store().can_store() {
            tokio::task::yield_now().await;
        }
        place.note(Provider::Premium, CallOutcome::Success, false);
        place.recorder.write().await;
        assert_eq!(place.stored(), [(PREMIUM.to_owned(), 3, 1, 0, 0)]);
    }

    #[tokio::test]
    async fn the_day_has_what_is_stored_and_what_is_not_yet() {
        let mut place = Place::new();
        place
            .store()
            .record(SystemTime::now(), vec![(PREMIUM, Counts { calls: 3, ..Counts::ZERO })])
            .await
            .unwrap();
        let yesterday = midnight(SystemTime::now()) - Duration::from_secs(1);
        let many = Counts { calls: 1_000, ..Counts::ZERO };
        place.store().record(yesterday, vec![(PREMIUM, many)]).await.unwrap();
        place.recorder.reread_day().await;
        let premium = |place: &Place| {
            let premium = place.recorder.history.today()[PREMIUM];
            (premium.calls, premium.rescues)
        };
        // Not in the second around midnight, in which the day's counts are not known yet.
        if place.recorder.history.day().began != midnight(SystemTime::now()) {
            return;
        }
        assert_eq!(premium(&place), (3, 0));
        place.note(Provider::Premium, CallOutcome::Success, true);
        assert_eq!(premium(&place), (4, 1));
        place.recorder.write().await;
        assert_eq!(premium(&place), (4, 1));
        place.recorder.reread_day().await;
        assert_eq!(premium(&place), (4, 1));
        let hour = place.recorder.history.last_hour().unwrap();
        let calls = hour.iter().filter(|row| row.source == PREMIUM).map(|row| row.counts.calls);
        assert!(calls.sum::<u64>() >= 4, "{hour:?}");
    }

    #[tokio::test]
    async fn at_the_stop_a_last_row_is_written_and_a_restart_in_the_same_interval_adds_to_it() {
        let place = Place::new();
        let stop = CancellationToken::new();
        place.note(Provider::SuperCar, CallOutcome::Success, false);
        let (history, store) = (place.recorder.history.clone(), place.store().clone());
        let keeping = tokio::spawn(place.recorder.keep(stop.clone()));
        while store.history(Span::TenSeconds, UNIX_EPOCH).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        history.calls.note(&call(Provider::SuperCar, CallOutcome::Success, false));
        stop.cancel();
        keeping.await.unwrap();
        store.shutdown().await;
        let store = Store::open(&StoreConfig::new(place.folder.path().join("v.sqlite"))).unwrap();
        let at = store.history(Span::TenSeconds, UNIX_EPOCH).unwrap()[0].at;
        let one = Counts { calls: 1, ..Counts::ZERO };
        let when = UNIX_EPOCH + Duration::from_secs(at + 9);
        store.record(when, vec![(SUPERCAR, one)]).await.unwrap();
        assert_eq!(store.history_totals(always()).unwrap()[SUPERCAR].calls, 3);
        let rows = store.history(Span::TenSeconds, when).unwrap();
        let in_it: Vec<_> = rows.iter().filter(|row| row.at == at).collect();
        assert_eq!(in_it.iter().filter(|row| row.source == SUPERCAR).count(), 1);
    }

    #[test]
    fn ticks_are_at_whole_ten_seconds_and_days_begin_at_midnight() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(until_next(at(20_000)), Duration::from_secs(10));
        assert_eq!(until_next(at(29_999)), Duration::from_millis(1));
        assert_eq!(until_next(UNIX_EPOCH - Duration::from_secs(3)), Duration::from_secs(10));
        assert_eq!(midnight(at(86_400_000 * 3 + 5)), at(86_400_000 * 3));
    }
}
