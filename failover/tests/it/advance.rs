//! Time that passes by the handle, while the clock stands still. The property is `model`'s.

use std::future::{pending, ready};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock, FineClock, ManualClock, Moment};
use failover::monitor::KeyedMonitors;
use failover::policy::{Backoff, Probing, RetryAfter, StallLimit};
use failover::{FailoverLayer, Monitor, Outcome, Policy, Ratio, Route, State};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched, counts, ratio};

const MINUTE: Duration = Duration::from_secs(60);

fn trip<C: Clock>(monitor: &Monitor<C>) {
    while let Some(ticket) = monitor.admit().ticket() {
        monitor.record(ticket, Outcome::Failure);
    }
}

/// The revert, and a call that began before.
fn reverts_on<C: Clock>(clock: C) {
    let monitor = Monitor::with_clock(Policy::default(), clock);
    let handle = monitor.handle();
    for _ in 0..3 {
        trip(&monitor);
        let epoch = handle.snapshot().epoch;
        handle.advance(299 * SECOND);
        assert_eq!((monitor.route(), handle.snapshot().epoch), (Route::Fallback, epoch));
        assert!(handle.snapshot().reverts_in.unwrap() <= SECOND + Duration::from_millis(1));
        handle.advance(SECOND);
        assert_eq!(monitor.route(), Route::Primary);
        let in_flight = monitor.admit().ticket().unwrap();
        handle.advance(MINUTE);
        monitor.record(in_flight, Outcome::Failure);
        assert_eq!(handle.snapshot().tally.failures, 1);
        handle.advance(MINUTE);
        assert_eq!(handle.snapshot().tally.failures, 0);
    }
}

#[test]
fn calls_return_on_every_clock_and_calls_in_flight_still_count() {
    reverts_on(CoarseClock);
    reverts_on(FineClock);
    // At its zero, and far beyond what a signed number of nanoseconds holds.
    reverts_on(ManualClock::new());
    let late = ManualClock::new();
    late.set(Moment::from_nanos(u64::MAX - 1_000));
    reverts_on(late);
    #[cfg(feature = "tokio")]
    reverts_on(failover::clock::TokioClock::new());
}

/// Each step is rounded up on the way, their sum once. On a clock that moves, and on one that does not
/// stand at a whole millisecond.
#[test]
fn small_steps_sum_up_and_no_time_moves_nothing() {
    let clock = ManualClock::new();
    clock.set(Moment::from_nanos(1_300_000));
    let monitor = Monitor::with_clock(Policy::default(), clock.clone());
    let milli = Duration::from_millis(1);
    for round in 0..3 {
        clock.advance(Duration::from_nanos(123_457));
        trip(&monitor);
        let left = || monitor.handle().snapshot().reverts_in.unwrap();
        let before = left();
        let mut real = Duration::ZERO;
        let mut asked = Duration::ZERO;
        for step in [milli, Duration::from_nanos(1), Duration::from_micros(1_700)] {
            for _ in 0..1_000 {
                monitor.handle().advance(step);
                let tick = Duration::from_nanos(777 * round);
                clock.advance(tick);
                real += tick;
                asked += step;
                let passed = before - left() - real;
                assert!(asked <= passed && passed < asked + milli, "{round}: {passed:?}");
            }
        }
        let before = left();
        for _ in 0..10 {
            monitor.handle().advance(Duration::ZERO);
        }
        assert_eq!(left(), before);
        // All steps together are as long as the time.
        monitor.handle().advance(300 * SECOND - asked - 10 * milli);
        assert_eq!(monitor.route(), Route::Fallback);
        monitor.handle().advance(10 * milli);
        assert_eq!(monitor.route(), Route::Primary);
    }
}

#[test]
fn the_window_expires_bucket_by_bucket() {
    let watched = Watched::new(Policy::default());
    watched.fail(2);
    watched.handle().advance(30 * SECOND);
    watched.succeed(5);
    assert_eq!(counts(watched.tally()), (2, 5));
    watched.handle().advance(30 * SECOND);
    assert_eq!(counts(watched.tally()), (0, 5));
    watched.clock.advance(30 * SECOND);
    assert_eq!(counts(watched.tally()), (0, 0));
}

#[test]
fn probing_its_leases_and_the_ramp_see_the_time() {
    let probing = Probing::new(1).successes(1).lease(10 * SECOND);
    let policy = Policy::builder().probing(probing).ramp_up(ratio(1, 2), MINUTE);
    let watched = Watched::new(policy.build().unwrap());
    watched.trip();
    watched.handle().advance(300 * SECOND);
    let hung = watched.ticket();
    assert!(watched.monitor.admit().ticket().is_none(), "one permit");
    watched.handle().advance(10 * SECOND);
    watched.call(Outcome::Success);
    drop(hung);
    assert_eq!(watched.snapshot().state, State::Ramping);
    watched.handle().advance(MINUTE);
    assert_eq!(watched.snapshot().state, State::Primary);
}

