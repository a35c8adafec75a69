//! How long Premium has stood in for SuperCar: one stay on the fallback, over its epochs.
//!
//! With a SuperCar that stays down calls return every few minutes, fail and trip again. Such returns do
//! not end the stay: it ends when the primary has been the route for longer than [`HOLD`] windows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover::clock::{Clock, Moment};
use failover::{FailoverHandle, Route};

/// A trip takes the calls of one window. Twice that, since calls may come slowly.
const HOLD: u32 = 2;

/// The current stay on the fallback, by any cause.
#[derive(Debug)]
pub(super) struct Coverage<Clk> {
    clock: Clk,
    /// From this length on it is reported.
    limit: Mutex<Option<Duration>>,
    stay: Mutex<Option<Stay>>,
}

/// A stay on the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    /// How long it had lasted before this process.
    before: Duration,
    since: Moment,
    /// When the fallback was the route, as far as was seen.
    last: Moment,
    reported: bool,
}

/// What is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The stay is longer than the limit.
    Began(Duration),
    /// A reported stay is over.
    Ended(Duration),
}

impl<Clk: Clock> Coverage<Clk> {
    /// Stays that are longer than `limit` are reported; none without it.
    pub(super) fn new(clock: Clk, limit: Option<Duration>) -> Self {
        Self { clock, limit: Mutex::new(limit), stay: Mutex::default() }
    }

    /// Reports stays that are longer than this from now on.
    pub(super) fn set_limit(&self, limit: Option<Duration>) {
        *self.limit() = limit;
    }

    /// The fallback is the route: a stay begins or goes on.
    pub(super) fn on_fallback(&self) {
        self.begin(Duration::ZERO);
    }

    /// Continues a stay of before a restart, which had lasted so long.
    pub(super) fn resume(&self, before: Duration) {
        *self.stay() = None;
        self.begin(before);
    }

    /// Looks at the route, for a stay that begins, goes on or ends. To be called every few seconds.
    pub(super) fn look(&self, handle: &FailoverHandle) -> Option<Change> {
        if handle.snapshot().route == Route::Fallback {
            self.on_fallback();
        }
        let now = self.clock.now();
        let mut current = self.stay();
        let stay = current.as_mut()?;
        let (lasted, reported) = (stay.lasted(), stay.reported);
        if stay.is_over(now, handle) {
            *current = None;
            return reported.then_some(Change::Ended(lasted));
        }
        let too_long = self.limit().is_some_and(|limit| lasted > limit);
        stay.reported |= too_long;
        (too_long && !reported).then_some(Change::Began(lasted))
    }

    /// How long the stay has lasted; zero without one. Does not grow during a return to the primary
    /// that has not held yet.
    pub(super) fn lasted(&self, handle: &FailoverHandle) -> Duration {
        let (now, on_fallback) = (self.clock.now(), handle.snapshot().route == Route::Fallback);
        match *self.stay() {
            Some(stay) if on_fallback => Stay { last: now, ..stay }.lasted(),
            Some(stay) if !stay.is_over(now, handle) => stay.lasted(),
            _ => Duration::ZERO,
        }
    }

    /// The same, if it is longer than the limit.
    pub(super) fn too_long(&self, handle: &FailoverHandle) -> Option<Duration> {
        let lasted = self.lasted(handle);
        self.limit().is_some_and(|limit| lasted > limit).then_some(lasted)
    }

    /// Differs for each stay; `None` without one.
    pub(super) fn id(&self) -> Option<(Duration, Moment)> {
        self.stay().map(|stay| (stay.before, stay.since))
    }

    fn begin(&self, before: Duration) {
        let now = self.clock.now();
        let new = Stay { before, since: now, last: now, reported: false };
        self.stay().get_or_insert(new).last = now;
    }

