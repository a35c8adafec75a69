//! A fallback that is itself a failover: each tier has its own window, handle and readiness.

use std::future::{Ready, poll_fn, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use failover::clock::ManualClock;
use failover::event::Cause;
use failover::{Error, Event, FailoverHandle, FailoverLayer, Monitor, Policy, Rescue, Route};
use tower::{Layer, Service};

use crate::common::{SECOND, counts};

/// A service that fails on demand and counts its polls.
#[derive(Clone)]
struct Tier {
    name: &'static str,
    broken: Arc<AtomicBool>,
    polls: Arc<AtomicUsize>,
}

impl Tier {
    fn new(name: &'static str) -> Self {
        Self { name, broken: Arc::default(), polls: Arc::default() }
    }

    fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    fn polls(&self) -> usize {
        self.polls.swap(0, Ordering::Relaxed)
    }
}

impl Service<()> for Tier {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Result<&'static str, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let broken = self.broken.load(Ordering::Relaxed);
        ready(if broken { Err(self.name) } else { Ok(self.name) })
    }
}

type ChainError = Error<&'static str, Error<&'static str, &'static str>>;

struct Chain<S> {
    service: S,
    clock: ManualClock,
    tiers: [Tier; 3],
    upper: FailoverHandle,
    lower: FailoverHandle,
}

/// The upper tier reverts after 300 s, the lower one after 100 s.
fn chain() -> Chain<impl Service<(), Response = &'static str, Error = ChainError>> {
    let clock = ManualClock::new();
    let tiers = [Tier::new("first"), Tier::new("second"), Tier::new("third")];
    let [first, second, third] = tiers.clone();
    let lower = Policy::builder().minimum_calls(4).revert_after(100 * SECOND).build().unwrap();
    let lower = FailoverLayer::with_monitor(third, Monitor::with_clock(lower, clock.clone()));
    let lower_handle = lower.handle();
    let monitor = Monitor::with_clock(Policy::default(), clock.clone());
    let upper = FailoverLayer::with_monitor(lower.layer(second), monitor);
    let upper_handle = upper.handle();
    Chain { service: upper.layer(first), clock, tiers, upper: upper_handle, lower: lower_handle }
}

impl<S: Service<(), Response = &'static str>> Chain<S> {
    async fn call(&mut self) -> Result<&'static str, S::Error> {
        poll_fn(|context| self.service.poll_ready(context)).await?;
        self.service.call(()).await
    }

    async fn calls(&mut self, calls: usize) {
        for _ in 0..calls {
            let _ = self.call().await;
        }
    }

    fn routes(&self) -> (Route, Route) {
        (self.upper.snapshot().route, self.lower.snapshot().route)
    }

    fn break_down(&self, broken: [bool; 3]) {
        self.tiers.iter().zip(broken).for_each(|(tier, broken)| tier.set_broken(broken));
    }
}

#[tokio::test]
async fn each_tier_has_its_own_window_and_handle() {
    let mut chain = chain();
    chain.break_down([true, true, false]);
    chain.calls(9).await;
    assert_eq!(counts(chain.upper.snapshot().tally), (9, 0));
    assert_eq!(chain.lower.snapshot().tally.calls(), 0);
    chain.calls(1).await;
    assert_eq!(chain.routes(), (Route::Fallback, Route::Primary));
    chain.calls(3).await;
    assert_eq!(counts(chain.lower.snapshot().tally), (3, 0));
    chain.calls(1).await;
    assert_eq!(chain.routes(), (Route::Fallback, Route::Fallback));
    assert_eq!(chain.call().await, Ok("third"));
}

#[tokio::test]
async fn only_the_service_of_the_tier_that_is_reached_is_made_ready() {
    let mut chain = chain();
    let polls = |chain: &Chain<_>| [0, 1, 2].map(|tier: usize| chain.tiers[tier].polls());
    chain.calls(1).await;
    assert_eq!(polls(&chain), [1, 0, 0]);
    chain.upper.force(Route::Fallback);
    chain.calls(1).await;
    assert_eq!(polls(&chain), [0, 1, 0]);
    chain.lower.force(Route::Fallback);
    chain.calls(1).await;
    assert_eq!(polls(&chain), [0, 0, 1]);
}

