//! The future of a call that may be rescued.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::classify::Classify;
use crate::clock::Clock;
use crate::engine::ticket::Ticket;
use crate::error::{Error, ErrorKind};
use crate::monitor::EngineRef;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::outcome::Outcome;
use crate::service::observed::{Conclude, ObservedCall, ObservedFuture};
use crate::service::oneshot::Oneshot;

pin_project! {
    /// The future of a call through a [`Rescuing`](crate::service::rescue::Rescuing) failover.
    ///
    /// # Cancel safety
    /// See [`Rescuing`](crate::service::rescue::Rescuing).
    #[project = RescueFutureProjection]
    #[must_use = "futures do nothing unless polled"]
    pub struct RescueFuture<R, P, F, C, Clk>
    where
        P: Service<R>,
        F: Service<R, Response = P::Response>,
        Clk: Clock,
    {
        #[pin]
        stage: Stage<R, P, F, C, Clk>,
        engine: EngineRef<Clk>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<R, P, F, C, Clk>
    where
        P: Service<R>,
        F: Service<R, Response = P::Response>,
        Clk: Clock,
    {
        // The first attempt, and the service and request of a rescue.
        Primary {
            #[pin] attempt: ObservedFuture<P::Future, UnrecordedCall<Clk>, WithOutcome<C>>,
            standby: Option<(F, R)>,
        },
        Fallback { #[pin] call: F::Future, classify: C, standby: Option<(P, R)> },
        // The rescue, and the result of the first attempt.
        ByFallback { #[pin] rescue: Oneshot<F, R>, first: Option<Result<P::Response, P::Error>> },
        ByPrimary { #[pin] rescue: Oneshot<P, R>, first: Option<Result<P::Response, F::Error>> },
    }
}

/// The result and the outcome of a call.
struct WithOutcome<C>(C);

impl<C: Classify<T, E>, T, E, O: ObservedCall> Conclude<T, E, O> for WithOutcome<C> {
    type Output = (Result<T, E>, Outcome);

    #[inline]
    fn conclude(&self, result: Result<T, E>, call: &mut O) -> Self::Output {
        let outcome = self.0.classify(&result);
        call.end(outcome);
        (result, outcome)
    }
}

impl<R, P, F, C, Clk> RescueFuture<R, P, F, C, Clk>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    Clk: Clock,
{
    pub(super) fn primary(
        (call, ticket): (P::Future, Ticket),
        engine: EngineRef<Clk>,
        classify: C,
        standby: Option<(F, R)>,
    ) -> Self {
        let attempt = UnrecordedCall::future(call, ticket, engine.clone(), WithOutcome(classify));
        Self { stage: Stage::Primary { attempt, standby }, engine }
    }

    pub(super) fn fallback(
        call: F::Future,
        engine: EngineRef<Clk>,
        classify: C,
        standby: Option<(P, R)>,
    ) -> Self {
        Self { stage: Stage::Fallback { call, classify, standby }, engine }
    }
}

impl<R, P, F, C, Clk> Future for RescueFuture<R, P, F, C, Clk>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    C: Classify<P::Response, P::Error> + Classify<P::Response, F::Error>,
    Clk: Clock,
{
    type Output = Result<P::Response, Error<P::Error, F::Error>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let RescueFutureProjection { mut stage, engine } = self.project();
        let failed = |kind| engine.error(kind);
        loop {
            match stage.as_mut().project() {
                StageProjection::Primary { attempt, standby } => {
                    let (result, outcome) = ready!(attempt.poll_inlined(context));
                    match standby.take() {
                        Some((fallback, request)) if outcome.is_failure() => {
                            let rescue = Oneshot::new(fallback, request);
                            stage.set(Stage::ByFallback { rescue, first: Some(result) });
                        }
                        _ => return Poll::Ready(result.map_err(|e| failed(ErrorKind::Primary(e)))),
                    }
                }
                StageProjection::Fallback { call, classify, standby } => {
                    let result = ready!(call.poll(context));
                    match standby.take() {
                        Some((primary, request)) if classify.classify(&result).is_failure() => {
                            let rescue = Oneshot::new(primary, request);
                            stage.set(Stage::ByPrimary { rescue, first: Some(result) });
                        }
                        _ => {
                            return Poll::Ready(result.map_err(|e| failed(ErrorKind::Fallback(e))));
                        }
                    }
                }
                StageProjection::ByFallback { rescue, first } => {
                    let result = ready!(rescue.poll(context));
                    return Poll::Ready(match (result, first.take()) {
                        (Ok(response), _) | (Err(_), Some(Ok(response))) => Ok(response),
                        (Err(fallback), Some(Err(primary))) => {
                            Err(failed(ErrorKind::Both { primary, fallback }))
                        }
                        (Err(fallback), None) => Err(failed(ErrorKind::Fallback(fallback))),
                    });
                }
                StageProjection::ByPrimary { rescue, first } => {
                    let result = ready!(rescue.poll(context));
                    return Poll::Ready(match (result, first.take()) {
                        (Ok(response), _) | (Err(_), Some(Ok(response))) => Ok(response),
                        (Err(primary), Some(Err(fallback))) => {
                            Err(failed(ErrorKind::Both { primary, fallback }))
                        }
                        (Err(primary), None) => Err(failed(ErrorKind::Primary(primary))),
                    });
                }
            }
        }
    }
}

impl<R, P, F, C, Clk> fmt::Debug for RescueFuture<R, P, F, C, Clk>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    Clk: Clock,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Primary { .. } => "Primary",
            Stage::Fallback { .. } => "Fallback",
            Stage::ByFallback { .. } => "ByFallback",
            Stage::ByPrimary { .. } => "ByPrimary",
        };
        f.debug_struct("RescueFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
