//! The answer to a connection above the limit.

use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::socket::{DISCARDED, LINGER};
use crate::http::problem::Problem;

/// Sends 503 and closes, without parsing the request. Takes [`LINGER`] at most.
pub(in crate::http) async fn reject(mut stream: TcpStream, retry_after: Duration) {
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
    let sending = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // Unread bytes at the close would make the kernel send a reset, which may cost the client
        // the answer.
        let mut left = DISCARDED;
        let mut waste = [0; 1024];
        while left > 0 {
            match stream.read(&mut waste).await? {
                0 => return Ok(()),
                read => left = left.saturating_sub(read),
            }
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    if let Ok(Err(error)) = timeout(LINGER, sending).await {
        tracing::debug!(%error, "a client left before it was told that there are too many");
    }
}
