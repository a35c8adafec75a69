//! Policies, snapshots and events as data.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::event::{Cause, Condition};
use failover::policy::{Backoff, PolicyBuilder, Probing, RetryAfter, SlowCalls, StallLimit};
use failover::{Event, Policy, Ratio, Route, Snapshot, State};
use proptest::option::of;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::common::{SECOND, Watched, ratio};

fn from_json(value: &Value) -> Result<Policy, String> {
    serde_json::from_str(&value.to_string()).map_err(|error| error.to_string())
}

fn from_toml(text: &str) -> Result<Policy, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
}

/// Written and read again, as JSON and as TOML, it is equal.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    let text = toml::to_string(value).unwrap();
    assert_eq!(&toml::from_str::<T>(&text).unwrap(), value, "{text}");
}

/// Valid times, short and long, whole and not.
fn times() -> impl Strategy<Value = Duration> {
    let longest = u64::try_from(Policy::LONGEST.as_nanos()).unwrap();
    prop_oneof![
        (4_000_000_u64..10_000_000).prop_map(Duration::from_nanos),
        (1_u64..=86_400).prop_map(Duration::from_secs),
        (4_000_000..=longest).prop_map(Duration::from_nanos),
    ]
}

/// Ratios below 1.
fn shares() -> impl Strategy<Value = Ratio> {
    let any = (1_u32..).prop_flat_map(|over| (0..over, Just(over)));
    prop_oneof![
        (0_u32..100).prop_map(Ratio::percent),
        any.prop_map(|(part, over)| ratio(part, over))
    ]
}

fn counts() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..100, 1_u64.., Just(u64::MAX)]
}

fn set<T>(
    builder: PolicyBuilder,
    value: Option<T>,
    change: impl FnOnce(PolicyBuilder, T) -> PolicyBuilder,
) -> PolicyBuilder {
    match value {
        Some(value) => change(builder, value),
        None => builder,
    }
}

fn windows() -> impl Strategy<Value = PolicyBuilder> {
    let by_time = (times(), 1_u32..=4, counts()).prop_map(|(length, buckets, calls)| {
        Policy::builder().window(length, buckets).minimum_calls(calls)
    });
    let by_calls = (1_u32..=4_096, 0_u32..4_096).prop_map(|(size, less)| {
        let calls = u64::from(size.saturating_sub(less).max(1));
        Policy::builder().last_calls(size).minimum_calls(calls)
    });
    prop_oneof![by_time, by_calls]
}

fn conditions() -> impl Strategy<Value = PolicyBuilder> {
    let slow = (times(), shares(), any::<bool>());
    let limit =
        prop_oneof![counts().prop_map(StallLimit::Calls), shares().prop_map(StallLimit::Share)];
    let stalled = (times(), limit);
    let rest = (of(1_u32..), of(slow), of(stalled), of(times()), any::<bool>());
    (windows(), of(shares()), rest).prop_map(|(builder, rate, rest)| {
        let (consecutive, slow, stalled, dropped, dry) = rest;
        let counted = consecutive.is_some() || slow.is_some() || stalled.is_some();
        let builder = match rate {
            Some(rate) => builder.failure_rate(rate),
            None if counted => builder.without_failure_rate(),
            None => builder,
        };
        let builder = set(builder, consecutive, PolicyBuilder::consecutive_failures);
        let builder = set(builder, slow, |builder, (time, share, one)| {
            let slow = SlowCalls::longer_than(time).more_than(share);
            builder.slow_calls(if one { slow.minimum_calls(1) } else { slow })
        });
        let builder = set(builder, stalled, |b, (after, limit)| b.stalled_calls(after, limit));
        let builder = set(builder, dropped, PolicyBuilder::dropped_after);
        if dry { builder.dry_run() } else { builder }
    })
}

