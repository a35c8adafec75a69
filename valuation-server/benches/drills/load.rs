//! Clients: raw sockets that are kept open, one request at a time on each.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long a client waits after a 503: a tenth of its `Retry-After`.
const BACK_OFF: Duration = Duration::from_millis(500);

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Whether the connection ends with it.
    pub(crate) fn closes(&self) -> bool {
        memchr::memmem::find(&self.head, b"connection: close").is_some()
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(1024) })
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.answer().await
    }

    /// The next answer. An early end is `UnexpectedEof`, with the number of received bytes.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(answer) = self.take() {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                let came = format!("the connection ended after {} bytes", self.received.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, came));
            }
        }
    }

    fn take(&mut self) -> Option<Answer> {
        let end = memchr::memmem::find(&self.received, b"\r\n\r\n")? + 4;
        let head = &self.received[..end];
        let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
        let length = memchr::memmem::find(head, b"content-length: ").map_or(0, |at| {
            let digits = head[at + 16..].iter().take_while(|b| b.is_ascii_digit());
            digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
        });
        if self.received.len() < end + length {
            return None;
        }
        let (head, body) = (head.to_vec(), self.received[end..end + length].to_vec());
        self.received.drain(..end + length);
        Some(Answer { status, head, body })
    }
}

/// The result of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Requests without a complete answer, on established connections.
    pub(crate) broken: u64,
    /// Connections that could not be made.
    pub(crate) refused: u64,
    /// The latencies in microseconds.
    latencies: Vec<u32>,
}

impl Tally {
    pub(crate) fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }

    pub(crate) fn count(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.broken += other.broken;
        self.refused += other.refused;
        self.latencies.extend(other.latencies);
    }

    /// The latency that this many of 1,000 answers did not exceed.
    pub(crate) fn latency(&mut self, of_1000: usize) -> Duration {
        self.latencies.sort_unstable();
        let at = (self.latencies.len() * of_1000 / 1000).min(self.latencies.len().max(1) - 1);
        Duration::from_micros(self.latencies.get(at).copied().unwrap_or(0).into())
    }
}

/// Sends requests for this long over this many connections, each as soon as the previous answer is
/// there. `request` writes one; `seen` gets each answer with what `request` gave.
pub(crate) async fn drive<T, R, S>(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    request: R,
    seen: S,
) -> Tally
where
    T: Send + 'static,
    R: Fn(&mut Vec<u8>) -> T + Send + Sync + 'static,
    S: Fn(T, &Answer) + Send + Sync + 'static,
{
    let end = Instant::now() + time;
    let shared = Arc::new((request, seen));
    let mut running = JoinSet::new();
    for _ in 0..connections {
        let shared = Arc::clone(&shared);
        running.spawn(async move {
            let mut tally = Tally::default();
            let mut buffer = Vec::new();
            'connection: while Instant::now() < end {
                let Ok(mut client) = Client::connect(address).await else {
                    // Nobody listens, or too many clients do: not tried again at once.
                    tally.refused += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                loop {
                    let started = Instant::now();
                    if started >= end {
                        break 'connection;
                    }
                    buffer.clear();
                    let asked = (shared.0)(&mut buffer);
                    let Ok(answer) = client.ask(&buffer).await else {
                        tally.broken += 1;
                        break;
                    };
                    let took = started.elapsed().as_micros();
                    tally.latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
                    *tally.statuses.entry(answer.status).or_default() += 1;
                    (shared.1)(asked, &answer);
                    if answer.status == 503 {
                        // A rejected client comes back, but much sooner than `Retry-After` says.
                        tokio::time::sleep(BACK_OFF).await;
                    }
                    if answer.closes() {
                        break;
                    }
                }
            }
            tally
        });
    }
    let mut tally = Tally::default();
    while let Some(ended) = running.join_next().await {
        tally.add(ended.unwrap_or_default());
    }
    tally
}
