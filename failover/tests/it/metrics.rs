//! Feature `prometheus`: the output of a scrape. HARD-WON 35.

use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use failover::Route;
use failover::clock::ManualClock;
use failover::clock::{Clock, CoarseClock, FineClock};
use failover::prometheus::Metrics;
use failover::{FailoverLayer, Monitor, Outcome, Policy, Rescue};
use prometheus_client::registry::Registry;
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched};

/// The output of a scrape.
pub(crate) fn page<Clk: Clock + std::fmt::Debug>(metrics: &Metrics<Clk>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    page
}

/// The value of a series, or "absent".
pub(crate) fn value(page: &str, series: &str) -> String {
    let lines = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let values: Vec<_> = lines.collect();
    assert!(values.len() < 2, "{series} stands there more than once:\n{page}");
    values.first().copied().unwrap_or("absent").to_owned()
}

fn watched(name: &'static str) -> (Watched, Metrics<ManualClock>) {
    let watched = Watched::new(Policy::default());
    let _ = watched.monitor.clone().named(name);
    let metrics = Metrics::with(watched.clock.clone(), [SECOND, 2 * SECOND]);
    metrics.watch(&watched.handle());
    (watched, metrics)
}

#[test]
fn a_scrape_shows_state_window_and_transitions_of_each_name() {
    let (watched, metrics) = watched("valuations");
    watched.succeed(6);
    watched.fail(2);
    watched.monitor.abandon(watched.ticket());
    let shown = page(&metrics);
    assert_eq!(value(&shown, r#"failover_failure_ratio{name="valuations"}"#), "0.25");
    let calls =
        |outcome| format!(r#"failover_window_calls{{name="valuations",outcome="{outcome}"}}"#);
    assert_eq!(value(&shown, &calls("success")), "6");
    assert_eq!(value(&shown, &calls("failure")), "2");
    assert_eq!(value(&shown, &calls("dropped")), "1");
    let state = |state| format!(r#"failover_state{{name="valuations",state="{state}"}}"#);
    assert_eq!(value(&shown, &state("primary")), "1");
    let trips = r#"failover_transitions_total{name="valuations",from="primary",to="fallback",cause="tripped"}"#;
    assert_eq!(value(&shown, trips), "0");
    let revert = r#"failover_revert_in_seconds{name="valuations"}"#;
    assert_eq!(value(&shown, revert), "absent");

    watched.trip();
    watched.clock.advance(60 * SECOND);
    let shown = page(&metrics);
    assert_eq!(value(&shown, trips), "1");
    assert_eq!(value(&shown, &state("primary")), "0");
    assert_eq!(value(&shown, &state("fallback")), "1");
    assert!(["240.0", "240.001"].contains(&&*value(&shown, revert)), "{shown}");
    // Without calls there is no ratio.
    assert_eq!(value(&shown, r#"failover_failure_ratio{name="valuations"}"#), "absent");
    assert_eq!(value(&shown, &calls("failure")), "0");
}

#[test]
fn the_usual_transitions_have_a_series_before_they_happen_and_every_state_has_one_into_it() {
    let (watched, metrics) = watched("new");
    let series = |shown: &str| -> Vec<String> {
        let lines = shown.lines().filter(|line| line.starts_with("failover_transitions_total{"));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let shown = page(&metrics);
    let present = series(&shown);
    assert!(present.iter().all(|series| value(&shown, series) == "0"), "{shown}");
    for state in failover::State::ALL {
        let into = format!(r#"to="{}""#, state.as_str());
        assert!(present.iter().any(|series| series.contains(&into)), "{into}\n{shown}");
    }
    // A trip, its revert, and orders on both routes.
    watched.trip();
    watched.clock.advance(301 * SECOND);
    watched.succeed(1);
    for route in [Route::Primary, Route::Fallback] {
        watched.handle().force(route);
        watched.handle().release();
    }
    watched.trip();
    watched.handle().force(Route::Fallback);
    watched.handle().reset();
    let shown = page(&metrics);
    assert_eq!(series(&shown), present, "none is new");
    let forced = r#"failover_transitions_total{name="new",from="primary",to="forced_fallback",cause="forced"}"#;
    assert_eq!(value(&shown, forced), "1");
}

#[test]
fn a_revert_that_is_due_is_shown_before_a_call_makes_it() {
    let (watched, metrics) = watched("due");
    watched.trip();
    watched.clock.advance(301 * SECOND);
    let shown = page(&metrics);
    assert_eq!(value(&shown, r#"failover_state{name="due",state="primary"}"#), "1");
    assert_eq!(value(&shown, r#"failover_state{name="due",state="fallback"}"#), "0");
}

/// The states with the value 1.
fn present<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!(r#"failover_state{{name="{name}",state=""#);
    let states = page.lines().filter_map(|line| line.strip_prefix(&*prefix));
    states.filter_map(|state| state.strip_suffix(r#""} 1"#)).collect()
}

/// HARD-WON 35.
#[test]
fn each_state_is_shown_alone() {
    let (watched, metrics) = watched("alone");
    assert_eq!(present(&page(&metrics), "alone"), ["primary"]);
    watched.trip();
    assert_eq!(present(&page(&metrics), "alone"), ["fallback"]);
    watched.handle().force(Route::Primary);
    assert_eq!(present(&page(&metrics), "alone"), ["forced_primary"]);
    watched.handle().force(Route::Fallback);
    assert_eq!(present(&page(&metrics), "alone"), ["forced_fallback"]);
}

/// HARD-WON 35, while the state changes as fast as it can.
#[test]
fn no_scrape_shows_two_states_at_once_or_none() {
    let (watched, metrics) = watched("flapping");
    let (over, handle) = (AtomicBool::new(false), watched.handle());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                handle.force(Route::Fallback);
                handle.release();
                watched.trip();
                handle.force(Route::Primary);
                handle.reset();
            }
        });
        for _ in 0..2_000 {
            let shown = page(&metrics);
            assert_eq!(present(&shown, "flapping").len(), 1, "{shown}");
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_failover_that_is_gone_leaves_the_gauges_and_keeps_its_counters() {
    let (first, metrics) = watched("gone");
    first.trip();
    drop(first);
    let shown = page(&metrics);
    assert_eq!(present(&shown, "gone"), [""; 0]);
    let trips =
        r#"failover_transitions_total{name="gone",from="primary",to="fallback",cause="tripped"}"#;
    assert_eq!(value(&shown, trips), "1");
    // A later failover of that name continues them.
    let monitor = Monitor::new(Policy::default()).named("gone");
    metrics.watch(&monitor.handle());
    metrics.watch(&monitor.handle());
    (0..10).for_each(|_| monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure));
    let shown = page(&metrics);
    assert_eq!(value(&shown, trips), "2");
    assert_eq!(present(&shown, "gone"), ["fallback"]);
}

#[test]
fn failovers_that_share_a_name_are_each_counted_once_however_often_they_are_watched() {
    let (first, metrics) = watched("shared");
    let second = Watched::new(Policy::default());
    let _ = second.monitor.clone().named("shared");
    for handle in [second.handle(), first.handle(), second.handle(), first.handle()] {
        metrics.watch(&handle);
    }
    first.trip();
    second.trip();
    let shown = page(&metrics);
    let trips =
        r#"failover_transitions_total{name="shared",from="primary",to="fallback",cause="tripped"}"#;
    assert_eq!(value(&shown, trips), "2");
    // The gauges show the failover that was registered last.
    second.handle().force(Route::Primary);
    assert_eq!(present(&page(&metrics), "shared"), ["fallback"]);
}

#[test]
fn families_of_calls_are_announced_only_if_calls_are_metered() {
    let (_watched, metrics) = watched("unmetered");
    assert!(!page(&metrics).contains("failover_call"), "{}", page(&metrics));
    let _ = FailoverLayer::with_fallback((), Policy::default()).named("metered").metered(&metrics);
    let shown = page(&metrics);
    assert_eq!(calls(&shown, "metered", "primary", "success"), "0");
    assert_eq!(calls(&shown, "unmetered", "primary", "success"), "absent");
}

#[test]
fn the_default_ranges_reach_from_half_a_millisecond_to_ten_seconds() {
    let metrics = Metrics::new();
    let _ = FailoverLayer::with_fallback((), Policy::default()).named("ranges").metered(&metrics);
    let shown = page(&metrics);
    let bounds: Vec<_> = shown
        .lines()
        .filter_map(|line| line.strip_prefix(r#"failover_call_duration_seconds_bucket{le=""#))
        .filter(|rest| rest.contains(r#"route="primary""#))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let milliseconds = ["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05"];
    let seconds = ["0.1", "0.25", "0.5", "1.0", "2.5", "10.0", "+Inf"];
    assert_eq!(bounds, [milliseconds, seconds].concat());
}

#[test]
fn the_page_is_open_metrics_with_each_family_once() {
    let (_watched, metrics) = watched("one");
    let other = Monitor::new(Policy::default()).named("a \"second\" one");
    metrics.watch(&other.handle());
    let _ = FailoverLayer::with_fallback((), Policy::default()).named("three").metered(&metrics);
    let shown = page(&metrics);
    let types: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(
        types,
        [
            "failover_state gauge",
            "failover_failure_ratio gauge",
            "failover_window_calls gauge",
            "failover_revert_in_seconds gauge",
            "failover_transitions counter",
            "failover_calls counter",
            "failover_call_duration_seconds histogram",
        ]
    );
    assert!(shown.contains("# UNIT failover_call_duration_seconds seconds\n"));
    assert!(shown.contains(r#"name="a \"second\" one""#));
    assert!(shown.ends_with("# EOF\n"));
}

fn call<S: Service<u8>>(service: &mut S, request: u8) -> Poll<Result<S::Response, S::Error>> {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    pin!(service.call(request)).poll(&mut context)
}

fn calls(page: &str, name: &str, route: &str, outcome: &str) -> String {
    let labels = format!(r#"{{name="{name}",route="{route}",outcome="{outcome}"}}"#);
    value(page, &format!("failover_calls_total{labels}"))
}

#[test]
fn calls_are_counted_by_route_and_by_how_they_ended() {
    let watched = Watched::new(Policy::default());
    let metrics = Metrics::with(watched.clock.clone(), [SECOND]);
    let classify = |result: &Result<u8, &'static str>| match result {
        Ok(_) => Outcome::Success,
        Err("cancelled") => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    };
    let primary = service_fn(|request: u8| async move {
        match request {
            0 => Ok(0),
            1 => Err("down"),
            2 => Err("cancelled"),
            3 => pending().await,
            _ => panic!("a faulty primary"),
        }
    });
    let fallback = service_fn(|request: u8| ready(Ok::<_, &'static str>(request)));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone())
        .classify(classify)
        .named("calls")
        .metered(&metrics);
    let mut service = layer.layer(primary);
    for request in [0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3] {
        let _ = call(&mut service, request);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| call(&mut service, 4))).is_err());
    layer.handle().force(Route::Fallback);
    let _ = call(&mut service, 1);
    let shown = page(&metrics);
    for (outcome, count) in [("success", "5"), ("failure", "3"), ("ignored", "1"), ("dropped", "3")]
    {
        assert_eq!(calls(&shown, "calls", "primary", outcome), count, "{outcome}");
    }
    assert_eq!(calls(&shown, "calls", "fallback", "success"), "1");
    assert_eq!(calls(&shown, "calls", "fallback", "failure"), "0");
}

#[test]
fn a_duration_is_in_the_range_that_it_does_not_exceed() {
    let watched = Watched::new(Policy::default());
    let metrics = Metrics::with(watched.clock.clone(), [2 * SECOND, SECOND, SECOND]);
    let clock = watched.clock.clone();
    let primary = service_fn(move |seconds: u8| {
        clock.advance(u32::from(seconds) * SECOND);
        ready(Ok::<_, &str>(()))
    });
    let fallback = service_fn(|_: u8| ready(Ok::<_, &str>(())));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone()).metered(&metrics);
    let mut service = layer.layer(primary);
    for seconds in [0, 1, 1, 2, 3, 10] {
        let _ = call(&mut service, seconds);
    }
    let shown = page(&metrics);
    let series = |suffix: &str, le: &str| {
        let labels = format!(r#"{{{le}name="failover",route="primary"}}"#);
        value(&shown, &format!("failover_call_duration_seconds_{suffix}{labels}"))
    };
    assert_eq!(series("bucket", r#"le="1.0","#), "3");
    assert_eq!(series("bucket", r#"le="2.0","#), "4");
    assert_eq!(series("bucket", r#"le="+Inf","#), "6");
    assert_eq!((series("count", ""), series("sum", "")), ("6".to_owned(), "17.0".to_owned()));
}

/// HARD-WON 36, as metrics show it.
#[test]
fn a_rescued_call_is_a_call_on_each_route() {
    let metrics = Metrics::new();
    let primary = service_fn(|_: u8| ready(Err::<(), _>("down")));
    let fallback = service_fn(|_: u8| ready(Ok::<_, &str>(())));
    let layer = FailoverLayer::with_fallback(fallback, Policy::default()).named("rescue");
    let layer = layer.rescue(Rescue::cloning()).metered(&metrics);
    assert_eq!(call(&mut layer.layer(primary), 0), Poll::Ready(Ok(())));
    let shown = page(&metrics);
    assert_eq!(calls(&shown, "rescue", "primary", "failure"), "1");
    assert_eq!(calls(&shown, "rescue", "fallback", "success"), "1");
    assert_eq!(layer.handle().snapshot().tally.failures, 1);
}

#[test]
fn no_call_is_lost_by_many_threads() {
    const THREADS: u32 = 8;
    const CALLS: u32 = 5_000;
    let metrics = Metrics::with(CoarseClock, []);
    let service = service_fn(|_: u8| ready(Ok::<_, &str>(())));
    let layer =
        FailoverLayer::with_fallback(service, Policy::default()).named("many").metered(&metrics);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let mut service = layer.layer(service);
            scope.spawn(move || (0..CALLS).for_each(|_| assert!(call(&mut service, 0).is_ready())));
        }
    });
    let shown = page(&metrics);
    assert_eq!(calls(&shown, "many", "primary", "success"), (THREADS * CALLS).to_string());
}

/// HARD-WON 32. A thread's first call allocates its counters.
#[test]
fn a_metered_call_allocates_nothing_after_a_threads_first() {
    let metrics = Metrics::with(FineClock, [SECOND]);
    let primary = service_fn(|fails: u8| ready(if fails == 1 { Err(()) } else { Ok(()) }));
    let fallback = service_fn(|_: u8| ready(Ok::<_, ()>(())));
    let layer =
        FailoverLayer::with_fallback(fallback, Policy::default()).named("free").metered(&metrics);
    let mut service = layer.layer(primary);
    let _ = call(&mut service, 0);
    let allocations = allocation_counter::measure(|| {
        for request in (0..3_000).map(|number| u8::from(number > 1_000)) {
            assert!(call(&mut service, request).is_ready());
        }
    });
    assert_eq!(layer.handle().snapshot().route, Route::Fallback);
    // It includes a trip, which notifies the observers.
    assert!(allocations.count_total <= 1, "{allocations:?}");
}