/// Every valid policy, each option on or off.
fn policies() -> impl Strategy<Value = Policy> {
    let probing = (1..=Probing::MOST, 1_u32..=1_000_000, 1_u32..=1_000_000, times());
    let backoff = (1_u32..1_000, 1_u32..1_000, times(), times());
    let back = (of(probing), of((shares(), times())), of(backoff));
    let jitter = of((1_u32..=100, prop_oneof![any::<u64>(), Just(u64::MAX)]));
    (conditions(), times(), back, jitter, of((times(), times()))).prop_map(
        |(builder, revert_after, (probing, ramp, backoff), jitter, retry)| {
            let builder = builder.revert_after(revert_after);
            let builder = set(builder, probing, |b, (most, successes, failures, lease)| {
                b.probing(Probing::new(most).successes(successes).failures(failures).lease(lease))
            });
            let builder = set(builder, ramp, |b, (first, over)| b.ramp_up(first, over));
            let builder = set(builder, backoff, |b, (more, over, max, reset_after)| {
                let backoff = Backoff::new(ratio(over + more, over)).reset_after(reset_after);
                b.backoff(backoff.max(max.max(revert_after)))
            });
            let builder =
                set(builder, jitter, |b, (up_to, seed)| b.jitter(Ratio::percent(up_to), seed));
            let builder = set(builder, retry, |b, (one, other)| {
                b.retry_after(RetryAfter::between(one.min(other), one.max(other)))
            });
            builder.build().unwrap()
        },
    )
}

proptest! {
    #[test]
    fn every_policy_is_the_same_after_it_was_written_and_read(policy in policies()) {
        same_again(&policy);
        prop_assert_eq!(policy.to_builder().build(), Ok(policy));
    }

    #[test]
    fn a_float_is_the_ratio_of_its_shortest_decimal_text(thousandths in 0_u32..1_000) {
        let number: f64 = format!("0.{thousandths:03}").parse().unwrap();
        let policy = from_json(&json!({ "failure_rate": number })).unwrap();
        prop_assert_eq!(policy.failure_rate(), Some(ratio(thousandths, 1_000)));
    }
}

#[test]
fn missing_fields_have_the_defaults_of_the_builders() {
    assert_eq!(from_toml(""), Ok(Policy::default()));
    assert_eq!(from_json(&json!({})), Ok(Policy::default()));
    let all = Policy::builder()
        .window(30 * SECOND, 10)
        .slow_calls(SlowCalls::longer_than(SECOND))
        .probing(Probing::new(1))
        .backoff(Backoff::new(2));
    let text = r#"
        window.length = "30s"
        slow_calls.longer_than = "1s"
        probing.max_in_flight = 1
        backoff.factor = 2
    "#;
    assert_eq!(from_toml(text), Ok(all.build().unwrap()));
}

#[test]
fn every_count_is_read_from_a_number_or_its_text() {
    let [number, text, float] = ["5", "'5'", "5.0"].map(|five| {
        from_toml(&format!(
            "minimum_calls = {five}\nlast_calls = {five}\nconsecutive_failures = {five}\n\
             probing = {{ max_in_flight = {five}, successes = {five}, failures = {five} }}"
        ))
    });
    assert_eq!(number.as_ref().unwrap().consecutive_failures(), Some(5));
    assert_eq!((&number, &number), (&text, &float));
    assert_eq!(from_toml("window.buckets = '6'").unwrap().buckets(), 6);
}

#[test]
fn a_number_is_read_in_the_form_that_arbitrary_precision_of_serde_json_gives_it() {
    let read = |key: &'static str, text: &'static str| {
        let number = MapDeserializer::<_, serde::de::value::Error>::new([(key, text)].into_iter());
        Ratio::deserialize(number).map_err(|error| error.to_string())
    };
    for text in ["0.4", "4e-1", "0.40"] {
        assert_eq!(read("$serde_json::private::Number", text), Ok(ratio(2, 5)), "{text}");
    }
    assert_eq!(read("$serde_json::private::Number", "2"), Ok(ratio(2, 1)));
    let refused = "invalid type: map, expected a number or a text".to_owned();
    assert_eq!(read("number", "0.4"), Err(refused));
}

