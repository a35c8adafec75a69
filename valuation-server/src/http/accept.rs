//! The accept loop, and the way it ends.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::connection::{converse, protocol};
use super::handlers::Session;
use super::peer::{Peer, Places};
use super::turned_away::turn_away;
use super::{Answer, Limits, Traffic, Watch};
use crate::sparing::Sparing;
use crate::valuer::Valuer;

/// The pause after an accept error that is not the client's, such as too many open files. Without
/// it the loop would spin until a file is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How many clients are told at once that there are too many connections. Beyond them connections
/// are closed without a word, so that telling costs no more than so many sockets.
const TOLD_AT_ONCE: usize = 64;

/// A client's connection, and its address.
type Accepted = (TcpStream, SocketAddr);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every connection ended by itself.
    Drained,
    /// So many connections were cut off at the deadline.
    CutOff(usize),
}

/// Serves until `shutdown` is ready, then stops accepting, lets running requests finish, and cuts
/// off what is left after [`Limits::drain_timeout`].
///
/// Valuations that were under way go on without their clients: wait for
/// [`Valuer::idle`] afterwards.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections.
pub async fn serve(
    listener: TcpListener,
    valuer: Valuer,
    limits: Limits,
    kept: Watch,
    shutdown: impl Future<Output = ()>,
) -> Stopped {
    let admit = |peer: Peer| {
        let session = Arc::new(Session::new(valuer.clone(), limits, kept.clone(), peer));
        move |request| Arc::clone(&session).answer(request)
    };
    listen(listener, limits, &kept.traffic, shutdown, admit).await
}

/// Runs the connections of a listener; `admit` makes for each the function that answers its
/// requests.
pub(super) async fn listen<A, S, F>(
    listener: TcpListener,
    limits: Limits,
    traffic: &Arc<Traffic>,
    shutdown: impl Future<Output = ()>,
    admit: A,
) -> Stopped
where
    A: Fn(Peer) -> S,
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let protocol = Arc::new(protocol(&limits));
    let (stop, stopping) = watch::channel(());
    let (mut connections, mut turned_away) = (JoinSet::new(), JoinSet::new());
    let places = Arc::new(Places::new(&limits, traffic));
    let take = |(stream, address): Accepted, connections: &mut JoinSet<()>| {
        let peer = Peer::new(address, stopping.clone(), Arc::clone(&places));
        let answer = admit(peer.clone());
        let (protocol, stopping) = (Arc::clone(&protocol), stopping.clone());
        connections.spawn(converse(stream, limits, protocol, stopping, peer, answer));
    };
    let (mut full, sparing) = (false, Sparing::new());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            Some(told) = turned_away.join_next(), if !turned_away.is_empty() => report(told),
            accepted = accept(&listener, &sparing) => {
                if connections.len() < limits.max_connections {
                    full = false;
                    take(accepted, &mut connections);
                    continue;
                }
                // Once a time of being full, and not once a connection.
                if !std::mem::replace(&mut full, true) {
                    tracing::warn!(limit = limits.max_connections, "too many connections: \
                        new ones are refused");
                }
                traffic.refused_connections.inc();
                if turned_away.len() < TOLD_AT_ONCE {
                    turned_away.spawn(turn_away(accepted.0, limits.retry_after));
                }
            }
        }
    }
    // Clients whose connection the kernel has made already are no less accepted than others.
    for accepted in waiting(listener) {
        if connections.len() < limits.max_connections {
            take(accepted, &mut connections);
        } else {
            traffic.refused_connections.inc();
        }
    }
    stop.send_replace(());
    let drained = timeout(limits.drain_timeout, async {
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

/// The next connection, whatever goes wrong before it.
async fn accept(listener: &TcpListener, sparing: &Sparing) -> Accepted {
    loop {
        let error = match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        // The client left between its handshake and our accept: no reason to pause.
        if !matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
        ) {
            if let Some(withheld) = sparing.admit() {
                tracing::warn!(%error, withheld, "accepting a connection failed; pausing");
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// The connections that wait to be accepted; the listener is closed after the last of them.
///
/// Asked of the system itself: the runtime hears of a new connection only when it next looks.
fn waiting(listener: TcpListener) -> impl Iterator<Item = Accepted> {
    let listener = listener.into_std();
    // The listener does not block, and says at the end that it would have to.
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
