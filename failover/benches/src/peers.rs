//! The neighbours, each as a tower service with a fallback.
//!
//! `recloser` and `failsafe` guard futures and reject them; what follows a rejection is their
//! user's. Here it is a call to the fallback, without a box and without another reference count.
//! `tower-resilience-circuitbreaker` is a tower service, and has its own fallback.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use failsafe::FailurePolicy;
use failsafe::backoff;
use failsafe::failure_policy::{consecutive_failures, success_rate_over_time_window};
use failsafe::futures::CircuitBreaker as _;
use pin_project_lite::pin_project;
use recloser::{AnyError, AsyncRecloser, Recloser, RecloserFuture};
use tower::Service;
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};

use crate::services::{Answer, Call, Down, Tested, fallback, primary};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A circuit breaker.
pub(crate) trait Breaker: Clone + Send + 'static {
    type Error: Send + std::fmt::Debug;
    type Future: Future<Output = Result<Answer, Self::Error>> + Send;

    fn guard(&self, call: Call) -> Self::Future;

    fn rejects(error: &Self::Error) -> bool;
}

impl Breaker for AsyncRecloser {
    type Error = recloser::Error<Down>;
    type Future = RecloserFuture<Call, AnyError>;

    #[inline]
    fn guard(&self, call: Call) -> Self::Future {
        self.call(call)
    }

    #[inline]
    fn rejects(error: &Self::Error) -> bool {
        matches!(error, recloser::Error::Rejected)
    }
}

impl<P: FailurePolicy + Send + Sync + 'static> Breaker for failsafe::StateMachine<P, ()> {
    type Error = failsafe::Error<Down>;
    type Future = failsafe::futures::ResponseFuture<Call, P, (), failsafe::Any>;

    #[inline]
    fn guard(&self, call: Call) -> Self::Future {
        self.call_with(failsafe::Any, call)
    }

    #[inline]
    fn rejects(error: &Self::Error) -> bool {
        matches!(error, failsafe::Error::Rejected)
    }
}

/// A primary guarded by a breaker, and a fallback for rejected calls.
#[derive(Clone)]
pub(crate) struct Guarded<B, P, F> {
    breaker: B,
    primary: P,
    fallback: F,
}

impl<B, P, F> Service<bool> for Guarded<B, P, F>
where
    B: Breaker,
    P: Service<bool, Future = Call, Response = Answer, Error = Down>,
    F: Service<bool, Response = Answer, Error = Down> + Clone,
{
    type Response = Answer;
    type Error = Failed<B::Error>;
    type Future = GuardedFuture<B, F>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.primary.poll_ready(context).map_err(Failed::Second)
    }

    #[inline]
    fn call(&mut self, request: bool) -> Self::Future {
        let call = self.breaker.guard(self.primary.call(request));
        GuardedFuture { stage: Stage::Guarded { call }, fallback: self.fallback.clone(), request }
    }
}

/// The guarded call's error, or the fallback's.
#[derive(Debug)]
pub(crate) enum Failed<E> {
    First(E),
    Second(Down),
}

pin_project! {
    pub(crate) struct GuardedFuture<B: Breaker, F: Service<bool>> {
        #[pin]
        stage: Stage<B::Future, F::Future>,
        fallback: F,
        request: bool,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<G, C> {
        Guarded { #[pin] call: G },
        Fallback { #[pin] call: C },
    }
}

impl<B, F> Future for GuardedFuture<B, F>
where
    B: Breaker,
    F: Service<bool, Response = Answer, Error = Down>,
{
    type Output = Result<Answer, Failed<B::Error>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Guarded { call } => match ready!(call.poll(context)) {
                    Err(error) if B::rejects(&error) => {
                        let call = this.fallback.call(*this.request);
                        this.stage.set(Stage::Fallback { call });
                    }
                    result => return Poll::Ready(result.map_err(Failed::First)),
                },
                StageProjection::Fallback { call } => {
                    return Poll::Ready(ready!(call.poll(context)).map_err(Failed::Second));
                }
            }
        }
    }
}

fn guarded<B: Breaker>(breaker: B) -> impl Tested {
    Guarded { breaker, primary: primary(), fallback: fallback() }
}

/// A threshold that trips, or one that no share can reach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trips {
    AtHalf,
    Never,
}

/// The last 100 calls.
pub(crate) fn recloser(trips: Trips) -> impl Tested {
    let rate = if trips == Trips::Never { 2.0 } else { 0.6 };
    guarded(AsyncRecloser::from(
        Recloser::custom().error_rate(rate).closed_len(100).open_wait(HOUR).build(),
    ))
}

/// An exponentially weighted average over a minute.
pub(crate) fn failsafe(trips: Trips) -> impl Tested {
    let required = if trips == Trips::Never { 0.0 } else { 0.4 };
    let policy = success_rate_over_time_window(required, 10, MINUTE, backoff::constant(HOUR));
    guarded(failsafe::Config::new().failure_policy(policy).build())
}

/// A breaker that trips at once: the average trips after a minute at the earliest.
pub(crate) fn hasty_failsafe() -> impl Tested {
    let policy = consecutive_failures(10, backoff::constant(HOUR));
    guarded(failsafe::Config::new().failure_policy(policy).build())
}

/// A window of either kind. `manual`: it counts but never trips.
pub(crate) fn tower_resilience(kind: SlidingWindowType, trips: Trips, manual: bool) -> impl Tested {
    let builder = CircuitBreakerLayer::builder()
        .sliding_window_type(kind)
        .sliding_window_size(100)
        .sliding_window_duration(MINUTE)
        .minimum_number_of_calls(if trips == Trips::Never { usize::MAX } else { 10 })
        .failure_rate_threshold(0.6)
        .wait_duration_in_open(HOUR);
    let builder = if manual { builder.manual_mode() } else { builder };
    let layer = builder.build().unwrap_or_else(|error| panic!("{error}"));
    layer.layer_fn(primary()).with_fallback(|request| Box::pin(fallback().call(request)))
}
