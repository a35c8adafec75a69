//! The HTTP service: a primary and a fallback, and a monitor between them.

use std::task::{Context, Poll};

use http::Response;
use http_body::Body;
use tower_service::Service;

use super::body::HttpBody;
use super::classify::{FaultyStatus, HttpClassify};
use super::end::Pending;
use super::future::HttpFuture;
use crate::clock::{Clock, CoarseClock};
use crate::switch::{Choice, Switch};
use crate::{Classify, Error, FailoverHandle, Monitor};

/// A [`Failover`](crate::Failover) for HTTP, which records a call when the body of its answer has
/// ended. Made by [`HttpFailoverLayer`](crate::http::HttpFailoverLayer).
///
/// Readiness, clones and panics are as with [`Failover`](crate::Failover). The two services may
/// answer with bodies of different types, if the data in them is of one type.
#[derive(Clone, Debug)]
pub struct HttpFailover<P, F, H = FaultyStatus, K = CoarseClock>
where
    K: Clock,
{
    switch: Switch<P, F, K>,
    classify: HttpClassify<H>,
    mark: bool,
}

impl<P, F: Clone, H, K: Clock> HttpFailover<P, F, H, K> {
    pub(super) fn new(
        primary: P,
        fallback: F,
        classify: HttpClassify<H>,
        monitor: Monitor<K>,
        mark: bool,
    ) -> Self {
        Self { switch: Switch::new(primary, fallback, monitor), classify, mark }
    }
}

impl<P, F, H, K: Clock> HttpFailover<P, F, H, K> {
    /// The operator's side.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<K> {
        self.switch.monitor.handle()
    }
}

impl<R, P, F, H, K, PB, FB> Service<R> for HttpFailover<P, F, H, K>
where
    P: Service<R, Response = Response<PB>>,
    F: Service<R, Response = Response<FB>>,
    PB: Body,
    FB: Body<Data = PB::Data>,
    H: Classify<Response<PB>, P::Error> + Clone,
    K: Clock,
{
    type Response = Response<HttpBody<PB, FB, K>>;
    type Error = Error<P::Error, F::Error>;
    type Future = HttpFuture<P::Future, F::Future, H, K>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.switch.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        match self.switch.choose::<R>() {
            Choice::Primary(stub) => {
                let watch = self.switch.monitor.watch();
                let (call, ticket) = watch.call(stub, || self.switch.primary.call(request));
                let pending = Pending::new(Some(ticket), watch.clone());
                HttpFuture::primary(call, pending, self.classify.clone(), self.mark)
            }
            Choice::Fallback => HttpFuture::fallback(self.switch.fallback.call(request), self.mark),
        }
    }
}
