//! A service whose calls are observed: the outcome of each is reported once, when it ends, panics,
//! or is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::classify::Classify;
use crate::clock::Clock;
use crate::engine::ticket::Ticket;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::monitor::{EngineRef, Monitor};
use crate::outcome::Outcome;
use crate::route::Route;

/// The service that is called, and whether the first attempt of the call, at the other service, has
/// failed. One byte, since each call in flight holds it.
#[derive(Clone, Copy, Debug)]
pub enum Attempt {
    /// The first attempt, at the primary.
    Primary,
    /// The first attempt, at the fallback.
    Fallback,
    /// A rescue by the primary.
    RescueByPrimary,
    /// A rescue by the fallback.
    RescueByFallback,
}

impl Attempt {
    fn first(route: Route) -> Self {
        match route {
            Route::Primary => Self::Primary,
            Route::Fallback => Self::Fallback,
        }
    }

    /// The second attempt, at the same service.
    pub(crate) fn rescue(self) -> Self {
        match self.route() {
            Route::Primary => Self::RescueByPrimary,
            Route::Fallback => Self::RescueByFallback,
        }
    }

    #[inline]
    pub(crate) fn route(self) -> Route {
        match self {
            Self::Primary | Self::RescueByPrimary => Route::Primary,
            Self::Fallback | Self::RescueByFallback => Route::Fallback,
        }
    }

    pub(crate) fn is_rescue(self) -> bool {
        matches!(self, Self::RescueByPrimary | Self::RescueByFallback)
    }
}

/// Observes the calls of a service.
pub trait ObserveCalls {
    /// A call in flight.
    type Call: ObservedCall;

    /// A call begins.
    fn start(&self, attempt: Attempt) -> Self::Call;

    /// The service failed to become ready.
    fn refused(&self) {}
}

/// A call in flight. Only the first report counts; without one, its drop reports a dropped call.
pub trait ObservedCall: Sized {
    /// Runs the service's code. A panic is a failure.
    fn guard<T>(&mut self, run: impl FnOnce() -> T) -> T;

    /// Reports the outcome.
    fn end(&mut self, outcome: Outcome);

    /// Moves the call on. What remains reports nothing.
    #[must_use]
    fn take(&mut self) -> Self;
}

/// Reports the outcome of a call, or passes the call on to the response.
pub trait Conclude<T, E, O> {
    /// The output of the call's future.
    type Output;

    /// `call` has returned `result`.
    fn conclude(&self, result: Result<T, E>, call: &mut O) -> Self::Output;
}

/// The outcome is that of the result, by the classifier `C`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult<C>(pub(crate) C);

impl<C: Classify<T, E>, T, E, O: ObservedCall> Conclude<T, E, O> for ByResult<C> {
    type Output = Result<T, E>;

    #[inline]
    fn conclude(&self, result: Result<T, E>, call: &mut O) -> Result<T, E> {
        call.end(self.0.classify(&result));
        result
    }
}

/// A service whose calls `O` observes, with the outcome that `C` reports.
#[derive(Clone, Debug)]
pub struct Observed<S, O, C> {
    pub(crate) service: S,
    pub(crate) observer: O,
    pub(crate) conclude: C,
    pub(crate) attempt: Attempt,
}

impl<S, O, C> Observed<S, O, C> {
    pub(crate) fn new(service: S, observer: O, conclude: C, route: Route) -> Self {
        Self { service, observer, conclude, attempt: Attempt::first(route) }
    }
}

impl<R, S, O, C, T> Service<R> for Observed<S, O, C>
where
    S: Service<R>,
    O: ObserveCalls,
    C: Conclude<S::Response, S::Error, O::Call, Output = Result<T, S::Error>> + Clone,
{
    type Response = T;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future, O::Call, C>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let result = ready!(self.service.poll_ready(context));
        if result.is_err() {
            self.observer.refused();
        }
        Poll::Ready(result)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let mut call = self.observer.start(self.attempt);
        let future = call.guard(|| self.service.call(request));
        ObservedFuture { future, call, conclude: self.conclude.clone() }
    }
}

pin_project! {
    /// The future of a call that is observed.
    ///
    /// # Cancel safety
    /// Dropping it drops the service's future and reports a dropped call.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ObservedFuture<F, O, C> {
        #[pin]
        pub(crate) future: F,
        pub(crate) call: O,
        pub(crate) conclude: C,
    }
}

impl<F, O, C, T, E> ObservedFuture<F, O, C>
where
    F: Future<Output = Result<T, E>>,
    O: ObservedCall,
    C: Conclude<T, E, O>,
{
    /// For the future of a `Failover`. In others an inlined poll costs more than it saves.
    #[inline]
    pub(super) fn poll_inlined(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.project();
        let result = ready!(this.call.guard(|| this.future.poll(context)));
        Poll::Ready(this.conclude.conclude(result, this.call))
    }
}

impl<F, O, C, T, E> Future for ObservedFuture<F, O, C>
where
    F: Future<Output = Result<T, E>>,
    O: ObservedCall,
    C: Conclude<T, E, O>,
{
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_inlined(context)
    }
}

impl<Clk: Clock> UnrecordedCall<Clk> {
    /// The future of a call that begins with `ticket`.
    #[inline]
    pub(crate) fn future<F, C>(
        future: F,
        ticket: Ticket,
        engine: EngineRef<Clk>,
        conclude: C,
    ) -> ObservedFuture<F, Self, C> {
        ObservedFuture { future, call: Self::new(Some(ticket), engine), conclude }
    }
}

impl<Clk: Clock> ObservedCall for UnrecordedCall<Clk> {
    #[inline]
    fn guard<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.run(run)
    }

    #[inline]
    fn end(&mut self, outcome: Outcome) {
        self.record(outcome);
    }

    #[inline]
    fn take(&mut self) -> Self {
        Self { ticket: self.ticket.take(), engine: self.engine.clone() }
    }
}

/// A monitor whose own route changes nothing: it counts the calls that it admits.
impl<Clk: Clock> ObserveCalls for Monitor<Clk> {
    type Call = UnrecordedCall<Clk>;

    fn start(&self, _: Attempt) -> UnrecordedCall<Clk> {
        UnrecordedCall::new(self.admit().ticket(), self.engine_ref().clone())
    }

    fn refused(&self) {
        self.engine_ref().settle(&mut self.admit().ticket(), Outcome::Failure);
    }
}

/// Two observers of the same calls.
impl<A: ObserveCalls, B: ObserveCalls> ObserveCalls for (A, B) {
    type Call = (A::Call, B::Call);

    #[inline]
    fn start(&self, attempt: Attempt) -> Self::Call {
        (self.0.start(attempt), self.1.start(attempt))
    }

    fn refused(&self) {
        self.0.refused();
        self.1.refused();
    }
}

impl<A: ObservedCall, B: ObservedCall> ObservedCall for (A, B) {
    #[inline]
    fn guard<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.0.guard(|| self.1.guard(run))
    }

    #[inline]
    fn end(&mut self, outcome: Outcome) {
        self.0.end(outcome);
        self.1.end(outcome);
    }

    fn take(&mut self) -> Self {
        (self.0.take(), self.1.take())
    }
}
