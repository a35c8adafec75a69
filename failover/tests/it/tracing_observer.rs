//! Transitions as events of `tracing`, seen by a subscriber.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use failover::policy::StallLimit;
use failover::trace::TracingObserver;
use failover::{FailoverLayer, Outcome, Policy, Ratio, Route};
use tracing_core::field::{Field, Visit};
use tracing_core::{Event, Level, Metadata, Subscriber, span};

use crate::common::{SECOND, Watched};

#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    target: String,
    level: Option<Level>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name(), format!("{value} (a number)"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Told>>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        let target = event.metadata().target().to_owned();
        let mut told = Told { target, level: Some(*event.metadata().level()), ..Told::default() };
        event.record(&mut told);
        self.0.lock().unwrap().push(told);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn told(run: impl FnOnce()) -> Vec<Told> {
    let log = Log::default();
    let events = Arc::clone(&log.0);
    tracing::subscriber::with_default(log, run);
    events.lock().unwrap().clone()
}

fn fields(told: &Told) -> Vec<(&str, &str)> {
    told.fields.iter().map(|(name, value)| (*name, &**value)).collect()
}

#[test]
fn a_trip_is_a_warning_with_all_that_led_to_it() {
    let watched = Watched::new(Policy::default());
    let _layer = FailoverLayer::with_monitor((), watched.monitor.clone())
        .named("valuations")
        .observe(TracingObserver);
    let events = told(|| {
        watched.succeed(3);
        watched.trip();
    });
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*event.target, event.level), ("failover", Some(Level::WARN)));
    assert_eq!(
        fields(event),
        [
            ("calls", "10 (a number)"),
            ("cause", "tripped"),
            ("condition", "failure_rate"),
            ("epoch", &*format!("{} (a number)", watched.snapshot().epoch)),
            ("failures", "7 (a number)"),
            ("from", "primary"),
            ("message", "calls go to the fallback"),
            ("name", "valuations"),
            ("revert_after_ms", "300000 (a number)"),
            ("to", "fallback"),
        ]
    );
}

/// The fields of the one event of a trip that say which condition was met.
fn condition(policy: Policy, run: impl FnOnce(&Watched)) -> BTreeMap<&'static str, String> {
    let watched = Watched::new(policy);
    watched.monitor.observe(TracingObserver);
    let events = told(|| run(&watched));
    let [event] = &events[..] else { panic!("{events:?}") };
    let of_the_condition = ["condition", "streak", "stalled", "admitted"];
    let fields = event.fields.clone().into_iter();
    fields.filter(|(name, _)| of_the_condition.contains(name)).collect()
}

#[test]
fn a_trip_says_which_condition_was_met_with_its_numbers() {
    let told = |fields: &[(&'static str, &str)]| {
        fields.iter().map(|&(name, value)| (name, value.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let streak = Policy::builder().consecutive_failures(3).build().unwrap();
    assert_eq!(
        condition(streak, |watched| watched.fail(3)),
        told(&[("condition", "consecutive_failures"), ("streak", "3 (a number)")])
    );
    let stalls = |limit| {
        let policy = Policy::builder().minimum_calls(4).stalled_calls(2 * SECOND, limit);
        policy.build().unwrap()
    };
    let stall = |watched: &Watched| {
        let _hanging: Vec<_> = (0..4).map(|_| watched.ticket()).collect();
        watched.clock.advance(2 * SECOND + SECOND / 2);
        let _ = watched.monitor.admit();
    };
    assert_eq!(
        condition(stalls(StallLimit::Calls(2)), stall),
        told(&[("condition", "stalled_calls"), ("stalled", "4 (a number)")])
    );
    assert_eq!(
        condition(stalls(StallLimit::Share(Ratio::HALF)), stall),
        told(&[
            ("admitted", "4 (a number)"),
            ("condition", "stalled_calls"),
            ("stalled", "4 (a number)")
        ])
    );
}

#[test]
fn other_transitions_are_information_without_a_trips_figures() {
    let watched = Watched::new(Policy::default());
    let named = watched.monitor.clone().named(String::from("stock"));
    named.observe(TracingObserver);
    let events = told(|| {
        watched.trip();
        watched.clock.advance(300 * SECOND);
        watched.call(Outcome::Success);
        watched.handle().force(Route::Fallback);
        watched.handle().release();
    });
    let causes: Vec<_> = events.iter().map(|event| &*event.fields["cause"]).collect();
    assert_eq!(causes, ["tripped", "reverted", "forced", "released"]);
    for event in &events[1..] {
        assert_eq!(event.level, Some(Level::INFO));
        let names: Vec<_> = event.fields.keys().copied().collect();
        assert_eq!(names, ["cause", "epoch", "from", "message", "name", "to"]);
    }
}

#[test]
fn calls_that_change_nothing_are_not_logged() {
    let watched = Watched::new(Policy::default());
    watched.monitor.observe(TracingObserver);
    let events = told(|| {
        watched.succeed(1_000);
        watched.fail(9);
    });
    assert_eq!(events, []);
}
