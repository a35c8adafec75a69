//! One call of an owned service, including readiness.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// Waits until the service is ready, then calls it once.
    #[project = OneshotProjection]
    pub(crate) enum Oneshot<S, R>
    where
        S: Service<R>,
    {
        Waiting { service: S, request: Option<R> },
        Calling { #[pin] call: S::Future },
    }
}

impl<S: Service<R>, R> Oneshot<S, R> {
    pub(crate) fn new(service: S, request: R) -> Self {
        Self::Waiting { service, request: Some(request) }
    }
}

impl<S: Service<R>, R> Future for Oneshot<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                OneshotProjection::Waiting { service, request } => {
                    ready!(service.poll_ready(context))?;
                    let request = request.take().expect("taken once: `Waiting` ends here");
                    let call = service.call(request);
                    self.set(Self::Calling { call });
                }
                OneshotProjection::Calling { call } => return call.poll(context),
            }
        }
    }
}
