//! A server on a free loopback port, with records in memory, quotes by a closure, and a client
//! that sends exactly the bytes it is told to.

#![allow(clippy::unwrap_used, reason = "a test may panic where it is surprised")]

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use valuation_server::domain::{
    ErrorCode, Mileage, Money, Provider, ProviderCall, Quote, QuoteError, QuoteRequest, Valuation,
    Vrm,
};
use valuation_server::http::{Limits, Stopped, serve};
use valuation_server::valuer::{Commit, Entry, Quotes, Records, RecordsError, Valuer};

pub(crate) fn vrm(text: &str) -> Vrm {
    Vrm::parse(text).unwrap()
}

pub(crate) fn miles(number: f64) -> Mileage {
    Mileage::new(number).unwrap()
}

pub(crate) fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

pub(crate) fn quote(lowest: &str, highest: &str) -> Quote {
    Quote::new(money(lowest), money(highest), Provider::SuperCar).unwrap()
}

/// The attempt that a stub leaves in the trail.
pub(crate) fn attempt(request: &QuoteRequest, error: Option<ErrorCode>) -> ProviderCall {
    ProviderCall {
        vrm: request.vrm.clone(),
        provider: Provider::SuperCar,
        requested_at: SystemTime::UNIX_EPOCH,
        duration: Duration::from_millis(1),
        url: "http://stub.invalid/".to_owned(),
        response_code: error.is_none().then_some(200),
        error: error.map(|code| (code, String::new())),
    }
}

/// Quotes made by a closure, each leaving one attempt in the trail.
pub(crate) fn quotes<F, A>(answer: F) -> Quotes
where
    F: Fn(QuoteRequest) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Quote, QuoteError>> + Send + 'static,
{
    Quotes::new(tower::service_fn(move |request: QuoteRequest| {
        let answer = answer(request.clone());
        async move {
            let answer = answer.await;
            let error = answer.as_ref().err().map(|_| ErrorCode::Status);
            request.trail.push(attempt(&request, error));
            answer
        }
    }))
}

/// Quotes that count how often they are asked, and answer when they are let.
#[derive(Clone)]
pub(crate) struct Gate {
    asked: Arc<watch::Sender<usize>>,
    permits: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self { asked: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn open() -> Self {
        let gate = Self::closed();
        gate.let_all();
        gate
    }

    pub(crate) fn let_all(&self) {
        self.permits.add_permits(1_000);
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    pub(crate) async fn until_asked(&self, times: usize) {
        self.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    pub(crate) async fn pass(&self) {
        self.asked.send_modify(|asked| *asked += 1);
        self.permits.acquire().await.unwrap().forget();
    }

    /// Every answer is this one.
    pub(crate) fn quotes(&self, answer: Result<Quote, QuoteError>) -> Quotes {
        let gate = self.clone();
        quotes(move |_| {
            let (gate, answer) = (gate.clone(), answer.clone());
            async move {
                gate.pass().await;
                answer
            }
        })
    }
}

/// Records in memory, with a switch for each way in which records can fail.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) valuations: Mutex<HashMap<Vrm, Valuation>>,
    pub(crate) committed: Mutex<Vec<Entry>>,
    pub(crate) submitted: Mutex<Vec<Entry>>,
    pub(crate) finds: AtomicUsize,
    pub(crate) full: AtomicBool,
    pub(crate) commits_fail: AtomicBool,
    pub(crate) commits_panic: AtomicBool,
    pub(crate) unreadable: AtomicBool,
    pub(crate) corrupt: AtomicBool,
    pub(crate) find_panics: AtomicBool,
}

impl Memory {
    pub(crate) fn with(valuation: Valuation) -> Arc<Self> {
        let memory = Self::default();
        memory.valuations.lock().unwrap().insert(valuation.vrm.clone(), valuation);
        Arc::new(memory)
    }

    pub(crate) fn set(switch: &AtomicBool) {
        switch.store(true, Ordering::SeqCst);
    }

    /// How many attempts at a provider were committed for each entry.
    pub(crate) fn committed_calls(&self) -> Vec<usize> {
        self.committed.lock().unwrap().iter().map(|entry| entry.calls.len()).collect()
    }
}

#[derive(Debug)]
struct Because(&'static str);
impl std::error::Error for Because {}
impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Records for Memory {
    fn find(&self, vrm: &Vrm) -> Result<Option<Valuation>, RecordsError> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        assert!(!self.find_panics.load(Ordering::SeqCst), "the test wants a panic in find");
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(RecordsError::unavailable(Because("secret cause")));
        }
        if self.corrupt.load(Ordering::SeqCst) {
            return Err(RecordsError::corrupt(Because("secret cause")));
        }
        Ok(self.valuations.lock().unwrap().get(vrm).cloned())
    }

    fn commit(&self, entry: Entry) -> Commit<'_> {
        Box::pin(async move {
            assert!(!self.commits_panic.load(Ordering::SeqCst), "the test wants a panic in commit");
            if self.commits_fail.load(Ordering::SeqCst) {
                return Err(RecordsError::unavailable(Because("secret cause")));
            }
            self.committed.lock().unwrap().push(entry.clone());
            let mut valuations = self.valuations.lock().unwrap();
            Ok(entry.valuation.map(|v| valuations.entry(v.vrm.clone()).or_insert(v).clone()))
        })
    }

    fn submit(&self, entry: Entry) {
        self.submitted.lock().unwrap().push(entry);
    }

    fn can_store(&self) -> bool {
        !self.full.load(Ordering::SeqCst)
    }
}

/// Polls once. What a future does before its first pause has happened afterwards.
pub(crate) async fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// A running server. Dropping it stops the task.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) memory: Arc<Memory>,
    pub(crate) valuer: Valuer,
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
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let valuer = Valuer::new(memory.clone(), quotes);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, valuer.clone(), limits, shutdown));
        Self { address, memory, valuer, stop: Some(stop), task }
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

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checks what every error has, and gives its message.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, error: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
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

/// A connection that shows what it sends and gets.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer with its body.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length = answer.header("content-length").map_or(0, |l| l.parse().unwrap());
        while self.received.len() < length {
            assert!(self.receive().await, "the connection ended inside a body");
        }
        answer.body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        answer
    }

    /// The next answer's head alone: the answer to HEAD has no body after it.
    pub(crate) async fn head(&mut self) -> Answer {
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