#[test]
fn a_backoff_without_a_maximum_has_an_hour_or_a_longer_revert_after() {
    let most = |time: &str| {
        let text = format!("revert_after = '{time}'\nbackoff = {{ factor = 2 }}");
        from_toml(&text).unwrap().backoff().unwrap().max
    };
    assert_eq!((most("5m"), most("2h")), (3_600 * SECOND, 7_200 * SECOND));
}

#[test]
fn a_long_time_is_written_in_days_and_without_months_and_years() {
    let written = |time: Duration| {
        let policy = Policy::builder().revert_after(time).build().unwrap();
        same_again(&policy);
        serde_json::to_value(policy).unwrap()["revert_after"].clone()
    };
    assert_eq!(written(Policy::LONGEST), "366days");
    assert_eq!(written(86_461 * SECOND), "1day 1m 1s");
}

#[test]
fn a_null_is_a_missing_field() {
    let nothing = json!({ "failure_rate": null, "probing": null, "jitter": null });
    assert_eq!(from_json(&nothing), Ok(Policy::default()));
}

#[test]
fn a_jitter_without_a_seed_is_the_same_whenever_this_process_reads_it() {
    let text = "jitter = { up_to = '10%' }";
    assert_eq!(from_toml(text), from_toml(text));
    let seed = |text| from_toml(text).unwrap().jitter().unwrap().seed;
    assert_eq!(seed("jitter = { up_to = 1, seed = 7 }"), 7);
}

#[test]
fn a_written_policy_states_its_basics_and_what_is_on() {
    let written = |policy: &Policy| serde_json::to_value(policy).unwrap();
    assert_eq!(
        written(&Policy::default()),
        json!({
            "failure_rate": "1/2",
            "minimum_calls": 10,
            "window": { "length": "1m", "buckets": 10 },
            "revert_after": "5m",
        })
    );
    let counted = Policy::builder().without_failure_rate().consecutive_failures(5).last_calls(50);
    assert_eq!(
        written(&counted.dry_run().build().unwrap()),
        json!({
            "failure_rate": "off",
            "minimum_calls": 10,
            "last_calls": 50,
            "consecutive_failures": 5,
            "dry_run": true,
            "revert_after": "5m",
        })
    );
}

