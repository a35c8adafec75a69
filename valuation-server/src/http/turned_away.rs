//! What a client is told for whom there is no connection left.

use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::problem::Problem;
use super::socket::LINGER;

/// Tells 503 and closes, without looking at what the client has to say. It is over within a short
/// time, whatever the client does.
pub(super) async fn turn_away(mut stream: TcpStream, retry_after: Duration) {
    let message = "There are too many connections; try again later";
    let body = Problem::new(StatusCode::SERVICE_UNAVAILABLE, message).body(None);
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nretry-after: {}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        retry_after.as_secs(),
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    let telling = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // What the client sends meanwhile is read: the kernel would answer it with a reset, which
        // may cost the client the answer.
        let mut waste = [0; 1024];
        while stream.read(&mut waste).await? > 0 {}
        std::io::Result::Ok(())
    };
    if let Ok(Err(error)) = timeout(LINGER, telling).await {
        tracing::debug!(%error, "a client left before it was told that there are too many");
    }
}