#[tokio::test]
async fn an_error_names_its_tier_and_is_unwrapped_tier_by_tier() {
    let mut chain = chain();
    chain.break_down([true, true, true]);
    assert_eq!(chain.call().await, Err(Error::Primary("first")));
    chain.upper.force(Route::Fallback);
    let second = chain.call().await.unwrap_err();
    assert_eq!(second, Error::Fallback(Error::Primary("second")));
    assert_eq!(format!("{second:#}"), "fallback failed: primary failed: second");
    chain.lower.force(Route::Fallback);
    let third = chain.call().await.unwrap_err();
    assert_eq!(third, Error::Fallback(Error::Fallback("third")));
    assert_eq!(second.map_fallback(Error::into_inner).into_inner(), "second");
    assert_eq!(third.map_fallback(Error::into_inner).into_inner(), "third");
}

#[test]
fn of_two_errors_the_inner_one_is_the_fallbacks() {
    let lower = Error::Primary(2);
    let both: Error<u8, Error<u8, u8>> = Error::Both { primary: 1, fallback: lower };
    assert_eq!(both.map_fallback(Error::into_inner).into_inner(), 2);
    let upper = Error::Fallback(7);
    let sides: Error<Error<u8, u8>, Error<u8, u8>> = Error::Primary(upper);
    assert_eq!(sides.map_primary(|_| ()), Error::Primary(()));
}

#[tokio::test]
async fn a_chain_of_three_reverts_tier_by_tier() {
    let mut chain = chain();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for (tier, handle) in [("upper", &chain.upper), ("lower", &chain.lower)] {
        let seen = Arc::clone(&seen);
        handle.observe(move |event: &Event| seen.lock().unwrap().push((tier, event.cause)));
    }
    chain.break_down([true, true, false]);
    chain.calls(14).await;
    chain.break_down([false, false, false]);
    assert_eq!(chain.call().await, Ok("third"));
    // The lower tier reverts first: calls then go to the second service.
    chain.clock.advance(100 * SECOND);
    assert_eq!(chain.call().await, Ok("second"));
    assert_eq!(chain.routes(), (Route::Fallback, Route::Primary));
    chain.clock.advance(200 * SECOND);
    assert_eq!(chain.call().await, Ok("first"));
    let reverts: Vec<_> =
        seen.lock().unwrap().iter().map(|(tier, cause)| (*tier, *cause)).collect();
    assert_eq!(reverts[2..], [("lower", Cause::Reverted), ("upper", Cause::Reverted)]);
}

/// The lower tier's time runs even if no call reaches it; its next call makes the revert.
#[tokio::test]
async fn the_lower_tiers_time_runs_while_calls_go_to_the_upper_one() {
    let mut chain = chain();
    chain.upper.force(Route::Fallback);
    chain.break_down([false, true, false]);
    chain.calls(4).await;
    chain.upper.release();
    assert_eq!(chain.call().await, Ok("first"));
    chain.clock.advance(100 * SECOND);
    assert_eq!(chain.routes(), (Route::Primary, Route::Primary));
    chain.upper.force(Route::Fallback);
    assert_eq!(chain.call().await, Err(Error::Fallback(Error::Primary("second"))));
}

#[tokio::test]
async fn a_rescue_goes_down_the_whole_chain_and_each_failure_counts_in_its_tier() {
    let clock = ManualClock::new();
    let [first, second, third] = [Tier::new("first"), Tier::new("second"), Tier::new("third")];
    first.set_broken(true);
    second.set_broken(true);
    let monitor = || Monitor::with_clock(Policy::default(), clock.clone());
    let lower = FailoverLayer::with_monitor(third.clone(), monitor()).rescue(Rescue::cloning());
    let lower_handle = lower.handle();
    let upper = FailoverLayer::with_monitor(lower.layer(second), monitor());
    let upper = upper.rescue(Rescue::cloning());
    let upper_handle = upper.handle();
    let service = upper.layer(first);
    let mut chain = Chain {
        service,
        clock,
        tiers: [0; 3].map(|_| third.clone()),
        upper: upper_handle,
        lower: lower_handle,
    };
    assert_eq!(chain.call().await, Ok("third"));
    assert_eq!(counts(chain.upper.snapshot().tally), (1, 0));
    assert_eq!(counts(chain.lower.snapshot().tally), (1, 0));
    third.set_broken(true);
    let all = chain.call().await.unwrap_err();
    let lower = Error::Both { primary: "second", fallback: "third" };
    assert_eq!(all, Error::Both { primary: "first", fallback: lower });
    assert_eq!(all.map_fallback(Error::into_inner).into_inner(), "third");
}
