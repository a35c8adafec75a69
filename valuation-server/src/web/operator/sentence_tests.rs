//! Tests of [`super::sentence`].

use std::time::{Duration, SystemTime};

use failover::{Ratio, Route, State};
use proptest::prelude::*;

use super::figures::{Limit, Order, Probing, Ramp, Reason};
use super::samples::{self, now};
use super::sentence::{meter, meter_text, ramp_share, sentence};
use crate::web::operator::{Decision, Failover};

fn failover(change: impl FnOnce(&mut Decision)) -> Failover {
    let mut failover = samples::healthy().failovers.remove(0);
    change(&mut failover.decision);
    failover
}

/// Without the spaces at which no line breaks.
fn said(change: impl FnOnce(&mut Decision)) -> String {
    sentence(&failover(change), now()).replace('\u{a0}', " ")
}

#[test]
fn the_primary_is_asked_with_its_counts_and_how_far_they_are_from_the_limit() {
    let text = said(|d| (d.calls, d.failures) = (601, 12));
    assert_eq!(
        text,
        "SuperCar is asked because 12 of 601 calls in the last minute failed (limit: more than 1/2 of \
         at least 10); 578 more failures in a row would change to Premium."
    );
    // As the failover counts: 12 + 578 of 601 + 578 exceed one half, 12 + 577 of 601 + 577 do not.
    assert!(Ratio::HALF.is_exceeded_by(590, 1_179) && !Ratio::HALF.is_exceeded_by(589, 1_178));
    assert!(said(|d| (d.calls, d.failures) = (20, 0)).contains("because none of 20 calls in"));
    let text = said(|d| (d.calls, d.failures) = (20, 10));
    assert!(text.contains("; 1 more failure in a row would change to Premium."), "{text}");
}

#[test]
fn too_few_calls_are_not_evaluated_yet() {
    let text = said(|d| (d.calls, d.failures) = (4, 3));
    assert!(
        text.contains("3 of 4 calls") && text.ends_with("; too few to be evaluated yet."),
        "{text}"
    );
    let text = said(|d| (d.calls, d.failures) = (0, 0));
    assert_eq!(
        text,
        "SuperCar is asked, and there was no call in the last minute (limit: more than 1/2 failed of at \
         least 10)."
    );
}

#[test]
fn slow_and_stalled_calls_are_named_if_there_are_any() {
    let text = said(|d| {
        (d.calls, d.slow, d.stalled) = (20, 5, 1);
        d.limits.slow_rate = Some(Ratio::HALF);
    });
    assert!(text.contains("), 5 were slow (limit: more than 1/2), 1 call stalled;"), "{text}");
}

#[test]
fn the_fallback_is_asked_for_its_reason_until_its_time_is_over() {
    let tripped = |reason| {
        move |d: &mut Decision| {
            (d.state, d.route, d.reason) = (State::Fallback, Route::Fallback, reason);
            d.reverts_in = Some(Duration::from_millis(191_500));
        }
    };
    assert_eq!(
        said(tripped(Reason::FailureRate {
            failures: 301,
            calls: 601,
            limit: Some(samples::limit())
        })),
        "Premium is asked because 301 of the last 601 calls to SuperCar failed (limit: more than 1/2 of \
         at least 10); back in 3 min 12 s."
    );
    let says = |reason, part: &str| {
        let text = said(tripped(reason));
        assert!(text.starts_with(&format!("Premium is asked because {part}; back in")), "{text}");
    };
    let slow = |limit| Reason::SlowCalls { slow: 7, calls: 12, limit };
    says(slow(None), "7 of the last 12 calls to SuperCar were slow");
    let limited =
        "7 of the last 12 calls to SuperCar were slow (limit: more than 1/2 of at least 10)";
    says(slow(Some(samples::limit())), limited);
    let unknown = Reason::FailureRate { failures: 8, calls: 10, limit: None };
    says(unknown, "8 of the last 10 calls to SuperCar failed");
    let admitted = Some(9);
    says(Reason::StalledCalls { stalled: 5, admitted }, "5 of 9 calls to SuperCar were stalled");
    says(Reason::StalledCalls { stalled: 5, admitted: None }, "5 calls to SuperCar were stalled");
    let fleet = |calls, nodes, scope: Option<&str>| Reason::FleetFailureRate {
        failures: calls / 2,
        calls,
        nodes,
        scope: scope.map(str::to_owned),
        limit: None,
    };
    says(fleet(18, 3, None), "9 of the last 18 calls of the fleet's 3 nodes to SuperCar failed");
    let zone = "9 of the last 18 calls of the 2 nodes with zone=a to SuperCar failed";
    says(fleet(18, 2, Some("zone=a")), zone);
    says(fleet(0, 3, None), "others of the fleet's 3 nodes went there, and this one followed");
    says(Reason::ProbeFailed, "a probe of SuperCar failed");
    says(Reason::Restored, "it was so before the restart");
    let now = said(|d| {
        tripped(Reason::ProbeFailed)(d);
        d.reverts_in = Some(Duration::ZERO);
    });
    assert!(now.ends_with("; back with the next call."), "{now}");
}

