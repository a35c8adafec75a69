//! The operators' listener.
//!
//! It has its own way to accept, apart from the public one: what is tuned there for many clients,
//! and cut off under overload or at a stop, must not be in the way of those who come to look.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::handlers::Desk;
use super::{Guard, Operated};

/// How many connections are served at once; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// For the head of a request, and between two.
const HEAD: Duration = Duration::from_secs(10);
/// For all of a request: an operator's body is small.
const WHOLE: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// From the end until running requests are cut off.
const DRAIN: Duration = Duration::from_secs(1);
/// The pause after an accept error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves operators until `shutdown` is ready, and a moment longer for those whose requests run.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections.
pub async fn serve(
    listener: TcpListener,
    operated: Arc<dyn Operated>,
    guard: Guard,
    shutdown: impl Future<Output = ()>,
) {
    let desk = Desk { operated, guard };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, accept(&listener).await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, (stream, peer)) = next => {
                let (desk, stopping) = (desk.clone(), stopping.clone());
                connections.spawn(async move {
                    converse(stream, peer, desk, stopping).await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    drop(stopping);
    stop.send_replace(());
    let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        connections.shutdown().await;
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting an operator's connection failed; pausing");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    desk: Desk,
    mut stopping: watch::Receiver<()>,
) {
    let service = service_fn(|request| {
        let answer = desk.answer(request, peer);
        async move {
            match timeout(WHOLE, answer).await {
                Ok(answer) => Ok::<_, Infallible>(answer),
                Err(_) => Ok(super::answers::late()),
            }
        }
    });
    let mut protocol = http1::Builder::new();
    // Without a timer hyper has no deadline for heads.
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an operator's connection broke off");
    }
}
