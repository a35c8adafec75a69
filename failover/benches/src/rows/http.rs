//! Feature `http`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use failover::http::{HttpClassify, HttpFailoverLayer};
use failover::{FailoverLayer, Policy};
use http::StatusCode;
use http_body_util::Full;
use tower::{Layer, Service, service_fn};

use super::{Kind, PRIMARY, Row};
use crate::services::Answer;
use crate::subject::{Called, Mix, Request, Response, Subject};

type Head<B> = http::Response<B>;

impl Request for http::Request<()> {
    fn new(_: bool) -> Self {
        Self::new(())
    }
}

impl<B: http_body::Body + Send + 'static> Response for Head<B> {
    fn answer(&self) -> Answer {
        if self.status() == StatusCode::OK { Answer::Primary } else { Answer::Fallback }
    }

    #[inline]
    fn consume(self) {
        let mut body = pin!(self.into_body());
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
            black_box(frame.is_ok());
        }
    }
}

type Answered = Ready<Result<Head<Full<Bytes>>, Infallible>>;

fn service(
    status: StatusCode,
) -> impl Service<http::Request<()>, Response = Head<Full<Bytes>>, Error = Infallible, Future = Answered>
+ Clone
+ Send
+ 'static {
    service_fn(move |_: http::Request<()>| {
        let mut answer = Head::new(Full::new(Bytes::from_static(b"an answer")));
        *answer.status_mut() = status;
        ready(Ok(answer))
    })
}

fn row<S, B>(name: &'static str, service: impl Fn() -> S + 'static) -> Row
where
    S: Service<http::Request<()>, Response = Head<B>> + Clone + Send + 'static,
    B: http_body::Body + Send + 'static,
    S::Error: std::fmt::Debug + Send,
    S::Future: Send,
{
    let make = Box::new(move || -> Box<dyn Subject> {
        Box::new(Called {
            service: service(),
            mix: Mix::SUCCESSES,
            ends: PRIMARY,
            request: std::marker::PhantomData::<fn(http::Request<()>)>,
        })
    });
    Row { name, kind: Kind::Guarded, most: None, make }
}

pub(super) fn rows() -> Vec<Row> {
    let primary = || service(StatusCode::OK);
    let fallback = || service(StatusCode::NON_AUTHORITATIVE_INFORMATION);
    let layer = move || HttpFailoverLayer::with_fallback(fallback(), Policy::default());
    vec![
        row("bare `service_fn`", primary).of_kind(Kind::Bare),
        row("`Failover`, by the head: `HttpClassify`", move || {
            let layer = FailoverLayer::with_fallback(fallback(), Policy::default());
            layer.classify(HttpClassify::new()).layer(primary())
        }),
        row("`HttpFailover`, `without_route_extension`", move || {
            layer().without_route_extension().layer(primary())
        }),
        row("`HttpFailover`", move || layer().layer(primary())),
    ]
}
