//! What the calls in the window say under another policy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover::clock::Clock;
use failover::event::{Cause, Condition};
use failover::monitor::Tally;
use failover::{Event, FailoverHandle, Monitor, Policy, State};

/// Whether the window would trip under `policy`, and why. Changes nothing: a monitor of its own is
/// given the state of the one in force, so that the library itself evaluates what the window of the
/// other policy would hold.
pub(super) fn of<Clk: Clock>(
    handle: &FailoverHandle,
    policy: &Policy,
    clock: Clk,
) -> (bool, String) {
    let now = handle.snapshot();
    match now.state {
        State::Primary => {}
        State::Ramping => {
            return (false, "calls are returning to SuperCar; the ramp goes on".into());
        }
        State::ForcedPrimary | State::ForcedFallback => {
            return (false, "the route is forced: no window trips until it is released".into());
        }
        _ => {
            return (
                false,
                "Premium is asked already; counts start from zero at the return".into(),
            );
        }
    }
    let monitor = Monitor::with_clock(policy.clone(), clock);
    let tripped = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&tripped);
    monitor.observe(move |event: &Event| {
        if let Cause::Tripped { condition, tally, .. } = event.cause {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((condition, tally));
        }
    });
    monitor.handle().restore(&handle.save(), Duration::ZERO);
    let tripped = *tripped.lock().unwrap_or_else(PoisonError::into_inner);
    match tripped {
        Some((Condition::SlowCalls, tally)) => (true, slow(policy, tally)),
        Some((_, tally)) => (true, failed(policy, tally)),
        None => {
            let tally = monitor.handle().snapshot().tally;
            let slow = policy.slow_calls().map(|_| format!("; {}", slow(policy, tally)));
            (false, failed(policy, tally) + &slow.unwrap_or_default())
        }
    }
}

/// The failures, and what trips.
fn failed(policy: &Policy, tally: Tally) -> String {
    let (calls, least) = (tally.calls(), policy.minimum_calls());
    let limit = policy.failure_rate().map_or("none".to_owned(), |rate| rate.to_string());
    format!(
        "{} of {calls} calls failed; more than {limit} of at least {least} trips",
        tally.failures
    )
}

/// The slow calls, and what trips.
fn slow(policy: &Policy, tally: Tally) -> String {
    let Some(slow) = policy.slow_calls() else { return String::new() };
    let least = slow.minimum_calls.unwrap_or(policy.minimum_calls());
    let (calls, limit) = (tally.calls(), slow.more_than);
    format!(
        "{} of {calls} calls were slow; more than {limit} of at least {least} trips",
        tally.slow
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use failover::clock::ManualClock;
    use failover::policy::SlowCalls;
    use failover::{Outcome, Ratio, Route};

    const SECOND: Duration = Duration::from_secs(1);

    fn call(monitor: &Monitor<ManualClock>, clock: &ManualClock, takes: Duration, fails: bool) {
        let ticket = monitor.admit().ticket().unwrap();
        clock.advance(takes);
        monitor.record(ticket, if fails { Outcome::Failure } else { Outcome::Success });
    }

    #[test]
    fn the_counts_of_the_window_are_held_against_the_other_thresholds() {
        let clock = ManualClock::new();
        let monitor = Monitor::with_clock(Policy::default(), clock.clone());
        let handle = monitor.handle();
        (0..30).for_each(|number| call(&monitor, &clock, Duration::ZERO, number % 5 < 2));
        let before = handle.snapshot();
        let third = Policy::builder().failure_rate(Ratio::new(1, 3).unwrap()).build().unwrap();
        let expected = "12 of 30 calls failed; more than 1/3 of at least 10 trips";
        assert_eq!(of(&handle, &third, clock.clone()), (true, expected.into()));
        let expected = "12 of 30 calls failed; more than 1/2 of at least 10 trips";
        assert_eq!(of(&handle, &Policy::default(), clock.clone()), (false, expected.into()));
        assert_eq!(handle.snapshot(), before, "it changes nothing");
        assert_eq!(handle.policy(), Policy::default());
        // The same as what the change leads to.
        handle.swap_policy(third.clone());
        assert_eq!(handle.snapshot().state, State::Fallback);
        let (trips, because) = of(&handle, &third, clock.clone());
        assert!(!trips && because.contains("already"), "{because}");
        handle.force(Route::Primary);
        assert!(of(&handle, &third, clock).1.contains("forced"));
    }

    #[test]
    fn a_shorter_window_holds_only_the_calls_that_are_young_enough() {
        let clock = ManualClock::new();
        let monitor = Monitor::with_clock(Policy::default(), clock.clone());
        let window = Policy::default().window();
        (0..5).for_each(|_| call(&monitor, &clock, Duration::ZERO, true));
        clock.advance(window / 2);
        (0..3).for_each(|_| call(&monitor, &clock, Duration::ZERO, false));
        let short = Policy::builder().window(window / 4, Policy::default().buckets()).build();
        let (trips, because) = of(&monitor.handle(), &short.unwrap(), clock);
        assert!(!trips && because.starts_with("0 of 3 calls failed"), "{because}");
    }

    #[test]
    fn slow_calls_are_named_if_the_policy_has_a_threshold_for_them() {
        let clock = ManualClock::new();
        let slow = |more_than| {
            let slow = SlowCalls::longer_than(SECOND).more_than(more_than);
            Policy::builder().slow_calls(slow).build().unwrap()
        };
        let monitor = Monitor::with_clock(slow(Ratio::HALF), clock.clone());
        (0..12).for_each(|number| call(&monitor, &clock, 2 * SECOND * (number % 2), false));
        let (trips, because) = of(&monitor.handle(), &slow(Ratio::HALF), clock.clone());
        assert!(
            !trips && because.contains("; 6 of 12 calls were slow; more than 1/2"),
            "{because}"
        );
        let (trips, because) = of(&monitor.handle(), &slow(Ratio::percent(25)), clock);
        let expected = "6 of 12 calls were slow; more than 1/4 of at least 10 trips";
        assert_eq!((trips, because.as_str()), (true, expected));
    }
}
