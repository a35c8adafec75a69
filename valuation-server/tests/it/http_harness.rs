//! A server on a free loopback port, and a client that sends exactly the bytes it is told to.

#![allow(clippy::unwrap_used, reason = "a test may panic where it is surprised")]

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use valuation_server::http::{Limits, Options, Stopped, Traffic, serve};
use valuation_server::valuer::{Quotes, Valuer};
use valuation_server::web::openapi::Side;

use crate::conforms::{Requests, Seen, conforms, document};
use crate::valuer_stubs::{Gate, Memory, quote};

/// A running server. Dropping it stops the task.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) memory: Arc<Memory>,
    pub(crate) valuer: Valuer,
    pub(crate) traffic: Arc<Traffic>,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<Stopped>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestServer {
    pub(crate) async fn start(memory: Arc<Memory>, quotes: Quotes, limits: Limits) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), memory, quotes, limits).await
    }

    pub(crate) async fn start_at(
        listen: SocketAddr,
        memory: Arc<Memory>,
        quotes: Quotes,
        limits: Limits,
    ) -> Self {
        let options = Options { limits, ..Options::default() };
        Self::start_with(listen, memory, quotes, options).await
    }

    pub(crate) async fn start_with(
        listen: SocketAddr,
        memory: Arc<Memory>,
        quotes: Quotes,
        options: Options,
    ) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let valuer = Valuer::new(memory.clone(), quotes);
        let (stop, stopped) = oneshot::channel();
        let traffic = Arc::clone(&options.watch.traffic);
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, valuer.clone(), options, shutdown));
        Self { address, memory, valuer, traffic, stop: Some(stop), task }
    }

    /// Quotes 20000 to 25000 for everything, at once.
    pub(crate) async fn ready() -> Self {
        let quotes = Gate::open().quotes(Ok(quote("20000", "25000.50")));
        Self::start(Arc::default(), quotes, Limits::default()).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&get(path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.ask(&put(path, body)).await
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

pub(crate) fn put(path: &str, body: &str) -> String {
    put_as(path, "Content-Type: application/json\r\n", body)
}

pub(crate) fn put_as(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("PUT {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// One answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "two headers {name}");
        value
    }

    /// The values of a header that may be repeated, as one list.
    pub(crate) fn list(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether hyper answered by itself: input that it can't parse reaches no code of ours.
    pub(crate) fn is_hypers_own(&self) -> bool {
        self.status / 100 == 4 && self.body.is_empty() && self.header("content-type").is_none()
    }

    /// Checks what every error has, and gives its message.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, error: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let json = self.json();
        assert_eq!(json["statusCode"], status);
        assert_eq!(json["error"], error);
        assert_eq!(json["type"], "about:blank");
        assert_eq!(json["title"], error);
        assert_eq!(json["status"], status);
        assert_eq!(json["detail"], json["message"]);
        json["message"].as_str().unwrap().to_owned()
    }
}

/// A connection that shows what it sends and gets. Each answer must be in the document of its side.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    side: Side,
    requests: Requests,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.unwrap())
    }

    /// To the operators' side.
    pub(crate) async fn operator(address: SocketAddr) -> Self {
        Self { side: Side::Operators, ..Self::connect(address).await }
    }

    pub(crate) fn of(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new(), side: Side::Public, requests: Requests::default() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.requests.sent(bytes.as_ref());
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer with its body.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.read_head().await;
        let length = answer.header("content-length").map_or(0, |l| l.parse().unwrap());
        while self.received.len() < length {
            assert!(self.receive().await, "the connection ended inside a body");
        }
        answer.body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        self.check(&answer, Some(&answer.body));
        answer
    }

    /// The next answer's head alone: the answer to HEAD has no body after it.
    pub(crate) async fn head(&mut self) -> Answer {
        let answer = self.read_head().await;
        self.check(&answer, None);
        answer
    }

    fn check(&mut self, answer: &Answer, body: Option<&str>) {
        // The request is yet to be answered.
        if answer.status == 100 {
            return;
        }
        let request = self.requests.next();
        if !answer.is_hypers_own() {
            let request = request.as_ref().map(|(method, target)| (&**method, &**target));
            let seen = Seen { status: answer.status, headers: &answer.headers, body };
            conforms(document(self.side), request, &seen);
        }
    }

    async fn read_head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let so_far = String::from_utf8_lossy(&self.received).into_owned();
            assert!(self.receive().await, "the connection ended before an answer: {so_far:?}");
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Answer { status, headers: lines.map(header).collect(), body: String::new() }
    }

    /// Waits for the server to close, and checks that nothing came before.
    pub(crate) async fn closed(&mut self) {
        assert!(!self.receive().await, "{:?}", String::from_utf8_lossy(&self.received));
    }

    async fn receive(&mut self) -> bool {
        self.stream.read_buf(&mut self.received).await.unwrap() > 0
    }
}