/// Each mistake, and how its message begins.
#[test]
fn a_mistake_is_refused_with_the_names_of_its_fields() {
    let expected = "a duration as text, such as \"5m\", \"1m 30s\" or \"250ms\"";
    for (text, error) in [
        ("retry = 3", "unknown field `retry`, expected one of `failure_rate`, `minimum_calls`"),
        ("window.size = '1m'", "window: unknown field `size`, expected `length` or `buckets`"),
        ("failure_rate = 40", "failure_rate is 40/1, which no share can exceed"),
        ("failure_rate = 'half'", "failure_rate: \"half\": a ratio is written as 1/3, 0.5 or 50%"),
        ("failure_rate = -0.5", "failure_rate: \"-0.5\": a ratio is written as"),
        ("failure_rate = nan", "failure_rate: \"NaN\": a ratio is written as"),
        ("failure_rate = true", "failure_rate: invalid type: boolean `true`, expected a number or"),
        ("failure_rate = 'off'", "failure_rate is off and no other condition is set"),
        ("minimum_calls = 0", "minimum_calls is 0: it must be at least 1"),
        ("minimum_calls = -1", "minimum_calls: \"-1\" is no whole number from 0 to"),
        ("minimum_calls = 2.5", "minimum_calls: \"2.5\" is no whole number from 0 to"),
        (
            "last_calls = 5_000_000_000",
            "last_calls: \"5000000000\" is no whole number from 0 to 4294967295",
        ),
        ("consecutive_failures = 'x'", "consecutive_failures: \"x\" is no whole number from 0 to"),
        (
            "failure_rate = 0.3333333333333333",
            "failure_rate: \"0.3333333333333333\": the ratio has too many digits: write a fraction",
        ),
        ("failure_rate = {}", "failure_rate: invalid type: map, expected a number or a text"),
        ("failure_rate = { a = '1/2' }", "failure_rate: invalid type: map, expected a number"),
        ("revert_after = '1M'", "revert_after: \"1M\" has the unit `M`, and months and years"),
        ("revert_after = '1month 2s'", "revert_after: \"1month 2s\" has the unit `month`"),
        ("window.length = '2years'", "window.length: \"2years\" has the unit `years`"),
        (
            "revert_after = '2h'\nbackoff = { factor = 2, max = '1h' }",
            "backoff.max is 1h: it must be from revert_after to 366 days",
        ),
        (
            "backoff = { factor = 2, reset_after = '400days 2h' }",
            "backoff.reset_after is 400days 2h: it must be from 1 ms to 366 days",
        ),
        (
            "probing = { max_in_flight = 1, successes = 0 }",
            "probing.successes is 0: it must be from 1",
        ),
        (
            "probing = { max_in_flight = 1, failures = 0 }",
            "probing.failures is 0: it must be from 1",
        ),
        (
            "probing = { max_in_flight = 1, lease = '0s' }",
            "probing.lease is 0s: it must be from 1 ms",
        ),
        ("ramp_up = { first = 1, over = '1m' }", "ramp_up.first is 1/1: it must be below 1"),
        ("ramp_up = { first = 0.1, over = '0s' }", "ramp_up.over is 0s: it must be from 1 ms"),
        ("retry_after = { min = '0s', max = '1s' }", "retry_after.min is 0s: it must be from 1 ms"),
        ("retry_after = { min = '1s', max = '367days' }", "retry_after.max is 367days: it must be"),
        (
            "retry_after = { min = '1m', max = '30s' }",
            "retry_after.min is 1m, above max, which is 30s",
        ),
        (
            "window = '60s'",
            "invalid type: string \"60s\", expected `window` to be a table of length, buckets",
        ),
        ("window.buckets = 0", "window has 0 buckets"),
        (
            "revert_after = 300",
            &format!("revert_after: invalid type: integer `300`, expected {expected}"),
        ),
        ("revert_after = '300'", "revert_after: \"300\" is no duration such as \"5m\""),
        ("revert_after = '0s'", "revert_after is 0s: it must be from 1 ms to 366 days"),
        ("slow_calls = {}", "slow_calls: missing field `longer_than`"),
        ("slow_calls.longer_than = '1'", "slow_calls.longer_than: \"1\" is no duration"),
        (
            "slow_calls = { longer_than = '1s', more_than = 'x' }",
            "slow_calls.more_than: \"x\": a ratio",
        ),
        ("stalled_calls.after = '1s'", "stalled_calls: exactly one of `calls` and `share` must be"),
        ("stalled_calls.calls = 1", "stalled_calls: missing field `after`"),
        (
            "stalled_calls = { after = '1s', calls = 1, share = 0.1 }",
            "stalled_calls: exactly one of",
        ),
        ("probing.successes = 1", "probing: missing field `max_in_flight`"),
        (
            "probing.max_in_flight = 1_001",
            "probing.max_in_flight is 1001: it must be from 1 to 1,000",
        ),
        ("ramp_up.over = '1m'", "ramp_up: missing field `first`"),
        ("ramp_up.first = 0.1", "ramp_up: missing field `over`"),
        ("backoff = { factor = 1 }", "backoff.factor is 1/1: it must be above 1"),
        ("backoff = { max = '1h' }", "backoff: missing field `factor`"),
        ("jitter = { seed = 1 }", "jitter: missing field `up_to`"),
        ("retry_after = { min = '1s' }", "retry_after: missing field `max`"),
        ("retry_after = { max = '1s' }", "retry_after: missing field `min`"),
        ("window = {}\nlast_calls = 50", "`window` and `last_calls` can't both be given"),
    ] {
        let refused = from_toml(text).unwrap_err();
        assert!(refused.starts_with(error), "{text}: {refused}");
        assert_eq!(refused.trim_end(), refused, "{text}");
    }
    let twice = r#"{ "dry_run": true, "dry_run": true }"#;
    let error = serde_json::from_str::<Policy>(twice).unwrap_err().to_string();
    assert!(error.starts_with("duplicate field `dry_run`"), "{error}");
    let error = from_json(&json!({ "probing": { "max_in_flight": "x" } })).unwrap_err();
    assert!(error.starts_with("probing.max_in_flight: \"x\" is no whole number"), "{error}");
    assert!(error.ends_with(" at line 1 column 32"), "{error}");
}

