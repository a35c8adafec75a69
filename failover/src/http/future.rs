//! The future of an HTTP call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::HttpBody;
use super::classify::HttpClassify;
use super::tiers::Mark;
use crate::classify::Classify;
use crate::clock::{Clock, CoarseClock};
use crate::error::{Error, ErrorKind};
use crate::monitor::EngineRef;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::route::Route;
use crate::service::observed::ObservedFuture;

pin_project! {
    /// The future of a call through an [`HttpFailover`](crate::http::HttpFailover). It ends with
    /// the head of the response.
    ///
    /// # Cancel safety
    /// Dropping it drops the chosen service's future. Nothing is recorded, unless the policy sets
    /// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct HttpFuture<P, F, H, Clk = CoarseClock>
    where
        Clk: Clock,
    {
        #[pin]
        pub(super) call: Call<P, F, H, Clk>,
        pub(super) mark: Mark,
    }
}

pin_project! {
    #[project = CallProjection]
    #[derive(Debug)]
    pub(super) enum Call<P, F, H, Clk>
    where
        Clk: Clock,
    {
        Primary { #[pin] call: ObservedFuture<P, UnrecordedCall<Clk>, HttpClassify<H>> },
        Fallback { #[pin] call: F, engine: EngineRef<Clk> },
    }
}

impl<P, F, H, Clk, PB, FB, PE, FE> Future for HttpFuture<P, F, H, Clk>
where
    P: Future<Output = Result<Response<PB>, PE>>,
    F: Future<Output = Result<Response<FB>, FE>>,
    PB: Body,
    H: Classify<Response<PB>, PE>,
    Clk: Clock,
{
    type Output = Result<Response<HttpBody<PB, FB, Clk>>, Error<PE, FE>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut response, route) = match this.call.project() {
            CallProjection::Primary { mut call } => {
                let polled = ready!(call.as_mut().poll(context));
                let engine = &call.call.engine;
                let response = polled.map_err(|e| engine.error(ErrorKind::Primary(e)))?;
                (response.map(|body| HttpBody::primary(body, engine.clone())), Route::Primary)
            }
            CallProjection::Fallback { call, engine } => {
                let polled = ready!(call.poll(context));
                let response = polled.map_err(|e| engine.error(ErrorKind::Fallback(e)))?;
                (response.map(|body| HttpBody::fallback(body, engine.clone())), Route::Fallback)
            }
        };
        this.mark.mark(&mut response, route);
        Poll::Ready(Ok(response))
    }
}
