//! The response body of an HTTP failover, from either service.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::end::ObservedBody;
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::route::Route;

pin_project! {
    /// The body of a response through an [`HttpFailover`](crate::http::HttpFailover): the
    /// primary's, which records the call when it ends, or the fallback's. Not boxed.
    ///
    /// # Cancel safety
    /// Dropping it drops the service's body. The [module's documentation](crate::http) lists the
    /// outcome that is recorded.
    #[derive(Debug)]
    #[must_use = "the call is recorded when the body ends"]
    pub struct HttpBody<P, F, Clk = CoarseClock>
    where
        Clk: Clock,
    {
        #[pin]
        source: Source<P, F, Clk>,
    }
}

pin_project! {
    #[project = SourceProjection]
    #[derive(Debug)]
    enum Source<P, F, Clk>
    where
        Clk: Clock,
    {
        Primary { #[pin] body: ObservedBody<P, UnrecordedCall<Clk>> },
        Fallback { #[pin] body: F },
    }
}

impl<P, F, Clk: Clock> HttpBody<P, F, Clk> {
    pub(super) fn primary(body: ObservedBody<P, UnrecordedCall<Clk>>) -> Self {
        Self { source: Source::Primary { body } }
    }

    pub(super) fn fallback(body: F) -> Self {
        Self { source: Source::Fallback { body } }
    }

    /// The service that the body comes from.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.source {
            Source::Primary { .. } => Route::Primary,
            Source::Fallback { .. } => Route::Fallback,
        }
    }
}

impl<P, F, Clk> Body for HttpBody<P, F, Clk>
where
    P: Body,
    F: Body<Data = P::Data>,
    Clk: Clock,
{
    type Data = P::Data;
    type Error = Error<P::Error, F::Error>;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().source.project() {
            SourceProjection::Primary { body } => {
                body.poll_frame(context).map(|frame| frame.map(|f| f.map_err(Error::Primary)))
            }
            SourceProjection::Fallback { body } => {
                body.poll_frame(context).map(|frame| frame.map(|f| f.map_err(Error::Fallback)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Primary { body } => body.is_end_stream(),
            Source::Fallback { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Primary { body } => body.size_hint(),
            Source::Fallback { body } => body.size_hint(),
        }
    }
}
