//! The clock that follows tokio's paused time.

use std::time::Duration;

use failover::clock::{Clock, CoarseClock, ManualClock, Moment, TokioClock, TokioTimer};
use failover::{Monitor, Outcome, Policy, Route};

use crate::common::SECOND;

fn trip(monitor: &Monitor<TokioClock>) {
    while let Some(ticket) = monitor.admit().ticket() {
        monitor.record(ticket, Outcome::Failure);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_reverts_when_tokio_says_that_the_time_is_over_and_not_before() {
    let monitor = Monitor::with_clock(Policy::default(), TokioClock::new());
    trip(&monitor);
    tokio::time::advance(300 * SECOND - Duration::from_millis(1)).await;
    assert_eq!(monitor.route(), Route::Fallback);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(monitor.route(), Route::Primary);
}

#[tokio::test(start_paused = true)]
async fn a_sleep_in_paused_time_moves_the_window() {
    let monitor = Monitor::with_clock(Policy::default(), TokioClock::new());
    monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    assert_eq!(monitor.handle().snapshot().tally.failures, 1);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(monitor.handle().snapshot().tally.failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_still_and_its_copies_agree() {
    let clock = TokioClock::default();
    let copy = clock;
    let before = clock.now();
    std::hint::black_box((0..10_000).sum::<u64>());
    assert_eq!((copy.now(), clock.now()), (before, before));
    tokio::time::advance(SECOND).await;
    assert_eq!(copy.now().as_nanos() - before.as_nanos(), 1_000_000_000);
}

#[test]
fn outside_a_runtime_it_is_the_systems_clock() {
    let clock = TokioClock::new();
    let (first, second) = (clock.now(), clock.now());
    assert!(first <= second);
    assert!(second.as_nanos() < 1_000_000_000_000);
}

/// The other clock decides when, and tokio's timer sleeps.
#[tokio::test(start_paused = true)]
async fn tokios_timer_wakes_calls_that_wait_on_another_clock() {
    let clock = ManualClock::new();
    let timer = TokioTimer::new(clock.clone());
    clock.advance(100 * SECOND);
    assert_eq!(timer.now(), clock.now());
    let began = tokio::time::Instant::now();
    timer.sleep_until(Moment::from_nanos(110_000_000_000)).expect("in a runtime").await;
    assert_eq!(began.elapsed(), 10 * SECOND);
    // A moment in the past.
    timer.sleep_until(Moment::from_nanos(7)).expect("in a runtime").await;
    assert_eq!(began.elapsed(), 10 * SECOND);
}

#[test]
fn outside_a_runtime_none_can_sleep() {
    assert!(TokioClock::new().sleep_until(Moment::default()).is_none());
    assert!(TokioTimer::new(CoarseClock).sleep_until(Moment::default()).is_none());
}
