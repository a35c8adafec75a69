//! The simulator's HTTP side.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Fault, Mode, Shared};

type Reply = Response<Full<Bytes>>;

/// Resets the connection instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("a reset was asked for")]
struct ResetAskedFor;

/// Accepts until the sender of `stop` is dropped. When it returns, all connections have ended.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                // For example no file descriptor is left, until connections close.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Affects the speed alone.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(request, &shared).await }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let ended = (&mut connection).await;
    if ended.is_err_and(|error| error.is_user()) {
        // Closing with discarded data sends a reset.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Reply, ResetAskedFor> {
    let uri = request.uri();
    if uri.path() == "/fault" {
        return Ok(fault(request.method(), uri.query().unwrap_or_default(), shared));
    }
    let Some((vrm, mileage)) = (shared.api.requested)(uri) else {
        return Ok(text(StatusCode::NOT_FOUND, "no such resource\n"));
    };
    if request.method() != Method::GET {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n"));
    }
    let (mode, retry_after) = shared.admit();
    let pause = if mode == Mode::Slow { shared.pace.slow } else { shared.pace.latency };
    tokio::time::sleep(pause).await;
    match mode {
        Mode::Ok | Mode::Slow => {
            let (lower, upper) = shared.api.values(vrm.as_str(), mileage);
            let body = (shared.api.body)(lower, upper);
            Ok(reply(StatusCode::OK, shared.api.content_type, body))
        }
        Mode::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut reply = text(status, "this fault was asked for\n");
            if let Some(seconds) = retry_after {
                reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Ok(reply)
        }
        Mode::Garbage => Ok(text(StatusCode::OK, "}<garbage, as asked for\n")),
        Mode::Reset => Err(ResetAskedFor),
        Mode::Hang => future::pending().await,
    }
}

fn fault(method: &Method, query: &str, shared: &Shared) -> Reply {
    if method == Method::POST {
        match Fault::parse(query) {
            Ok(fault) => shared.set_fault(fault),
            Err(error) => return text(StatusCode::BAD_REQUEST, &format!("{error}\n")),
        }
    } else if method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET shows the fault, POST sets it\n");
    }
    let state = shared.lock();
    let (Fault { mode, share, .. }, calls) = (state.fault, state.calls);
    let shown = format!(
        "{{\"provider\":\"{}\",\"mode\":\"{mode}\",\"rate\":\"{share}\",\"calls\":{calls}}}\n",
        shared.api.provider
    );
    reply(StatusCode::OK, "application/json", shown)
}

fn text(status: StatusCode, body: &str) -> Reply {
    reply(status, "text/plain; charset=utf-8", body.to_owned())
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
