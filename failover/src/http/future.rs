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
use crate::error::Error;
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
        Fallback { #[pin] call: F },
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
            CallProjection::Primary { call } => {
                let response = ready!(call.poll(context)).map_err(Error::Primary)?;
                (response.map(HttpBody::primary), Route::Primary)
            }
            CallProjection::Fallback { call } => {
                let response = ready!(call.poll(context)).map_err(Error::Fallback)?;
                (response.map(HttpBody::fallback), Route::Fallback)
            }
        };
        this.mark.mark(&mut response, route);
        Poll::Ready(Ok(response))
    }
}