#[test]
fn the_backoff_is_reset_and_a_retry_after_ends() {
    let backoff = Backoff::new(Ratio::new(2, 1).unwrap()).max(3_600 * SECOND).reset_after(MINUTE);
    let policy = Policy::builder().revert_after(10 * SECOND).backoff(backoff);
    let hints = RetryAfter::between(SECOND, 3_600 * SECOND);
    let watched = Watched::new(policy.retry_after(hints).build().unwrap());
    let stay = |back: u32| {
        watched.handle().advance(SECOND * back);
        watched.trip();
        let stay = watched.snapshot().reverts_in.unwrap();
        watched.handle().advance(stay);
        // Makes the revert.
        drop(watched.ticket());
        stay
    };
    assert_eq!([0, 0, 60, 120].map(stay), [10, 20, 20, 10].map(|seconds| SECOND * seconds));
    watched.call(Outcome::RetryAfter(100 * SECOND));
    assert_eq!(stay(30), 70 * SECOND);
}

#[test]
fn calls_in_flight_become_slow_and_stalled() {
    let policy = Policy::builder().stalled_calls(2 * SECOND, StallLimit::Calls(2));
    let watched = Watched::new(policy.build().unwrap());
    let _hanging = [watched.ticket(), watched.ticket()];
    watched.handle().advance(SECOND);
    assert!(watched.monitor.admit().ticket().is_some());
    watched.handle().advance(2 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 2);
    assert!(watched.monitor.admit().ticket().is_none());
    assert_eq!(watched.route(), Route::Fallback);
}

/// Sleeps never.
#[derive(Clone)]
struct Mute(ManualClock);

impl Clock for Mute {
    fn now(&self) -> Moment {
        self.0.now()
    }
}

fn a_waiting_call_is_woken_on(clock: impl Clock) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicUsize);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let busy = service_fn(|()| pending::<Result<&str, &str>>());
    let busy = tower::limit::ConcurrencyLimit::new(busy, 1);
    let primary = service_fn(|()| ready(Ok::<_, &str>("primary")));
    let layer = FailoverLayer::with_fallback(busy, Policy::default()).clock(clock);
    let mut service = layer.layer(primary);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);

    service.handle().force(Route::Fallback);
    assert!(service.poll_ready(&mut context).is_ready());
    let _hung = service.call(());
    service.handle().release();
    service.handle().restore(&tripped(), Duration::ZERO);
    assert!(service.poll_ready(&mut context).is_pending());
    for (passed, is_ready) in [(299, false), (2, true)] {
        let before = wakes.0.load(Ordering::Relaxed);
        service.handle().advance(passed * SECOND);
        assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1);
        assert_eq!(service.poll_ready(&mut context).is_ready(), is_ready);
    }
    assert_eq!(service.handle().snapshot().route, Route::Primary);
}

fn tripped() -> failover::monitor::Saved {
    let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
    trip(&monitor);
    monitor.handle().save()
}

#[test]
fn calls_that_wait_are_woken_and_go_on() {
    a_waiting_call_is_woken_on(CoarseClock);
    a_waiting_call_is_woken_on(FineClock);
    a_waiting_call_is_woken_on(ManualClock::new());
    a_waiting_call_is_woken_on(Mute(ManualClock::new()));
}

#[test]
fn no_advance_passes_the_end_of_time_and_the_clock_goes_on_after_it() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    for _ in 0..3 {
        watched.handle().advance(Duration::MAX);
        assert_eq!(watched.snapshot().state, State::Primary);
        watched.clock.advance(MINUTE);
        watched.fail(1);
        assert_eq!(watched.tally().failures, 1);
        assert_eq!(watched.route(), Route::Primary);
    }
}

#[test]
fn the_time_of_one_key_passes_alone() {
    let monitors = KeyedMonitors::new(Policy::default(), 10.try_into().unwrap());
    let [one, other] = ["one", "other"].map(|key| monitors.monitor(&key));
    trip(&one);
    trip(&other);
    one.handle().advance(301 * SECOND);
    assert_eq!((one.route(), other.route()), (Route::Primary, Route::Fallback));
}

/// The engine is reused, its advance is not.
#[test]
fn the_next_failover_begins_at_its_own_time() {
    for _ in 0..3 {
        let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
        trip(&monitor);
        let left = monitor.handle().snapshot().reverts_in;
        assert_eq!(left, Some(300 * SECOND));
        monitor.handle().advance(100 * SECOND);
    }
}
