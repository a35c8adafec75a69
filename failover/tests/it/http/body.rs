//! A scripted body, and a failover whose primary responds with it.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use failover::clock::ManualClock;
use failover::http::{
    HttpBody, HttpClassify, HttpFailover, HttpFailoverLayer, ServerErrorsAsFailures,
};
use failover::{Classify, Error, Policy};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tower::{Layer, Service};

use crate::common::{Watched, counts};

/// One `poll_frame` of a body. After the last step it has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Data,
    /// Trailers, with a `grpc-status` or with something else.
    Trailers(Option<&'static str>),
    Wait,
    Break,
    Panic,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Scripted {
    pub(super) steps: VecDeque<Step>,
    /// Whether `is_end_stream` is true after the last frame.
    pub(super) knows_its_end: bool,
    /// Whether `is_end_stream` and `size_hint` panic.
    pub(super) faulty: Arc<AtomicBool>,
}

pub(super) fn scripted(steps: impl Into<VecDeque<Step>>) -> Scripted {
    Scripted { steps: steps.into(), ..Scripted::default() }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Data) => Some(Ok(Frame::data(Bytes::from_static(b"data")))),
            Some(Step::Trailers(status)) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-checksum", 7.into());
                if let Some(status) = status {
                    trailers.insert("grpc-status", status.parse().unwrap());
                }
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Step::Wait) => return Poll::Pending,
            Some(Step::Break) => Some(Err("broken off")),
            Some(Step::Panic) => panic!("a faulty body"),
        })
    }

    fn is_end_stream(&self) -> bool {
        assert!(!self.faulty.load(Ordering::Relaxed), "a faulty body");
        self.knows_its_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        assert!(!self.faulty.load(Ordering::Relaxed), "a faulty body");
        SizeHint::default()
    }
}

pub(super) type Answer = Result<Response<Scripted>, &'static str>;

/// A primary with this response.
#[derive(Clone)]
pub(super) struct Primary(pub(super) Arc<Mutex<Answer>>);

impl Service<()> for Primary {
    type Response = Response<Scripted>;
    type Error = &'static str;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(self.0.lock().unwrap().clone())
    }
}

/// A fallback that responds 200 with a body of another type.
#[derive(Clone)]
pub(super) struct Fallback;

impl Service<()> for Fallback {
    type Response = Response<Full<Bytes>>;
    type Error = std::io::Error;
    type Future = Ready<Result<Response<Full<Bytes>>, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(Response::new(Full::from("fallback"))))
    }
}

pub(super) type OurBody = HttpBody<Scripted, Full<Bytes>, ManualClock>;

pub(super) struct Rig<H = ServerErrorsAsFailures> {
    pub(super) watched: Watched,
    pub(super) answer: Arc<Mutex<Answer>>,
    pub(super) service: HttpFailover<Primary, Fallback, H, ManualClock>,
}

pub(super) fn rig<H>(classify: HttpClassify<H>) -> Rig<H>
where
    H: Classify<Response<Scripted>, &'static str> + Clone,
{
    let watched = Watched::new(Policy::default());
    let answer = Arc::new(Mutex::new(Err("not set")));
    let layer = HttpFailoverLayer::with_monitor(Fallback, watched.monitor.clone());
    let service = layer.classify(classify).layer(Primary(Arc::clone(&answer)));
    Rig { watched, answer, service }
}

impl<H> Rig<H>
where
    H: Classify<Response<Scripted>, &'static str> + Clone,
{
    /// The response to one call, for which the primary has this.
    pub(super) fn call(
        &mut self,
        answer: Answer,
    ) -> Result<Response<OurBody>, Error<&'static str, std::io::Error>> {
        *self.answer.lock().unwrap() = answer;
        answered(&mut self.service)
    }

    /// The body of a response 200 with these steps.
    pub(super) fn body(&mut self, steps: &[Step]) -> OurBody {
        let body = scripted(steps.to_vec());
        self.call(Ok(Response::new(body))).unwrap().into_body()
    }

    /// Failures and successes.
    pub(super) fn counts(&self) -> (u64, u64) {
        counts(self.watched.tally())
    }
}

pub(super) fn answered<S: Service<()>>(service: &mut S) -> Result<S::Response, S::Error> {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    match pin!(service.call(())).poll(&mut context) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the mocks answer at once"),
    }
}

type Next<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

/// Polls a body for its next frame.
pub(super) fn next<B: Body + Unpin>(body: &mut B) -> Poll<Next<B>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

/// Reads a body until it ends, breaks off or waits.
pub(super) fn read<B: Body + Unpin>(body: &mut B) {
    while let Poll::Ready(Some(Ok(_))) = next(body) {}
}
