//! How to test your own struct that holds a failover, in milliseconds. Each function could be a
//! `#[tokio::test]`.
//!
//! `cargo run -p examples --example testing_your_failover`

#![allow(clippy::unwrap_used, reason = "this stands for tests")]

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use failover::clock::TokioClock;
use failover::{Error, Failover, FailoverHandle, FailoverLayer, Monitor, Outcome, Policy, Route};
use tower::timeout::{Timeout, TimeoutLayer};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt, service_fn};

const MINUTE: Duration = Duration::from_secs(60);

/// A client of your own; here any function.
type Provider = BoxCloneSyncService<u32, &'static str, BoxError>;

/// Your struct. No clock in its type, and no parameter for tests.
struct Prices {
    failover: Failover<Timeout<Provider>, Provider>,
}

impl Prices {
    fn new(first: Provider, second: Provider) -> Self {
        let timed = TimeoutLayer::new(Duration::from_secs(2)).layer(first);
        Self { failover: Failover::new(timed, second, policy()) }
    }

    async fn price(&self, item: u32) -> Result<&'static str, BoxError> {
        self.failover.clone().oneshot(item).await.map_err(Error::into_inner)
    }

    /// For operators, and for tests.
    fn handle(&self) -> FailoverHandle {
        self.failover.handle()
    }
}

fn policy() -> Policy {
    let policy = Policy::builder().minimum_calls(4).revert_after(5 * MINUTE);
    policy.build().expect("the policy makes sense")
}

async fn four_failures_send_calls_to_the_second_provider_for_five_minutes() {
    let prices = Prices::new(down(), up());
    for _ in 0..4 {
        assert!(prices.price(7).await.is_err());
    }
    assert_eq!(prices.price(7).await.unwrap(), "from the second");
    prices.handle().advance(5 * MINUTE);
    assert!(prices.price(7).await.is_err(), "the first is asked again");
}

/// With tokio's time paused, time-outs and sleeps pass at once.
async fn a_provider_that_hangs_is_left_after_four_time_outs() {
    let prices = Prices::new(hung(), up());
    let start = tokio::time::Instant::now();
    for _ in 0..4 {
        assert!(prices.price(7).await.is_err());
    }
    assert_eq!(start.elapsed(), Duration::from_secs(8));
    assert_eq!(prices.price(7).await.unwrap(), "from the second");
}

/// On tokio's clock the failover's own time passes with tokio's, for instance the time that a call
/// takes. It is made inside the runtime whose time it follows.
async fn slow_calls_send_calls_to_the_second_provider_until_tokios_clock_says_otherwise() {
    use failover::policy::SlowCalls;
    let slow = Policy::builder().minimum_calls(4).slow_calls(SlowCalls::longer_than(MINUTE / 60));
    let first = service_fn(async |_: u32| {
        tokio::time::sleep(MINUTE / 30).await;
        Ok::<_, BoxError>("from the first, late")
    });
    let layer = FailoverLayer::with_fallback(up(), slow.build().unwrap()).clock(TokioClock::new());
    let service = layer.layer(first);
    for _ in 0..4 {
        assert_eq!(service.clone().oneshot(7).await.unwrap(), "from the first, late");
    }
    assert_eq!(service.clone().oneshot(7).await.unwrap(), "from the second");
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(service.handle().snapshot().route, Route::Primary);
}

/// An observer is a closure: count its events, or inspect them.
async fn an_observer_receives_the_trip() {
    let (prices, trips) = (Prices::new(down(), up()), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&trips);
    prices.handle().observe(move |event: &failover::Event| {
        assert_eq!(event.cause.as_str(), "tripped");
        count.fetch_add(1, Ordering::Relaxed);
    });
    for _ in 0..5 {
        let _ = prices.price(7).await;
    }
    assert_eq!(trips.load(Ordering::Relaxed), 1);
}

/// The policy alone, without services and without a runtime.
fn half_of_the_calls_failing_is_not_more_than_half() {
    use Outcome::{Failure, Success};
    let monitor = Monitor::new(policy());
    let call = |outcome| monitor.record(monitor.admit().ticket().expect("primary"), outcome);
    [Failure, Success, Failure, Success].into_iter().for_each(call);
    assert_eq!(monitor.route(), Route::Primary);
    call(Failure);
    assert_eq!(monitor.route(), Route::Fallback);
}

fn down() -> Provider {
    Provider::new(service_fn(|_| ready(Err("down".into()))))
}

fn up() -> Provider {
    Provider::new(service_fn(|_| ready(Ok("from the second"))))
}

fn hung() -> Provider {
    Provider::new(service_fn(|_| pending()))
}

fn main() {
    run(false, four_failures_send_calls_to_the_second_provider_for_five_minutes());
    println!("ok: four failures send calls to the second provider for five minutes");
    run(true, a_provider_that_hangs_is_left_after_four_time_outs());
    println!("ok: a provider that hangs is left after four time-outs, 2 s of tokio's time each");
    run(true, slow_calls_send_calls_to_the_second_provider_until_tokios_clock_says_otherwise());
    println!(
        "ok: slow calls send calls to the second provider, until tokio's clock says otherwise"
    );
    run(false, an_observer_receives_the_trip());
    println!("ok: an observer receives the trip");
    half_of_the_calls_failing_is_not_more_than_half();
    println!("ok: half of the calls failing is not more than half");
}

/// What `#[tokio::test]` and `#[tokio::test(start_paused = true)]` do.
fn run(paused: bool, test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(paused);
    runtime.build().expect("a runtime").block_on(test);
}
