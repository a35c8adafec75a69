//! The cost of a call: memory (HARD-WON 8 and 32) and reads of the clock.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use failover::clock::{Clock, Moment};
use failover::policy::{Backoff, Probing, RetryAfter, SlowCalls, StallLimit};
use failover::{FailoverLayer, Monitor, Outcome, Policy, Route, State};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched, ratio};

/// HARD-WON 8.
#[test]
fn a_monitor_is_as_large_after_ten_million_calls_as_after_ten() {
    let policy = Policy::builder().failure_rate(ratio(999, 1_000)).build().unwrap();
    // On a clock that stands still: on a busy machine this takes longer than the window.
    let Watched { monitor, .. } = Watched::new(policy);
    let call = |outcome| monitor.record(monitor.admit().ticket().unwrap(), outcome);
    (0..10).for_each(|_| call(Outcome::Success));
    let after_ten = monitor.memory();
    for _ in 0..5_000_000 {
        call(Outcome::Success);
        call(Outcome::Failure);
    }
    assert_eq!(monitor.handle().snapshot().tally.calls(), 10_000_010);
    assert_eq!(monitor.memory(), after_ten);
    println!("bytes after 10 calls: {after_ten}, after 10,000,010: {}", monitor.memory());
}

#[test]
fn memory_is_that_of_the_buckets_of_the_threads_that_there_is_room_for() {
    let memory = |buckets| {
        let policy = Policy::builder().window(60 * SECOND, buckets).build().unwrap();
        Monitor::new(policy).memory()
    };
    // 32 bytes per bucket and thread, with room for at least four threads.
    assert!(memory(3_500) - memory(500) >= 3_000 * 4 * 32);
}

/// Counts how often it is read.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

impl Clock for Counted {
    fn now(&self) -> Moment {
        self.0.fetch_add(1, Ordering::Relaxed);
        Moment::from_nanos(1_234_567_891_234)
    }
}

#[test]
fn a_call_reads_the_clock_once_at_its_end_on_the_primary_and_at_its_beginning_on_the_fallback() {
    let clock = Counted::default();
    let monitor = Monitor::with_clock(Policy::default(), clock.clone());
    let reads = || clock.0.swap(0, Ordering::Relaxed);
    reads();
    for route in [None, Some(Route::Primary)] {
        route.map(|route| monitor.handle().force(route));
        reads();
        let ticket = monitor.admit().ticket().unwrap();
        assert_eq!(reads(), 0);
        monitor.record(ticket, Outcome::Success);
        assert_eq!(reads(), 1);
    }
    monitor.handle().force(Route::Fallback);
    reads();
    assert!(monitor.admit().ticket().is_none());
    assert_eq!(reads(), 1);
}

/// HARD-WON 8. The allocator confirms `memory`.
#[test]
fn nothing_is_allocated_by_100_000_transitions() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    let before = watched.monitor.memory();
    let allocations = allocation_counter::measure(|| {
        for _ in 0..50_000 {
            watched.clock.advance(300 * SECOND);
            watched.trip();
        }
    });
    assert_eq!(allocations.count_total, 0);
    assert_eq!(watched.monitor.memory(), before);
}

#[test]
fn monitors_that_come_and_go_use_the_same_memory() {
    // A size that no other test of this process uses, so that none reuses the memory meanwhile.
    let policy = Policy::builder().window(60 * SECOND, 3_001).build().unwrap();
    drop(Monitor::new(policy.clone()));
    let allocations = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            let monitor = Monitor::new(policy.clone());
            monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
            assert_eq!(monitor.handle().snapshot().tally.failures, 1);
        }
    });
    // The lease that services and handles share is the only allocation, and is freed.
    assert_eq!(allocations.bytes_current, 0);
    assert!(allocations.bytes_total < 1_000 * 1_024, "{allocations:?}");
}

fn call<S: Service<u8>>(service: &mut S, request: u8) -> Poll<Result<S::Response, S::Error>> {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    pin!(service.call(request)).poll(&mut context)
}

fn calls<S: Service<u8>>(service: &mut S, calls: u32, request: u8) {
    for _ in 0..calls {
        let _ = call(service, request);
    }
}

/// HARD-WON 32: on the primary with successes, with failures, at the trip, on the fallback, while
/// it is probed, while calls return, at the revert, and with the route forced.
#[test]
fn no_phase_allocates_for_a_call() {
    let plain = Policy::builder;
    let ways_back = || {
        let probing = Probing::new(2).successes(3);
        plain().probing(probing).ramp_up(ratio(1, 10), 60 * SECOND)
    };
    let all = || {
        let growing =
            ways_back().backoff(Backoff::new(2).max(600 * SECOND).reset_after(60 * SECOND));
        let rated = growing
            .consecutive_failures(50)
            .slow_calls(SlowCalls::longer_than(SECOND).more_than(ratio(9, 10)));
        let flying = rated.stalled_calls(SECOND, StallLimit::Calls(100)).dropped_after(SECOND);
        flying.jitter(ratio(1, 10), 7).retry_after(RetryAfter::between(SECOND, 600 * SECOND))
    };
    for (name, policy) in [
        ("default", plain()),
        ("ways back", ways_back()),
        ("conditions", plain().consecutive_failures(8).slow_calls(SlowCalls::longer_than(SECOND))),
        ("last calls", plain().last_calls(100).slow_calls(SlowCalls::longer_than(SECOND))),
        ("all", all()),
    ] {
        lifetimes(name, policy.build().unwrap());
    }
}

/// Three outages and the ways back from them.
fn lifetimes(name: &str, policy: Policy) {
    let Watched { clock, monitor } = Watched::new(policy);
    let fallback = service_fn(|_: u8| ready(Ok::<_, ()>("fallback")));
    let slow = clock.clone();
    let primary = service_fn(move |request: u8| {
        if request == SLOW {
            slow.advance(2 * SECOND);
        }
        ready(if request == FAILS { Err(()) } else { Ok("primary") })
    });
    let mut service = FailoverLayer::with_monitor(fallback, monitor).layer(primary);
    let handle = service.handle();
    let mut seen = [false; State::ALL.len()];
    let mut see = || seen[handle.snapshot().state as usize] = true;
    let _ = call(&mut service, 0);
    let allocations = allocation_counter::measure(|| {
        for _ in 0..3 {
            calls(&mut service, 1_000, 0);
            calls(&mut service, 3, SLOW);
            clock.advance(60 * SECOND);
            while handle.snapshot().route == Route::Primary {
                calls(&mut service, 1, FAILS);
                see();
            }
            calls(&mut service, 1_000, 0);
            clock.advance(handle.snapshot().reverts_in.unwrap_or_default());
            see();
            calls(&mut service, 1, SLOW);
            while handle.snapshot().state != State::Primary {
                calls(&mut service, 10, 0);
                see();
                clock.advance(SECOND);
            }
        }
        for route in [Route::Primary, Route::Fallback] {
            handle.force(route);
            see();
            calls(&mut service, 1_000, FAILS);
        }
        handle.reset();
    });
    assert_eq!(allocations.count_total, 0, "{name}: {allocations:?}");
    let seen: Vec<_> = State::ALL.into_iter().filter(|state| seen[*state as usize]).collect();
    let expected = match handle.policy().probing() {
        Some(_) => State::ALL.to_vec(),
        None => State::ALL
            .into_iter()
            .filter(|state| !matches!(state, State::Probing | State::Ramping))
            .collect(),
    };
    assert_eq!(seen, expected, "{name}");
}

const FAILS: u8 = 1;
const SLOW: u8 = 2;