/// A mistake in a part of a document is shown where it is.
#[test]
fn an_error_of_toml_points_at_the_field() {
    let text = "revert_after = '5m'\nslow_calls = { longer_than = '1' }";
    let error = toml::from_str::<Policy>(text).unwrap_err();
    let at = text.find("'1'").unwrap();
    assert_eq!(error.span(), Some(at..at + 3));
    assert!(error.to_string().contains("line 2, column 30"), "{error}");
}

#[test]
fn labels_are_those_of_as_str_and_are_parsed_again() {
    for route in [Route::Primary, Route::Fallback] {
        assert_eq!(serde_json::to_value(route).unwrap(), route.as_str());
        assert_eq!(
            (route.to_string().as_str(), route.as_str().parse()),
            (route.as_str(), Ok(route))
        );
    }
    for state in State::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        assert_eq!(
            (state.to_string().as_str(), state.as_str().parse()),
            (state.as_str(), Ok(state))
        );
    }
    let error = "Primary".parse::<State>().unwrap_err().to_string();
    let labels = State::ALL.map(State::as_str).join(", ");
    assert_eq!(error, format!("\"Primary\" is no state: it must be one of {labels}"));
}

#[test]
fn a_snapshot_is_the_same_after_it_was_written_and_read() {
    let watched = Watched::new(Policy::default());
    watched.succeed(3);
    watched.fail(2);
    same_again(&watched.snapshot());
    watched.trip();
    watched.clock.advance(Duration::from_millis(1_500));
    let tripped = watched.snapshot();
    same_again(&tripped);
    let value = serde_json::to_value(tripped).unwrap();
    assert_eq!(
        (&value["state"], &value["reverts_in"]),
        (&json!("fallback"), &json!("4m 58s 500ms"))
    );
}

#[test]
fn what_a_snapshot_has_too_much_is_ignored_and_a_count_that_it_lacks_is_0() {
    let mut value = serde_json::to_value(Watched::new(Policy::default()).snapshot()).unwrap();
    value["of_a_later_version"] = json!([1]);
    value["tally"] = json!({ "successes": 7, "of_a_later_version": 1 });
    let read: Snapshot = serde_json::from_value(value.clone()).unwrap();
    assert_eq!((read.tally.successes, read.tally.failures, read.tally.slow), (7, 0, 0));
    for later in ["tally", "dry_run", "consecutive_failures", "stalled_calls", "reverts_in"] {
        value.as_object_mut().unwrap().remove(later);
    }
    let read: Snapshot = serde_json::from_value(value).unwrap();
    assert_eq!((read.tally.calls(), read.dry_run, read.reverts_in), (0, false, None));
}

