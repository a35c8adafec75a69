//! Clocks with tokio: paused time, and tokio's timer.

use std::any::Any;
use std::cell::RefCell;
use std::task::{Context, Waker};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock, FineClock, Moment, Sleep, TokioClock};
use failover::policy::StallLimit;
use failover::{Monitor, Outcome, Policy, Route};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

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

fn system_clocks(moment: impl Fn(Moment) -> Moment) -> [Option<Sleep>; 2] {
    [
        CoarseClock.sleep_until(moment(CoarseClock.now())),
        FineClock.sleep_until(moment(FineClock.now())),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_systems_clocks_sleep_on_tokios_timer_and_the_coarse_one_for_a_tick_longer() {
    let later = |moment: Moment| Moment::from_nanos(moment.as_nanos() + 10_000_000_000);
    let tick = Duration::from_millis(10);
    for (clock, lag) in [tick, Duration::ZERO].into_iter().enumerate() {
        let began = Instant::now();
        system_clocks(later)[clock].take().expect("in a runtime").await;
        let slept = began.elapsed();
        // tokio rounds up, and the clock went on between its two readings.
        let most = 10 * SECOND + lag + Duration::from_millis(1);
        assert!(most - SECOND < slept && slept <= most, "{slept:?}");
        let began = Instant::now();
        system_clocks(|_| Moment::default())[clock].take().expect("in a runtime").await;
        assert!(began.elapsed() <= lag + Duration::from_millis(1));
    }
}

#[test]
fn outside_a_runtime_none_can_sleep() {
    assert!(TokioClock::new().sleep_until(Moment::default()).is_none());
    assert!(system_clocks(|moment| moment).iter().all(Option::is_none));
}

fn without_timer() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[test]
fn in_a_runtime_without_a_timer_none_can_sleep_and_none_panics() {
    for _ in 0..2 {
        without_timer().block_on(async {
            for _ in 0..2 {
                assert!(TokioClock::new().sleep_until(Moment::default()).is_none());
                assert!(system_clocks(|moment| moment).iter().all(Option::is_none));
            }
        });
    }
}

/// tokio's own sleep panics there.
#[test]
fn a_sleep_that_outlives_its_runtime_goes_on_in_the_next_one() {
    let later = |moment: Moment| Moment::from_nanos(moment.as_nanos() + 600_000_000_000);
    let timed = || Builder::new_current_thread().enable_time().build().unwrap();
    let runtime = timed();
    let mut sleeps = runtime.block_on(async { system_clocks(later) }).map(Option::unwrap);
    let mut context = Context::from_waker(Waker::noop());
    let entered = runtime.enter();
    assert!(sleeps.iter_mut().all(|sleep| sleep.as_mut().poll(&mut context).is_pending()));
    drop(entered);
    // Its timer has shut down, and so the sleep waits without one; outside a runtime too.
    let handle = runtime.handle().clone();
    drop(runtime);
    let entered = handle.enter();
    assert!(sleeps.iter_mut().all(|sleep| sleep.as_mut().poll(&mut context).is_pending()));
    drop(entered);
    assert!(sleeps.iter_mut().all(|sleep| sleep.as_mut().poll(&mut context).is_pending()));
    without_timer().block_on(async {
        assert!(sleeps.iter_mut().all(|sleep| sleep.as_mut().poll(&mut context).is_pending()));
    });
    let paused = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    paused.block_on(async {
        let began = Instant::now();
        for sleep in sleeps {
            sleep.await;
        }
        let slept = began.elapsed();
        assert!(590 * SECOND < slept && slept < 610 * SECOND, "{slept:?}");
    });
}

#[test]
fn a_call_dropped_in_the_destructor_of_a_thread_local_does_not_abort() {
    thread_local! {
        static LATE: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    }
    let stalls = Policy::builder().stalled_calls(2 * SECOND, StallLimit::Calls(1)).build().unwrap();
    let monitor = Monitor::with_clock(stalls, TokioClock::new());
    let of_thread = monitor.clone();
    let ended = std::thread::spawn(move || {
        // Before tokio's own thread-locals, so that it is destroyed after them.
        LATE.with(|late| drop(late.borrow_mut().take()));
        let runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            LATE.with(|late| *late.borrow_mut() = Some(Box::new(of_thread.guard())));
        });
    });
    ended.join().unwrap();
    assert_eq!(monitor.handle().snapshot().tally.calls(), 0);
}
