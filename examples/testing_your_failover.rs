//! How to test your failover in milliseconds, with a manual clock or tokio's paused time. Each
//! function could be a `#[test]`.
//!
//! `cargo run -p examples --example testing_your_failover`

#![allow(clippy::unwrap_used, reason = "this stands for tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use failover::clock::{ManualClock, TokioClock};
use failover::{Failover, FailoverLayer, Monitor, Policy, Route};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

/// The policy as your own crate would define it, in one place.
fn policy() -> Policy {
    Policy::builder()
        .minimum_calls(4)
        .revert_after(Duration::from_secs(5 * 60))
        .build()
        .expect("the policy makes sense")
}

fn main() {
    four_failures_send_calls_to_the_fallback_for_five_minutes();
    println!("ok: four failures send calls to the fallback for five minutes");
    half_of_the_calls_failing_is_not_more_than_half();
    println!("ok: half of the calls failing is not more than half");
    a_primary_that_hangs_is_left_after_four_time_outs();
    println!("ok: a primary that hangs is left after four time-outs, 2 s of tokio's time each");
    an_operator_is_told_of_the_trip();
    println!("ok: an operator is told of the trip");
}

/// The monitor alone: a policy can be tested without services and without a runtime.
fn half_of_the_calls_failing_is_not_more_than_half() {
    use failover::Outcome::{Failure, Success};
    let monitor = Monitor::with_clock(policy(), ManualClock::new());
    let call = |outcome| monitor.record(monitor.admit().ticket().expect("primary"), outcome);
    [Failure, Success, Failure, Success].into_iter().for_each(call);
    assert_eq!(monitor.route(), Route::Primary);
    call(Failure);
    assert_eq!(monitor.route(), Route::Fallback);
}

/// The manual clock: the test advances the time.
fn four_failures_send_calls_to_the_fallback_for_five_minutes() {
    let clock = ManualClock::new();
    let monitor = Monitor::with_clock(policy(), clock.clone());
    let broken = service_fn(async |_: ()| Err::<&str, _>("down"));
    let sound = service_fn(async |_: ()| Ok::<_, &str>("from the fallback"));
    let mut service = FailoverLayer::with_monitor(sound, monitor).layer(broken);

    run(false, async move {
        for _ in 0..4 {
            assert!(call(&mut service).await.is_err());
        }
        assert_eq!(call(&mut service).await, Ok("from the fallback"));
        clock.advance(Duration::from_millis(299_999));
        assert_eq!(call(&mut service).await, Ok("from the fallback"));
        clock.advance(Duration::from_millis(1));
        assert!(call(&mut service).await.is_err(), "the primary is asked again");
    });
}

/// tokio's paused time: sleeps and time-outs pass at once, and so does the failover's time.
fn a_primary_that_hangs_is_left_after_four_time_outs() {
    run(true, async {
        // Made inside the runtime whose time it follows.
        let monitor = Monitor::with_clock(policy(), TokioClock::new());
        let handle = monitor.handle();
        let hanging =
            service_fn(async |_: ()| std::future::pending::<Result<&str, BoxError>>().await);
        let hanging = TimeoutLayer::new(Duration::from_secs(2)).layer(hanging);
        let sound = service_fn(async |_: ()| Ok::<_, BoxError>("from the fallback"));
        let mut service = FailoverLayer::with_monitor(sound, monitor).layer(hanging);

        let start = tokio::time::Instant::now();
        for _ in 0..4 {
            assert!(service.ready().await.unwrap().call(()).await.is_err());
        }
        assert_eq!(start.elapsed(), Duration::from_secs(8));
        assert_eq!(service.ready().await.unwrap().call(()).await.unwrap(), "from the fallback");
        tokio::time::sleep(Duration::from_secs(5 * 60)).await;
        assert_eq!(handle.snapshot().route, Route::Primary);
    });
}

/// An observer is a closure: count its events, or inspect them.
fn an_operator_is_told_of_the_trip() {
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    let monitor = Monitor::with_clock(policy(), ManualClock::new());
    monitor.observe(move |event: &failover::Event| {
        assert_eq!(event.cause.as_str(), "tripped");
        count.fetch_add(1, Ordering::Relaxed);
    });
    while let Some(ticket) = monitor.admit().ticket() {
        monitor.record(ticket, failover::Outcome::Failure);
    }
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

async fn call<P, F>(
    service: &mut Failover<P, F, failover::classify::ErrorsAsFailures, ManualClock>,
) -> Result<&'static str, &'static str>
where
    P: Service<(), Response = &'static str, Error = &'static str>,
    F: Service<(), Response = &'static str, Error = &'static str>,
{
    service.send(()).await.map_err(failover::Error::into_inner)
}

fn run(paused: bool, test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(paused);
    runtime.build().expect("a runtime").block_on(test);
}
