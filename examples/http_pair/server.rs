//! A server on loopback with a mode of failure.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Well,
    NotFound,
    BreaksOff,
    Hangs,
    Busy,
}

const MODES: [Mode; 5] = [Mode::Well, Mode::NotFound, Mode::BreaksOff, Mode::Hangs, Mode::Busy];

pub(crate) struct Server {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
}

impl Server {
    /// Listens on a free port until the program ends.
    pub(crate) async fn start(name: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mode: Arc<AtomicU8> = Arc::default();
        let shared = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let answer = service_fn(move |_: Request<Incoming>| {
                    let mode = MODES[usize::from(shared.load(Ordering::Relaxed))];
                    async move { Ok::<_, Infallible>(answer(name, mode).await) }
                });
                tokio::spawn(async move {
                    // Some modes break off the connection.
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self { address, mode })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }
}

async fn answer(name: &str, mode: Mode) -> Response<Text> {
    let (status, text) = match mode {
        Mode::Well | Mode::BreaksOff => (StatusCode::OK, format!("hello from the {name}")),
        Mode::NotFound => (StatusCode::NOT_FOUND, "nothing here".to_owned()),
        Mode::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy".to_owned()),
        Mode::Hangs => std::future::pending().await,
    };
    let mut response = Response::new(Text { rest: Some(text.into()), sent: false, mode });
    *response.status_mut() = status;
    if let Mode::Busy = mode {
        response.headers_mut().insert("retry-after", http::HeaderValue::from_static("120"));
    }
    response
}

/// A body that may break off after its first half.
pub(crate) struct Text {
    rest: Option<Bytes>,
    /// Whether the first half had a chance to be sent.
    sent: bool,
    mode: Mode,
}

impl http_body::Body for Text {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let breaks_off = matches!(self.mode, Mode::BreaksOff);
        if self.rest.is_none() && breaks_off && !self.sent {
            // hyper flushes written data while the body is pending.
            self.sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match self.rest.take() {
            Some(mut text) if breaks_off => Some(Ok(Frame::data(text.split_to(text.len() / 2)))),
            Some(text) => Some(Ok(Frame::data(text))),
            None if breaks_off => Some(Err(io::Error::other("the plug is pulled"))),
            None => None,
        })
    }
}
