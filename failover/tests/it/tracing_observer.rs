//! Transitions as events of `tracing`, seen by a subscriber.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use failover::monitor::KeyedMonitors;
use failover::policy::StallLimit;
use failover::trace::TracingObserver;
use failover::watched::FallbackFailing;
use failover::{FailoverLayer, Monitor, Outcome, Policy, Ratio, Route};
use tower::timeout::Timeout;
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing_core::field::{Field, Visit};
use tracing_core::{Event, Level, Metadata, Subscriber, span};

use crate::common::{SECOND, Watched};

type Answer = Result<&'static str, &'static str>;

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

/// Panics at each event.
struct Faulty;

impl Subscriber for Faulty {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, _: &Event<'_>) {
        panic!("a faulty subscriber");
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

fn drop_calls(watched: &Watched, calls: usize) {
    (0..calls).for_each(|_| watched.monitor.abandon(watched.ticket()));
}

/// Without an observer: whoever puts the time-out outside the layer has not asked for one.
#[tokio::test(start_paused = true)]
async fn calls_that_are_all_dropped_are_one_warning() {
    let layer = FailoverLayer::with_fallback(
        service_fn(|()| ready(Ok::<_, io::Error>(()))),
        Policy::default(),
    )
    .named("valuations");
    let hangs = service_fn(|()| pending::<io::Result<()>>());
    let mut service = Timeout::new(layer.layer(hangs), SECOND);
    let log = Log::default();
    let events = Arc::clone(&log.0);
    let _guard = tracing::subscriber::set_default(log);
    for call in 1..=300 {
        service.ready().await.unwrap().call(()).await.unwrap_err();
        assert_eq!(events.lock().unwrap().len(), usize::from(call >= 100), "{call}");
    }
    let events = events.lock().unwrap();
    assert_eq!((&*events[0].target, events[0].level), ("failover", Some(Level::WARN)));
    let fields = fields(&events[0]);
    assert_eq!(fields[..1], [("dropped", "100 (a number)")]);
    assert!(fields[1].1.contains("put them inside the layer"), "{fields:?}");
    assert_eq!(fields[2..], [("name", "valuations"), ("service", "primary")]);
}

#[test]
fn calls_that_are_dropped_while_others_end_are_no_warning() {
    let watched = Watched::new(Policy::default());
    let events = told(|| {
        watched.succeed(1);
        for _ in 0..20 {
            drop_calls(&watched, 99);
            watched.clock.advance(3 * SECOND);
            watched.succeed(1);
        }
    });
    assert_eq!(events, []);
}

#[test]
fn the_warning_comes_when_the_calls_that_ended_have_left_the_window() {
    let watched = Watched::new(Policy::default());
    let events = told(|| {
        watched.succeed(5);
        for _ in 0..59 {
            watched.clock.advance(SECOND);
            drop_calls(&watched, 10);
        }
    });
    assert_eq!(events, []);
    let events = told(|| {
        for _ in 0..20 {
            watched.clock.advance(SECOND);
            drop_calls(&watched, 10);
        }
    });
    assert_eq!(events.len(), 1);
}

#[test]
fn another_policy_warns_again() {
    let watched = Watched::new(Policy::default());
    let events = told(|| {
        drop_calls(&watched, 200);
        let dropped_after = Policy::builder().dropped_after(2 * SECOND).build().unwrap();
        watched.handle().swap_policy(dropped_after);
        // Shorter than the time of the policy.
        drop_calls(&watched, 200);
    });
    assert_eq!(events.len(), 2);
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

#[test]
fn a_subscriber_that_panics_does_not_panic_the_drop_of_a_call() {
    let monitor = Monitor::new(Policy::default());
    tracing::subscriber::with_default(Faulty, || {
        for _ in 0..99 {
            drop(monitor.guard());
        }
        let last = monitor.guard();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(last))).is_ok());
        // Another policy warns again.
        monitor.handle().swap_policy(Policy::builder().window(10 * SECOND, 10).build().unwrap());
        for _ in 0..99 {
            drop(monitor.guard());
        }
        // Dropped while the thread unwinds: a second panic would abort.
        let mut hangs = Box::pin(monitor.call(pending::<Answer>, pending::<Answer>));
        assert!(hangs.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _hangs = hangs;
            panic!("something else");
        }));
        assert!(unwound.is_err());
    });
    assert_eq!(monitor.handle().snapshot().tally.dropped, 100);
}

#[test]
fn calls_that_end_ignored_between_dropped_ones_are_no_warning() {
    for policy in [Policy::default(), Policy::builder().last_calls(20).build().unwrap()] {
        let monitor = Monitor::new(policy);
        let events = told(|| {
            for _ in 0..150 {
                monitor.guard().unwrap().end(Outcome::Ignored);
                drop(monitor.guard());
            }
        });
        assert_eq!(events, []);
        let events = told(|| (0..150).for_each(|_| drop(monitor.guard())));
        assert_eq!(events.len(), 1);
    }
}

#[test]
fn the_warning_advises_a_shorter_dropped_after_where_it_is_set() {
    let dropped_after = Policy::builder().dropped_after(4 * SECOND).build().unwrap();
    let advice = [(Policy::default(), "set `dropped_after`"), (dropped_after, "below them")];
    for (policy, advice) in advice {
        let monitor = Monitor::new(policy);
        let events = told(|| (0..100).for_each(|_| drop(monitor.guard())));
        let message = &events[0].fields["message"];
        assert!(
            message.ends_with(advice) && message.contains("if these are time-outs"),
            "{message}"
        );
        assert_eq!(events[0].fields["service"], "primary");
    }
}

#[test]
fn the_warning_of_a_watched_fallback_has_the_failovers_name_and_says_that_it_is_the_fallback() {
    let hangs = service_fn(|()| pending::<Answer>());
    for named_before in [true, false] {
        let mut layer = FailoverLayer::with_fallback(hangs, Policy::default());
        if named_before {
            layer = layer.named("valuations");
        }
        let layer = layer.watch_fallback(Policy::default(), FallbackFailing::GoBack);
        let layer = if named_before { layer } else { layer.named("valuations") };
        let mut service = layer.layer(hangs);
        service.handle().force(Route::Fallback);
        let mut context = Context::from_waker(Waker::noop());
        let events = told(|| {
            for _ in 0..100 {
                assert!(service.poll_ready(&mut context).is_ready());
                assert!(pin!(service.call(())).poll(&mut context).is_pending());
            }
        });
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event.fields["name"], "valuations");
        assert_eq!(event.fields["service"], "fallback");
    }
}

#[test]
fn all_keys_of_a_table_are_one_warning_even_if_they_are_evicted() {
    let keys = KeyedMonitors::<u32>::new(Policy::default(), 2);
    let events = told(|| {
        for key in (0..5).flat_map(|_| 0..10) {
            let monitor = keys.monitor(&key);
            (0..100).for_each(|_| drop(monitor.guard()));
        }
    });
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.fields["service"], "primary of a key");
}