#[test]
fn an_event_of_an_older_version_has_no_time_and_one_of_nonsense_is_refused() {
    let mut value = serde_json::to_value(&events()[0]).unwrap();
    value["time"] = json!("noon");
    let error = serde_json::from_value::<Event>(value.clone()).unwrap_err().to_string();
    assert_eq!(error, "\"noon\" is no time: it must be like 2026-11-30T12:00:00Z");
    value.as_object_mut().unwrap().remove("time");
    let event: Event = serde_json::from_value(value).unwrap();
    assert_eq!(event.time, std::time::SystemTime::UNIX_EPOCH);
}

/// An event of each cause and each condition.
fn events() -> Vec<Event> {
    let tally = json!({ "successes": 4, "failures": 6, "slow": 0, "dropped": 2 });
    let trip = |cause: &str, condition: Value| {
        let mut fields = condition;
        fields["cause"] = json!(cause);
        fields["tally"] = tally.clone();
        fields["revert_after"] = json!("5m");
        fields
    };
    let causes = [
        trip("tripped", json!({ "condition": "failure_rate" })),
        trip("tripped", json!({ "condition": "fleet_failure_rate" })),
        trip("tripped", json!({ "condition": "consecutive_failures", "failures": 5 })),
        trip("tripped", json!({ "condition": "slow_calls" })),
        trip("tripped", json!({ "condition": "stalled_calls", "stalled": 3, "admitted": null })),
        trip("tripped", json!({ "condition": "stalled_calls", "stalled": 3, "admitted": 9 })),
        json!({ "cause": "reverted" }),
        json!({ "cause": "probing" }),
        json!({ "cause": "probes_failed", "revert_after": "10m" }),
        json!({ "cause": "fallback_failing", "condition": "slow_calls", "tally": tally }),
        json!({ "cause": "fleet_recovered" }),
        json!({ "cause": "ramping", "over": "30s" }),
        trip("would_trip", json!({ "condition": "failure_rate" })),
        json!({ "cause": "would_revert" }),
        json!({ "cause": "forced" }),
        json!({ "cause": "released" }),
        json!({ "cause": "policy_swapped" }),
        json!({ "cause": "restored" }),
    ];
    let event = |mut fields: Value| {
        fields["name"] = json!("valuations");
        fields["time"] = json!("2026-11-30T12:00:00.123456789Z");
        fields["epoch"] = json!(7);
        (fields["from"], fields["to"]) = (json!("primary"), json!("fallback"));
        fields["route"] = json!("fallback");
        fields["scope"] = json!("zone=a");
        let event: Event = serde_json::from_value(fields.clone()).unwrap();
        let written = serde_json::to_value(&event).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(&written[name], value, "{written}");
        }
        assert_eq!(written["cause"], event.cause.as_str());
        let condition = event.cause.condition().map(|condition| condition.as_str());
        assert_eq!(written.get("condition").and_then(Value::as_str), condition);
        event
    };
    causes.into_iter().map(event).collect()
}

#[test]
fn an_event_of_every_cause_is_the_same_after_it_was_written_and_read() {
    let events = events();
    let tripped = &events[2].cause;
    let failures = Condition::ConsecutiveFailures { failures: 5 };
    assert!(matches!(tripped, Cause::Tripped { condition, .. } if *condition == failures));
    for event in events {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
    }
}

#[test]
fn a_name_and_a_scope_that_an_event_lacks_are_not_written_and_may_be_missing() {
    let mut value = serde_json::to_value(&events()[0]).unwrap();
    for name in ["name", "scope"] {
        value.as_object_mut().unwrap().remove(name);
    }
    let event: Event = serde_json::from_value(value.clone()).unwrap();
    assert_eq!((&event.name, &event.scope), (&None, &None));
    assert_eq!(serde_json::to_value(event).unwrap(), value);
}

#[test]
fn an_observed_event_is_the_same_after_it_was_written_and_read() {
    let watched = Watched::new(Policy::default());
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
    watched.trip();
    watched.handle().force(Route::Primary);
    watched.handle().release();
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 3);
    for event in &*events {
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
    }
}
