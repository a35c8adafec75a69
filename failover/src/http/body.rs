//! The body that a caller gets, whichever service it came from.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::classify::EosPolicy;
use super::end::{ObservedBody, UnrecordedCall};
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::route::Route;

pin_project! {
    /// The body of an answer through an [`HttpFailover`](crate::http::HttpFailover): the primary's
    /// own, which records the call when it ends, or the fallback's own. Not boxed.
    ///
    /// # Cancel safety
    /// Dropping it drops the service's body. What that says about the primary is in the
    /// [module's documentation](crate::http).
    #[derive(Debug)]
    #[must_use = "a body that is not read says nothing about its end"]
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

impl<P: Body, F, Clk: Clock> HttpBody<P, F, Clk> {
    /// Records when it ends.
    pub(super) fn open(body: P, pending: UnrecordedCall<Clk>, eos: EosPolicy) -> Self {
        Self { source: Source::Primary { body: ObservedBody::new(body, pending, eos) } }
    }

    /// Of a call that is recorded, or is not to be.
    pub(super) fn over(body: P, pending: UnrecordedCall<Clk>, eos: EosPolicy) -> Self {
        Self { source: Source::Primary { body: ObservedBody::over(body, pending, eos) } }
    }

    pub(super) fn fallback(body: F) -> Self {
        Self { source: Source::Fallback { body } }
    }
}

impl<P, F, Clk: Clock> HttpBody<P, F, Clk> {
    /// Whose body it is.
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
