//! A provider that sends raw bytes, and an audited call to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::clock::ManualClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};
use valuation_server::audit::Audit;
use valuation_server::domain::{
    Answer, CallTrail, Describe, ErrorCode, Failure, Mileage, ProviderCall, Quote, QuoteError,
    QuoteRequest, Vrm,
};
use valuation_server::providers::{self, BaseUrl, PremiumRange, ProviderClient, Transport};

use crate::valuer_stubs::trace;

/// Long enough for any exchange on loopback, however slow the machine.
pub(crate) const AMPLE: Duration = Duration::from_secs(60);

pub(crate) const GOOD_JSON: &str = r#"{"valuation":{"lowerValue":22350,"upperValue":24750}}"#;

/// What a stub does once it has read a request's head.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Lets a time pass on a clock of the test's.
    Advance(ManualClock, Duration),
    /// Sends the bytes one by one, a while apart.
    Drip(Vec<u8>, Duration),
    /// Sends the bytes repeatedly, until the peer is gone.
    Flood(Vec<u8>),
    Close,
    Reset,
    Hang,
}

pub(crate) fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// A response with a right `Content-Length`.
pub(crate) fn response(status: &str, body: &[u8]) -> Act {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Act::Send(bytes)
}

/// An address that refuses connections: it is bound, so that no other test is given its port, and
/// nobody listens.
#[derive(Debug)]
pub(crate) struct Nobody(TcpSocket);

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// For a test that frees a port and looks whether it is free: a loopback address of its own, whose
/// ports no other test is given. Systems other than Linux have but one.
pub(crate) fn alone(host: u8) -> SocketAddr {
    ([127, 0, 0, if cfg!(target_os = "linux") { host } else { 1 }], 0).into()
}

/// Listens on a free loopback port and plays its acts to every request.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    heads: Vec<String>,
}

impl Stub {
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let noted = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                noted.lock().unwrap().connections += 1;
                connections.spawn(play(stream, acts.clone(), Arc::clone(&noted)));
            }
        });
        Self { address, seen, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests that came, as they came over the wire.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn play(mut stream: TcpStream, acts: Vec<Act>, seen: Arc<Mutex<Seen>>) {
    let mut head = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        seen.lock().unwrap().heads.push(text);
        for act in &acts {
            match act {
                Act::Send(bytes) => drop(stream.write_all(bytes).await),
                Act::Advance(clock, time) => clock.advance(*time),
                Act::Drip(bytes, pause) => {
                    for byte in bytes {
                        if stream.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(*pause).await;
                    }
                }
                Act::Flood(bytes) => while stream.write_all(bytes).await.is_ok() {},
                Act::Close => return,
                Act::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
                Act::Hang => std::future::pending().await,
            }
        }
    }
}

pub(crate) fn request(vrm: &str) -> QuoteRequest {
    QuoteRequest {
        vrm: Vrm::parse(vrm).unwrap(),
        mileage: Mileage::new(10_000.0).unwrap(),
        trail: CallTrail::default(),
        trace: trace(),
    }
}

pub(crate) fn supercar(url: &str, deadline: Duration) -> Audit<ProviderClient> {
    supercar_over(url, deadline, &Transport::default())
}

pub(crate) fn supercar_over(
    url: &str,
    deadline: Duration,
    transport: &Transport,
) -> Audit<ProviderClient> {
    let base = BaseUrl::parse(url).unwrap();
    let supercar = providers::supercar(&base, deadline, transport);
    Audit::new(supercar.unwrap(), Arc::new(()))
}

pub(crate) fn premium(url: &str, deadline: Duration) -> Audit<ProviderClient> {
    let (base, transport) = (BaseUrl::parse(url).unwrap(), Transport::default());
    let premium = providers::premium(&base, PremiumRange::PrivateSale, deadline, &transport);
    Audit::new(premium.unwrap(), Arc::new(()))
}

/// Asks one question, and takes the one record that it must leave.
pub(crate) async fn ask<S>(
    service: &mut Audit<S>,
    vrm: &str,
) -> (Result<Quote, QuoteError>, ProviderCall)
where
    S: Service<QuoteRequest, Response = Answer, Error = Failure> + Describe,
{
    let request = request(vrm);
    let trail = request.trail.clone();
    let result = service.ready().await.unwrap().call(request).await;
    let mut calls = trail.take();
    assert_eq!(calls.len(), 1, "{calls:?}");
    (result, calls.remove(0))
}

/// Asks SuperCar about AA99BCD within an ample time.
pub(crate) async fn ask_supercar(url: &str) -> (Result<Quote, QuoteError>, ProviderCall) {
    ask(&mut supercar(url, AMPLE), "AA99BCD").await
}

/// What `acts` lead to: the error's code in the record, and the status in it. The code in the
/// error that the caller gets is the same.
pub(crate) async fn failure(acts: Vec<Act>, deadline: Duration) -> (ErrorCode, Option<u16>) {
    let stub = Stub::start(acts).await;
    let (result, call) = ask(&mut supercar(&stub.url(), deadline), "AA99BCD").await;
    let (code, message) = call.error.expect("a failure");
    let error = result.unwrap_err();
    assert!(
        matches!(&error, QuoteError::Unavailable { code: c, message: m, .. } if *c == code && *m == message),
        "{error:?} beside {code} {message}"
    );
    assert!(error.is_provider_failure());
    assert!(!message.contains(&stub.address.to_string()), "{message}");
    (code, call.response_code)
}