#[test]
fn probes_and_a_ramp_say_how_calls_return() {
    let text = said(|d| {
        (d.state, d.route) = (State::Probing, Route::Fallback);
        d.probing = Some(Probing { max_in_flight: 2, successes: 3 });
    });
    assert_eq!(
        text,
        "Premium is asked while up to 2 calls at once probe SuperCar; 3 successes bring all calls back."
    );
    let text = said(|d| {
        (d.state, d.calls, d.failures) = (State::Ramping, 30, 1);
        d.ramp = Some(Ramp { first: Ratio::percent(10), over: Duration::from_secs(60) });
        d.reverts_in = Some(Duration::from_secs(30));
    });
    assert_eq!(
        text,
        "SuperCar is asked for about 55% of calls and Premium for the others; all calls go to SuperCar \
         in 30 s unless it fails again: 1 of its last 30 calls failed (limit: more than 1/2 of at least \
         10)."
    );
    let text = said(|d| (d.state, d.calls, d.failures) = (State::Ramping, 0, 0));
    assert!(text.contains("unless it fails again: no call has been counted yet (limit:"), "{text}");
}

#[test]
fn the_counts_of_a_trip_are_held_against_the_limit_of_then() {
    let text = said(|d| {
        (d.state, d.route) = (State::Fallback, Route::Fallback);
        d.limits.failure_rate = Ratio::new(9, 10).unwrap();
        d.limits.minimum_calls = 25;
    });
    assert!(text.contains("failed (limit: more than 1/2 of at least 10)"), "{text}");
}

#[test]
fn a_window_of_one_unit_is_named_without_its_number() {
    let window = |seconds| said(|d| d.limits.window = Duration::from_secs(seconds));
    for (seconds, text) in [(1, "second"), (30, "30 s"), (60, "minute"), (90, "1 min 30 s")] {
        assert!(window(seconds).contains(&format!("in the last {text} failed")), "{text}");
    }
}

#[test]
fn a_forced_route_says_by_whom_since_when_until_when_and_why() {
    let order = |until, reason: Option<&str>| {
        let since = now() - Duration::from_secs(7_500);
        Some(Order { by: "192.0.2.7".into(), since, until, reason: reason.map(str::to_owned) })
    };
    let forced = |order| {
        said(|d| (d.state, d.route, d.order) = (State::ForcedFallback, Route::Fallback, order))
    };
    assert_eq!(
        forced(order(Some(now() + Duration::from_secs(600)), Some("SuperCar's maintenance"))),
        "Premium is asked because 192.0.2.7 forced it at 09:58:07 UTC (2 h 5 min ago), until 12:13:07 \
         UTC (for another 10 min): “SuperCar's maintenance”."
    );
    assert_eq!(
        forced(order(None, None)),
        "Premium is asked because 192.0.2.7 forced it at 09:58:07 UTC (2 h 5 min ago), until it is \
         released."
    );
    assert_eq!(
        forced(None),
        "Premium is asked because an operator forced it instead of SuperCar, until it is released."
    );
    let text = said(|d| {
        (d.state, d.calls, d.failures) = (State::ForcedPrimary, 10, 8);
        d.order = order(None, None);
    });
    assert!(
        text.ends_with(
            " By its policy Premium would be asked: 8 of the last 10 calls to SuperCar failed (limit: \
             more than 1/2 of at least 10)."
        ),
        "{text}"
    );
}

