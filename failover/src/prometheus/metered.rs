//! One of the two services, with its calls counted and timed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::cells::{Cells, Ended};
use crate::classify::Classify;
use crate::clock::{Clock, FineClock, Moment};
use crate::outcome::Outcome;
use crate::route::Route;

/// Counts the calls of one route.
#[derive(Clone, Debug)]
pub(crate) struct Meter<Clk> {
    pub(crate) cells: &'static Cells,
    pub(crate) route: Route,
    pub(crate) clock: Clk,
}

impl<Clk: Clock> Meter<Clk> {
    /// Starts timing a call.
    pub(crate) fn start(&self) -> Timing<Clk> {
        Timing { since: self.clock.now(), meter: self.clone(), stage: Stage::Outside }
    }
}

/// A call in flight. It is counted once: when it ends, or when it is dropped.
#[derive(Debug)]
pub(crate) struct Timing<Clk: Clock> {
    meter: Meter<Clk>,
    since: Moment,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The service's code is not running.
    Outside,
    /// The service's code is running; if dropped in this stage, it has panicked.
    Inside,
    Over,
}

impl<Clk: Clock> Timing<Clk> {
    /// Runs the service's code.
    pub(crate) fn inside<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.stage = Stage::Inside;
        let result = run();
        self.stage = Stage::Outside;
        result
    }

    pub(crate) fn end(&mut self, ended: Ended) {
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            let nanos = self.meter.clock.now().nanos_since(self.since);
            self.meter.cells.count(self.meter.route, ended, nanos);
        }
    }
}

impl<Clk: Clock> Drop for Timing<Clk> {
    fn drop(&mut self) {
        self.end(match self.stage {
            Stage::Inside => Ended::With(Outcome::Failure),
            Stage::Outside | Stage::Over => Ended::Dropped,
        });
    }
}

/// The primary or the fallback of a failover, with its calls counted and timed. Made by
/// [`FailoverLayer::metered`](crate::service::layer::FailoverLayer::metered).
///
/// A call lasts from `call` to the end of its future, without readiness. A panic is a failure. A
/// primary that fails to become ready is not counted.
#[derive(Clone, Debug)]
pub struct Metered<S, C, Clk = FineClock> {
    service: S,
    classify: C,
    meter: Meter<Clk>,
}

impl<S, C, Clk> Metered<S, C, Clk> {
    pub(super) fn new(service: S, classify: C, meter: Meter<Clk>) -> Self {
        Self { service, classify, meter }
    }
}

impl<R, S, C, Clk> Service<R> for Metered<S, C, Clk>
where
    S: Service<R>,
    C: Classify<S::Response, S::Error> + Clone,
    Clk: Clock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = MeteredFuture<S::Future, C, Clk>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let mut timing = self.meter.start();
        let call = timing.inside(|| self.service.call(request));
        MeteredFuture { call, timing, classify: self.classify.clone() }
    }
}

pin_project! {
    /// The future of a [`Metered`] call.
    ///
    /// # Cancel safety
    /// Dropping it drops the service's future and counts the call as dropped.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct MeteredFuture<F, C, Clk = FineClock>
    where
        Clk: Clock,
    {
        #[pin]
        call: F,
        timing: Timing<Clk>,
        classify: C,
    }
}

impl<F, C, Clk, T, E> Future for MeteredFuture<F, C, Clk>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    Clk: Clock,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.timing.inside(|| this.call.poll(context)));
        this.timing.end(Ended::With(this.classify.classify(&result)));
        Poll::Ready(result)
    }
}
