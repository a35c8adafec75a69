//! Accepts connections; an error pauses it and is logged.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::log_throttle::LogThrottle;

/// The pause after an accept error of the server, such as too many open files: the loop would spin
/// until a file is closed.
const PAUSE: Duration = Duration::from_millis(100);

/// A client's connection, and its address.
pub(crate) type Accepted = (TcpStream, SocketAddr);

/// The next connection. `name` is the listener, for the log.
pub(crate) async fn accept(
    listener: &TcpListener,
    name: &'static str,
    throttle: &LogThrottle,
) -> Accepted {
    loop {
        let error = match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        // The client left between its handshake and our accept: no pause.
        if !matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
        ) {
            if let Some(withheld) = throttle.admit() {
                tracing::warn!(%error, listener = name, withheld, "accepting a connection failed; pausing");
            }
            sleep(PAUSE).await;
        }
    }
}
