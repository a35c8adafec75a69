//! The future of a call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::classify::Classify;
use crate::clock::Clock;
use crate::engine::ticket::Ticket;
use crate::error::Error;
use crate::monitor::EngineRef;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::service::observed::{ByResult, ObservedFuture};

pin_project! {
    /// The future of a call through a [`Failover`](crate::service::Failover).
    ///
    /// # Cancel safety
    /// Dropping it drops the chosen service's future and records no outcome, unless the policy says
    /// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after). A call to the primary is then one
    /// of the [dropped](crate::monitor::Tally::dropped).
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
        Primary { #[pin] call: ObservedFuture<P, UnrecordedCall<Clk>, ByResult<C>> },
        Fallback { #[pin] call: F },
    }
}

impl<P, F, C, Clk: Clock> ResponseFuture<P, F, C, Clk> {
    #[inline]
    pub(crate) fn primary(call: P, ticket: Ticket, engine: EngineRef<Clk>, classify: C) -> Self {
        let call = UnrecordedCall::future(call, ticket, engine, ByResult(classify));
        Self { call: Call::Primary { call } }
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
            CallProjection::Primary { call } => call.poll_inlined(context).map_err(Error::Primary),
            CallProjection::Fallback { call } => call.poll(context).map_err(Error::Fallback),
        }
    }
}