#[test]
fn a_dry_run_says_what_would_be() {
    let text = said(|d| {
        (d.state, d.dry_run) = (State::Fallback, true);
        d.reason = Reason::FailureRate { failures: 6, calls: 10, limit: Some(samples::limit()) };
        d.reverts_in = Some(Duration::from_secs(60));
    });
    assert_eq!(
        text,
        "SuperCar is asked because this is a dry run. Without it Premium would be asked because 6 of the \
         last 10 calls to SuperCar failed (limit: more than 1/2 of at least 10); back in 1 min."
    );
    let text = said(|d| (d.calls, d.dry_run) = (20, true));
    assert!(text.ends_with(" This is a dry run, which diverts no call."), "{text}");
}

#[test]
fn the_meter_is_the_windows_rate_beside_its_limit() {
    let decision = failover(|d| (d.calls, d.failures) = (8, 2)).decision;
    assert_eq!(meter(&decision), (250, 500));
    let text = meter_text(&decision).replace('\u{a0}', " ");
    assert_eq!(text, "25 % of 8 calls failed; limit 50 %");
}

proptest! {
    #[test]
    fn any_decision_has_a_sentence(
        state in 0..State::ALL.len(),
        (calls, failures, slow, minimum_calls) in any::<(u64, u64, u64, u64)>(),
        (numerator, denominator) in (any::<u32>(), 1..=u32::MAX),
        (left, over, window) in any::<(Duration, Duration, Duration)>(),
        (dry_run, fallback, has_order) in any::<(bool, bool, bool)>(),
        reason in 0..6_u8,
    ) {
        let ratio = Ratio::new(numerator, denominator).unwrap();
        let ramp = Ramp { first: ratio, over };
        let long_ago = SystemTime::UNIX_EPOCH;
        let failover = failover(|d| {
            d.state = State::ALL[state];
            d.route = if fallback { Route::Fallback } else { Route::Primary };
            d.dry_run = dry_run;
            (d.calls, d.failures, d.slow, d.stalled) = (calls, failures, slow, slow);
            (d.limits.failure_rate, d.limits.slow_rate) = (ratio, Some(ratio));
            (d.limits.minimum_calls, d.limits.window) = (minimum_calls, window);
            (d.reverts_in, d.ramp) = (Some(left), Some(ramp));
            d.probing = Some(Probing { max_in_flight: numerator, successes: denominator });
            let limit = has_order.then_some(Limit { rate: ratio, minimum_calls });
            d.reason = match reason {
                0 => Reason::FailureRate { failures, calls, limit },
                1 => Reason::SlowCalls { slow, calls, limit },
                2 => Reason::StalledCalls { stalled: slow, admitted: Some(calls) },
                3 => Reason::ProbeFailed,
                4 => Reason::FleetFailureRate {
                    failures, calls, nodes: slow, scope: None, limit,
                },
                _ => Reason::Restored,
            };
            d.order = has_order.then(|| Order {
                by: String::new(), since: long_ago, until: long_ago.checked_add(left), reason: None,
            });
        });
        let text = sentence(&failover, now());
        prop_assert!(text.contains("is asked") && text.ends_with(['.', '”']), "{}", text);
        prop_assert!(ramp_share(ramp, left) <= 100);
        let (rate, limit) = meter(&failover.decision);
        prop_assert!(rate <= 1_000 && limit <= 1_000);
        let _ = meter_text(&failover.decision);
    }
}
