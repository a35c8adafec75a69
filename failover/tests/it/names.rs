//! Names: set once, shown by the handle, and present in events.

use std::sync::{Arc, Mutex};

use failover::event::Cause;
use failover::{Event, FailoverLayer, Monitor, Outcome, Policy, Rescue, Route};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched};

#[test]
fn a_name_is_shown_by_every_handle_even_those_made_before_it() {
    let monitor = Monitor::new(Policy::default());
    let before = monitor.handle();
    assert_eq!(before.name(), None);
    let layer = FailoverLayer::with_monitor((), monitor).named("valuations");
    assert_eq!(before.name(), Some("valuations"));
    assert_eq!(layer.clone().rescue(Rescue::cloning()).handle().name(), Some("valuations"));
    assert_eq!(layer.layer(()).handle().name(), Some("valuations"));
    drop(layer);
    // The memory is reused, the name is not.
    assert_eq!(before.name(), Some("valuations"));
    assert_eq!(Monitor::new(Policy::default()).handle().name(), None);
}

#[test]
fn a_name_may_be_made_at_run_time() {
    let monitor = Monitor::new(Policy::default()).named(format!("tenant-{}", 7));
    assert_eq!(monitor.handle().name(), Some("tenant-7"));
}

#[test]
fn the_same_name_again_changes_nothing() {
    let layer = FailoverLayer::with_fallback((), Policy::default()).named("one").named("one");
    assert_eq!(layer.handle().name(), Some("one"));
}

#[test]
#[should_panic(expected = "can't be \"other\" as well")]
fn another_name_for_the_same_state_panics() {
    let layer = FailoverLayer::with_fallback((), Policy::default()).named("one");
    let _ = layer.clone().named("other");
}

#[test]
fn each_tier_of_a_chain_has_its_own_name_and_handle() {
    let down = service_fn(|(): ()| std::future::ready(Err::<u8, _>("down")));
    let last = service_fn(|(): ()| std::future::ready(Ok::<u8, &str>(3)));
    let inner = FailoverLayer::with_fallback(last, Policy::default()).named("second to third");
    let inner_handle = inner.handle();
    let outer =
        FailoverLayer::with_fallback(inner.layer(down), Policy::default()).named("first to second");
    let outer_handle = outer.handle();
    let mut service = outer.layer(down);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..20 {
        assert!(service.poll_ready(&mut context).is_ready());
        let _ = std::pin::pin!(service.call(())).poll(&mut context);
    }
    for (handle, name) in [(outer_handle, "first to second"), (inner_handle, "second to third")] {
        assert_eq!(handle.name(), Some(name));
        assert_eq!(handle.snapshot().route, Route::Fallback, "{name}");
    }
}

#[test]
fn an_event_says_where_calls_went_before_it() {
    let watched = Watched::new(Policy::default());
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    watched.monitor.observe(move |event: &Event| {
        seen.lock().unwrap().push((event.from.as_str(), event.to.as_str(), event.cause.as_str()));
    });
    watched.trip();
    watched.clock.advance(300 * SECOND);
    watched.call(Outcome::Success);
    watched.handle().force(Route::Primary);
    watched.handle().force(Route::Fallback);
    watched.handle().release();
    let (primary, fallback) = ("primary", "fallback");
    assert_eq!(
        *events.lock().unwrap(),
        [
            (primary, fallback, "tripped"),
            (fallback, primary, "reverted"),
            (primary, "forced_primary", "forced"),
            ("forced_primary", "forced_fallback", "forced"),
            ("forced_fallback", primary, "released"),
        ]
    );
    assert_eq!(Cause::Reverted.as_str(), "reverted");
    assert_eq!((Route::Primary.as_str(), Route::Fallback.as_str()), (primary, fallback));
    assert_eq!(Outcome::Ignored.as_str(), "ignored");
}
