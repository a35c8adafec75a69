//! Records the history.
//!
//! Every ten seconds of wall-clock time the counts since the last row go to the database: those of the
//! failover, which are the primary's calls that it counts, and those of each provider. If they can't be
//! stored, they are part of the next row. Once an hour, and at the start, old rows are thinned.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use failover::clock::{Clock, Moment};
use failover::{Event, FailoverHandle, Route, Snapshot};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::coverage::between;
use super::history::{History, SOURCES, Totals};
use super::switch::Providers;
use crate::domain::Counts;
use crate::store::Span;

/// How often a row is written.
const EVERY: Duration = Duration::from_secs(Span::TenSeconds.seconds() as u64);
/// How often old rows are thinned.
const THIN_EVERY: Duration = Duration::from_secs(60 * 60);

/// Writes the history.
#[derive(Debug)]
pub(super) struct Recorder<Clk: Clock> {
    history: History,
    handle: FailoverHandle,
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
            self.history.reread_day(self.written).await;
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
            self.total += between(since, end);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallOutcome, Entry, Provider, ProviderCall, Vrm};
    use crate::store::{Store, StoreConfig};
    use crate::telemetry::ProviderCalls;
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
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store =
                Store::open(&StoreConfig::new(folder.path().join("v.sqlite"))).await.unwrap();
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
        async fn stored(&self) -> Vec<(String, u64, u64, u64, u64)> {
            let sums = self.store().history_totals(always()).await.unwrap();
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

    const FAILOVER: &str = SOURCES[0];
    const SUPERCAR: &str = "SuperCar Valuations";
    const PREMIUM: &str = "Premium Car Valuations";

    #[tokio::test]
    async fn a_row_has_what_was_counted_since_the_last_one_and_nothing_leaves_none() {
        let mut place = Place::new().await;
        place.recorder.write().await;
        assert_eq!(place.stored().await, []);
        place.note(Provider::SuperCar, CallOutcome::Failure, false);
        place.note(Provider::SuperCar, CallOutcome::Ignored, false);
        place.note(Provider::Premium, CallOutcome::Success, true);
        place.recorder.write().await;
        place.recorder.write().await;
        let expected = [(PREMIUM, 1, 0, 1, 0), (SUPERCAR, 2, 1, 0, 0), (FAILOVER, 1, 1, 0, 0)];
        assert_eq!(
            place.stored().await,
            expected.map(|(name, a, b, c, d)| (name.to_owned(), a, b, c, d))
        );
    }

    #[tokio::test]
    async fn the_time_on_the_fallback_ends_at_the_timed_revert_though_no_call_has_made_it_yet() {
        let mut place = Place::new().await;
        place.advance(100);
        place.trip();
        place.advance(10);
        place.recorder.write().await;
        assert_eq!(place.stored().await, [(FAILOVER.to_owned(), 0, 0, 0, 10)]);
        // Half an hour later, without a call: 290 s of it were on the fallback.
        place.advance(1_800);
        place.recorder.write().await;
        assert_eq!(place.stored().await, [(FAILOVER.to_owned(), 0, 0, 0, 300)]);
        // Forced: until released.
        place.recorder.handle.force(Route::Fallback);
        place.recorder.observe_route();
        place.advance(1_000);
        place.recorder.handle.release();
        place.recorder.observe_route();
        place.advance(1_000);
        place.recorder.write().await;
        assert_eq!(place.stored().await, [(FAILOVER.to_owned(), 0, 0, 0, 1_300)]);
    }

    #[tokio::test]
    async fn counts_that_met_a_full_disk_are_part_of_the_next_row() {
        let mut place = Place::new().await;
        place.store().limit_pages(Some(1)).await;
        while place.store().can_store() {
            let calls = vec![call(Provider::SuperCar, CallOutcome::Success, false); 100];
            drop(place.store().commit(Entry { valuation: None, calls }).await);
        }
        place.note(Provider::Premium, CallOutcome::Failure, false);
        place.recorder.write().await;
        place.note(Provider::Premium, CallOutcome::Success, false);
        place.recorder.write().await;
        assert_eq!(place.stored().await, []);
        place.store().limit_pages(None).await;
        while !place.store().can_store() {
            tokio::task::yield_now().await;
        }
        place.note(Provider::Premium, CallOutcome::Success, false);
        place.recorder.write().await;
        assert_eq!(place.stored().await, [(PREMIUM.to_owned(), 3, 1, 0, 0)]);
    }

    #[tokio::test]
    async fn the_day_has_what_is_stored_and_what_is_not_yet() {
        let mut place = Place::new().await;
        let today = || UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
        let day = today();
        place
            .store()
            .record(SystemTime::now(), vec![(PREMIUM, Counts { calls: 3, ..Counts::ZERO })])
            .await
            .unwrap();
        let yesterday = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
        let many = Counts { calls: 1_000, ..Counts::ZERO };
        place.store().record(yesterday, vec![(PREMIUM, many)]).await.unwrap();
        place.recorder.history.reread_day(place.recorder.written).await;
        let premium = |place: &Place| {
            let premium = place.recorder.history.today()[PREMIUM];
            (premium.calls, premium.rescues)
        };
        let mut seen = vec![premium(&place)];
        place.note(Provider::Premium, CallOutcome::Success, true);
        seen.push(premium(&place));
        place.recorder.write().await;
        seen.push(premium(&place));
        place.recorder.history.reread_day(place.recorder.written).await;
        seen.push(premium(&place));
        // Midnight may have passed meanwhile.
        if today() == day {
            assert_eq!(seen, [(3, 0), (4, 1), (4, 1), (4, 1)]);
        }
        let hour = place.recorder.history.last_hour().await.unwrap();
        let calls = hour.iter().filter(|row| row.source == PREMIUM).map(|row| row.counts.calls);
        assert!(calls.sum::<u64>() >= 4, "{hour:?}");
    }

    #[tokio::test]
    async fn at_the_stop_a_last_row_is_written_and_a_restart_in_the_same_interval_adds_to_it() {
        let place = Place::new().await;
        let stop = CancellationToken::new();
        place.note(Provider::SuperCar, CallOutcome::Success, false);
        let (history, store) = (place.recorder.history.clone(), place.store().clone());
        let keeping = tokio::spawn(place.recorder.keep(stop.clone()));
        while store.history(Span::TenSeconds, UNIX_EPOCH).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        history.calls.note(&call(Provider::SuperCar, CallOutcome::Success, false));
        stop.cancel();
        keeping.await.unwrap();
        store.shutdown().await;
        let store =
            Store::open(&StoreConfig::new(place.folder.path().join("v.sqlite"))).await.unwrap();
        let at = store.history(Span::TenSeconds, UNIX_EPOCH).await.unwrap()[0].at;
        let one = Counts { calls: 1, ..Counts::ZERO };
        let when = UNIX_EPOCH + Duration::from_secs(at + 9);
        store.record(when, vec![(SUPERCAR, one)]).await.unwrap();
        assert_eq!(store.history_totals(always()).await.unwrap()[SUPERCAR].calls, 3);
        let rows = store.history(Span::TenSeconds, when).await.unwrap();
        let in_it: Vec<_> = rows.iter().filter(|row| row.at == at).collect();
        assert_eq!(in_it.iter().filter(|row| row.source == SUPERCAR).count(), 1);
    }

    #[test]
    fn ticks_are_at_whole_ten_seconds() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(until_next(at(20_000)), Duration::from_secs(10));
        assert_eq!(until_next(at(29_999)), Duration::from_millis(1));
        assert_eq!(until_next(UNIX_EPOCH - Duration::from_secs(3)), Duration::from_secs(10));
    }
}
