//! The future of a call that may be rescued.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::respond::Respond;
use crate::clock::Clock;
use crate::error::Error;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::service::oneshot::Oneshot;

pin_project! {
    /// The future of a call through a [`Rescuing`](crate::service::rescue::Rescuing) failover.
    ///
    /// # Cancel safety
    /// See [`Rescuing`](crate::service::rescue::Rescuing).
    #[must_use = "futures do nothing unless polled"]
    pub struct RescueFuture<R, P, F, A, Clk>
    where
        P: Service<R>,
        F: Service<R>,
        A: Respond<R, P, F, Clk>,
        Clk: Clock,
    {
        // Dropped before `call`, which reports the drop.
        #[pin]
        stage: Stage<R, P, F, A::Response>,
        // Records nothing if the call was not admitted to the primary.
        call: UnrecordedCall<Clk>,
        respond: A,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<R, P, F, T>
    where
        P: Service<R>,
        F: Service<R>,
    {
        // The first attempt, and the service and request of a rescue.
        Primary { #[pin] attempt: P::Future, standby: Option<(F, R)> },
        Fallback { #[pin] attempt: F::Future, standby: Option<(P, R)> },
        // The rescue, and the result of the first attempt.
        ByFallback { #[pin] rescue: Oneshot<F, R>, first: Option<Result<T, P::Error>> },
        ByPrimary { #[pin] rescue: Oneshot<P, R>, first: Option<Result<T, F::Error>> },
    }
}

impl<R, P, F, A, Clk> RescueFuture<R, P, F, A, Clk>
where
    P: Service<R>,
    F: Service<R>,
    A: Respond<R, P, F, Clk>,
    Clk: Clock,
{
    pub(super) fn primary(
        attempt: P::Future,
        call: UnrecordedCall<Clk>,
        respond: A,
        standby: Option<(F, R)>,
    ) -> Self {
        Self { stage: Stage::Primary { attempt, standby }, call, respond }
    }

    pub(super) fn fallback(
        attempt: F::Future,
        call: UnrecordedCall<Clk>,
        respond: A,
        standby: Option<(P, R)>,
    ) -> Self {
        Self { stage: Stage::Fallback { attempt, standby }, call, respond }
    }
}

impl<R, P, F, A, Clk> Future for RescueFuture<R, P, F, A, Clk>
where
    P: Service<R>,
    F: Service<R>,
    A: Respond<R, P, F, Clk>,
    Clk: Clock,
{
    type Output = Result<A::Response, Error<P::Error, F::Error>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut stage, call, respond) = (this.stage, this.call, &*this.respond);
        loop {
            match stage.as_mut().project() {
                StageProjection::Primary { attempt, standby } => {
                    let result = ready!(call.run(|| attempt.poll(context)));
                    let (result, outcome) = respond.primary(result, call);
                    match standby.take() {
                        Some((fallback, request)) if outcome.is_failure() => {
                            let rescue = Oneshot::new(fallback, request);
                            stage.set(Stage::ByFallback { rescue, first: Some(result) });
                        }
                        _ => {
                            return Poll::Ready(result.map_err(Error::Primary));
                        }
                    }
                }
                StageProjection::Fallback { attempt, standby } => {
                    let result = ready!(attempt.poll(context));
                    let standby = standby.take();
                    let standby =
                        standby.filter(|_| respond.classify_fallback(&result).is_failure());
                    let result = result.map(|response| respond.fallback(response));
                    match standby {
                        Some((primary, request)) => {
                            let rescue = Oneshot::new(primary, request);
                            stage.set(Stage::ByPrimary { rescue, first: Some(result) });
                        }
                        None => {
                            return Poll::Ready(result.map_err(Error::Fallback));
                        }
                    }
                }
                StageProjection::ByFallback { rescue, first } => {
                    let result = ready!(rescue.poll(context));
                    return Poll::Ready(match (result, first.take()) {
                        (Ok(response), _) => Ok(respond.fallback(response)),
                        (Err(_), Some(Ok(response))) => Ok(response),
                        (Err(fallback), Some(Err(primary))) => {
                            Err(Error::Both { primary, fallback })
                        }
                        (Err(fallback), None) => Err(Error::Fallback(fallback)),
                    });
                }
                StageProjection::ByPrimary { rescue, first } => {
                    let (result, _) = respond.primary(ready!(rescue.poll(context)), call);
                    return Poll::Ready(match (result, first.take()) {
                        (Ok(response), _) | (Err(_), Some(Ok(response))) => Ok(response),
                        (Err(primary), Some(Err(fallback))) => {
                            Err(Error::Both { primary, fallback })
                        }
                        (Err(primary), None) => Err(Error::Primary(primary)),
                    });
                }
            }
        }
    }
}

impl<R, P, F, A, Clk> fmt::Debug for RescueFuture<R, P, F, A, Clk>
where
    P: Service<R>,
    F: Service<R>,
    A: Respond<R, P, F, Clk>,
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