    // As below.
    fn limit(&self) -> MutexGuard<'_, Option<Duration>> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Each change is a whole assignment, so poison is ignored.
    fn stay(&self) -> MutexGuard<'_, Option<Stay>> {
        self.stay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stay {
    fn lasted(&self) -> Duration {
        self.before.saturating_add(between(self.since, self.last))
    }

    /// Whether calls have been back on the primary for long enough.
    fn is_over(&self, now: Moment, handle: &FailoverHandle) -> bool {
        between(self.last, now) > handle.policy().window().saturating_mul(HOLD)
    }
}

/// The time from one moment to another; zero if it is not later.
pub(super) fn between(earlier: Moment, later: Moment) -> Duration {
    Duration::from_nanos(later.as_nanos().saturating_sub(earlier.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use failover::clock::ManualClock;
    use failover::{Monitor, Outcome, Policy};

    const MINUTE: Duration = Duration::from_secs(60);

    struct Rig {
        clock: ManualClock,
        monitor: Monitor<ManualClock>,
        coverage: Coverage<ManualClock>,
    }

    impl Rig {
        /// Reported after an hour; a window of a minute.
        fn new() -> Self {
            let clock = ManualClock::new();
            let policy = Policy::builder().minimum_calls(2).window(MINUTE, 6);
            let policy = policy.revert_after(5 * MINUTE).build().unwrap();
            let monitor = Monitor::with_clock(policy, clock.clone());
            let coverage = Coverage::new(clock.clone(), Some(60 * MINUTE));
            Self { clock, monitor, coverage }
        }

        /// Lets minutes pass, with a look every ten seconds, and gives what is to be reported.
        fn pass(&self, minutes: u32, fails: bool) -> Vec<Change> {
            let mut changes = Vec::new();
            for _ in 0..minutes * 6 {
                self.clock.advance(MINUTE / 6);
                if let Some(ticket) = self.monitor.admit().ticket() {
                    let outcome = if fails { Outcome::Failure } else { Outcome::Success };
                    self.monitor.record(ticket, outcome);
                }
                changes.extend(self.coverage.look(&self.monitor.handle()));
            }
            changes
        }

        fn lasted(&self) -> Duration {
            self.coverage.lasted(&self.monitor.handle())
        }
    }

    #[test]
    fn returns_that_trip_again_do_not_end_a_stay_and_it_is_reported_once() {
        let rig = Rig::new();
        assert_eq!(rig.pass(60, true), []);
        let changes = rig.pass(60, true);
        assert!(matches!(changes[..], [Change::Began(lasted)] if lasted > 60 * MINUTE));
        assert!(rig.monitor.handle().snapshot().epoch > 20, "many epochs");
        assert!(rig.lasted() > 119 * MINUTE, "{:?}", rig.lasted());
        assert!(rig.coverage.too_long(&rig.monitor.handle()).is_some());
    }

    #[test]
    fn a_return_that_holds_ends_it_and_a_reported_one_is_reported_again() {
        let rig = Rig::new();
        rig.pass(10, true);
        assert_ne!(rig.lasted(), Duration::ZERO);
        assert_eq!(rig.pass(10, false), [], "it was short");
        assert_eq!(rig.lasted(), Duration::ZERO);
        assert_eq!(rig.coverage.id(), None);
        rig.pass(70, true);
        let before = rig.lasted();
        let changes = rig.pass(10, false);
        assert!(matches!(changes[..], [Change::Ended(lasted)] if lasted >= before), "{changes:?}");
    }

    #[test]
    fn a_stay_without_calls_ends_when_its_revert_is_due() {
        let rig = Rig::new();
        rig.pass(1, true);
        for _ in 0..60 {
            rig.clock.advance(MINUTE / 4);
            rig.coverage.look(&rig.monitor.handle());
        }
        assert_eq!(rig.lasted(), Duration::ZERO);
    }

    #[test]
    fn a_stay_of_before_a_restart_goes_on() {
        let rig = Rig::new();
        rig.monitor.handle().force(Route::Fallback);
        rig.coverage.on_fallback();
        rig.coverage.resume(59 * MINUTE);
        assert_eq!(rig.pass(1, true), []);
        assert!(matches!(rig.pass(1, true)[..], [Change::Began(_)]));
        assert_eq!(rig.lasted(), 61 * MINUTE);
    }

    #[test]
    fn without_a_limit_nothing_is_reported_and_its_length_is_known() {
        let rig = Rig::new();
        let coverage = Coverage::new(rig.clock.clone(), None);
        rig.monitor.handle().force(Route::Fallback);
        coverage.on_fallback();
        rig.clock.advance(600 * MINUTE);
        assert_eq!(coverage.look(&rig.monitor.handle()), None);
        assert_eq!(coverage.too_long(&rig.monitor.handle()), None);
        assert_eq!(coverage.lasted(&rig.monitor.handle()), 600 * MINUTE);
    }
}
