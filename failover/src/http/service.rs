//! The HTTP service: a primary and a fallback, and a monitor between them.

use std::task::{Context, Poll};

use http::Response;
use http_body::Body;
use tower_service::Service;

use super::body::HttpBody;
use super::classify::{HttpClassify, ServerErrorsAsFailures};
use super::end::UnrecordedCall;
use super::future::HttpFuture;
use crate::classify::Classify;
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::service::readiness::Switch;

/// A [`Failover`](crate::service::Failover) for HTTP, which records a call when the body of its answer has
/// ended. Made by [`HttpFailoverLayer`](crate::http::HttpFailoverLayer).
///
/// Readiness, clones and panics are as with [`Failover`](crate::service::Failover). The two services may
/// answer with bodies of different types, if the data in them is of one type.
#[derive(Clone, Debug)]
pub struct HttpFailover<P, F, H = ServerErrorsAsFailures, Clk = CoarseClock>
where
    Clk: Clock,
{
    switch: Switch<P, F, Clk>,
    classify: HttpClassify<H>,
    mark: bool,
}

impl<P, F: Clone, H, Clk: Clock> HttpFailover<P, F, H, Clk> {
    pub(super) fn new(
        primary: P,
        fallback: F,
        classify: HttpClassify<H>,
        monitor: Monitor<Clk>,
        mark: bool,
    ) -> Self {
        Self { switch: Switch::new(primary, fallback, monitor), classify, mark }
    }
}

impl<P, F, H, Clk: Clock> HttpFailover<P, F, H, Clk> {
    /// The operator's side.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<Clk> {
        self.switch.monitor.handle()
    }
}

impl<R, P, F, H, Clk, PB, FB> Service<R> for HttpFailover<P, F, H, Clk>
where
    P: Service<R, Response = Response<PB>>,
    F: Service<R, Response = Response<FB>>,
    PB: Body,
    FB: Body<Data = PB::Data>,
    H: Classify<Response<PB>, P::Error> + Clone,
    Clk: Clock,
{
    type Response = Response<HttpBody<PB, FB, Clk>>;
    type Error = Error<P::Error, F::Error>;
    type Future = HttpFuture<P::Future, F::Future, H, Clk>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.switch.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        match self.switch.choose::<R>() {
            Some(admitted) => {
                let engine = self.switch.monitor.engine_ref();
                let (call, ticket) = engine.call(admitted, || self.switch.primary.call(request));
                let pending = UnrecordedCall::new(Some(ticket), engine.clone());
                HttpFuture::primary(call, pending, self.classify.clone(), self.mark)
            }
            None => HttpFuture::fallback(self.switch.fallback.call(request), self.mark),
        }
    }
}
