//! The accept loop, and its end.

use std::pin::pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::handlers::Session;
use super::strict::{self, ConnectionState, Quotas};
use super::{LiveOptions, stack};
use crate::listener::{Accepted, accept};
use crate::log_throttle::LogThrottle;
use crate::valuer::Valuer;

/// How many connections are being answered 503 at once; further ones are closed without an answer.
/// Bounds the sockets of rejected clients.
const REJECTIONS: usize = 64;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every connection ended by itself.
    Drained,
    /// This many connections were cut off at the deadline.
    CutOff(usize),
}

/// Serves until `shutdown` is ready, then stops accepting, lets running requests finish, and cuts
/// off what is left after [`Limits::drain_timeout`](super::Limits::drain_timeout).
///
/// Running valuations go on without their clients: wait for [`Valuer::idle`] afterwards.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections.
pub async fn serve(
    listener: TcpListener,
    valuer: Valuer,
    options: impl Into<LiveOptions>,
    shutdown: impl Future<Output = ()>,
) -> Stopped {
    let live = options.into();
    let options = Arc::new(live.get());
    let limits = options.limits;
    let max_connections = || live.load().options.limits.max_connections;
    let traffic = &options.watch.traffic;
    let protocol = Arc::new(strict::protocol(&limits));
    let (stop, stopping) = watch::channel(());
    let (mut connections, mut rejected) = (JoinSet::new(), JoinSet::new());
    let quotas = Arc::new(Quotas::new(&limits, traffic));
    let take = |(stream, address): Accepted, connections: &mut JoinSet<()>| {
        let state = ConnectionState::new(address, stopping.clone(), Arc::clone(&quotas));
        let (valuer, options) = (valuer.clone(), Arc::clone(&options));
        let session = Session { valuer, options, live: live.clone(), connection: state.clone() };
        let (protocol, stopping) = (Arc::clone(&protocol), stopping.clone());
        connections.spawn(strict::serve(stream, limits, protocol, stopping, state, stack(session)));
    };
    let (mut full, throttle) = (false, LogThrottle::new());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            Some(told) = rejected.join_next(), if !rejected.is_empty() => report(told),
            accepted = accept(&listener, "public", &throttle) => {
                let max_connections = max_connections();
                if connections.len() < max_connections {
                    full = false;
                    take(accepted, &mut connections);
                    continue;
                }
                // Once per period of being full, not per connection.
                if !std::mem::replace(&mut full, true) {
                    tracing::warn!(limit = max_connections, "too many connections: \
                        further ones are rejected");
                }
                traffic.refused_connections.inc();
                if rejected.len() < REJECTIONS {
                    rejected.spawn(strict::reject(accepted.0, limits.retry_after));
                }
            }
        }
    }
    // Connections in the kernel's backlog count as accepted.
    for accepted in waiting(listener) {
        if connections.len() < max_connections() {
            take(accepted, &mut connections);
        } else {
            traffic.refused_connections.inc();
        }
    }
    stop.send_replace(());
    let drain_timeout = live.load().options.limits.drain_timeout;
    let drained = timeout(drain_timeout, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_ok() {
        return Stopped::Drained;
    }
    let left = connections.len();
    connections.shutdown().await;
    tracing::warn!(left, "connections were cut off at the deadline");
    Stopped::CutOff(left)
}

/// The connections in the backlog; the listener is closed after the last of them.
///
/// Reads from the system: the runtime learns of a connection only at its next poll.
fn waiting(listener: TcpListener) -> impl Iterator<Item = Accepted> {
    let listener = listener.into_std();
    // The listener is non-blocking: `WouldBlock` ends the backlog.
    std::iter::from_fn(move || listener.as_ref().ok()?.accept().ok()).filter_map(
        |(stream, address)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, address))
        },
    )
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
