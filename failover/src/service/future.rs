//! The future of a call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::classify::Classify;
use crate::clock::Clock;
use crate::engine::ticket::Ticket;
use crate::error::Error;
use crate::monitor::EngineRef;
use crate::outcome::Outcome;

pin_project! {
    /// The future of a call through a [`Failover`](crate::service::Failover).
    ///
    /// # Cancel safety
    /// Dropping it drops the chosen service's future and records nothing, unless the policy says
    /// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<P, F, C, Clk>
    where
        Clk: Clock,
    {
        #[pin]
        call: Call<P, F, C, Clk>,
    }
}

pin_project! {
    #[project = CallProjection]
    #[derive(Debug)]
    enum Call<P, F, C, Clk>
    where
        Clk: Clock,
    {
        Primary { #[pin] attempt: Attempt<P, C, Clk> },
        Fallback { #[pin] call: F },
    }
}

impl<P, F, C, Clk: Clock> ResponseFuture<P, F, C, Clk> {
    #[inline]
    pub(crate) fn primary(call: P, ticket: Ticket, engine: EngineRef<Clk>, classify: C) -> Self {
        let ticket = Some(ticket);
        Self { call: Call::Primary { attempt: Attempt { call, ticket, engine, classify } } }
    }

    #[inline]
    pub(crate) fn fallback(call: F) -> Self {
        Self { call: Call::Fallback { call } }
    }
}

impl<P, F, C, Clk, T, PE, FE> Future for ResponseFuture<P, F, C, Clk>
where
    P: Future<Output = Result<T, PE>>,
    F: Future<Output = Result<T, FE>>,
    C: Classify<T, PE>,
    Clk: Clock,
{
    type Output = Result<T, Error<PE, FE>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().call.project() {
            CallProjection::Primary { attempt } => {
                let (result, _) = ready!(attempt.poll(context));
                Poll::Ready(result.map_err(Error::Primary))
            }
            CallProjection::Fallback { call } => call.poll(context).map_err(Error::Fallback),
        }
    }
}

pin_project! {
    /// A call to the primary whose outcome is recorded, once, when it ends, panics, or is dropped.
    #[derive(Debug)]
    pub(crate) struct Attempt<P, C, Clk>
    where
        Clk: Clock,
    {
        #[pin]
        pub(crate) call: P,
        pub(crate) ticket: Option<Ticket>,
        pub(crate) engine: EngineRef<Clk>,
        pub(crate) classify: C,
    }

    impl<P, C, Clk> PinnedDrop for Attempt<P, C, Clk>
    where
        Clk: Clock,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Gone if the call has ended or panicked.
            if let Some(ticket) = this.ticket.take() {
                this.engine.abandon(ticket);
            }
        }
    }
}

impl<P, C, Clk, T, E> Future for Attempt<P, C, Clk>
where
    P: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    Clk: Clock,
{
    type Output = (Result<T, E>, Outcome);

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.engine.guard(this.ticket, || this.call.poll(context)));
        let outcome = this.classify.classify(&result);
        this.engine.settle(this.ticket, outcome);
        Poll::Ready((result, outcome))
    }
}
