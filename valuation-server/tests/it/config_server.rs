//! A server of a configuration document: Consul's key-value store by the documented rules of its blocking
//! queries, a server with ETags, or a broken one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// How the server answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Behaviour {
    /// With `X-Consul-Index`; holds a query with an index until the key's index is greater or its `wait` is over.
    Consul,
    /// As Consul, with an index that is greater with each answer.
    Restless,
    /// With an ETag, and 304 to the same one.
    Tagged,
    /// With neither.
    Plain,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Never.
    Hang,
    /// Without an end.
    Flood,
}

#[derive(Clone, Debug)]
struct State {
    behaviour: Behaviour,
    text: String,
    index: u64,
    /// A query that waits is answered when it changes, as Consul does after a restored snapshot.
    life: u64,
}

pub(crate) struct ConfigServer {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl ConfigServer {
    pub(crate) async fn start(behaviour: Behaviour, text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { behaviour, text: text.to_owned(), index: 100, life: 0 };
        let state = watch::Sender::new(state);
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (seen, noted) = (state.clone(), Arc::clone(&heads));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, seen.clone(), Arc::clone(&noted)));
            }
        });
        Self { address, state, heads, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/kv/valuation-server?raw", self.address)
    }

    /// A new text, with a greater index.
    pub(crate) fn set(&self, text: &str) {
        self.state.send_modify(|state| {
            (state.text, state.index) = (text.to_owned(), state.index + 1);
        });
    }

    /// A greater index with the same text.
    pub(crate) fn touch(&self) {
        self.state.send_modify(|state| state.index += 1);
    }

    /// A new text that no waiting query is told of.
    pub(crate) fn set_silently(&self, text: &str) {
        self.state.send_if_modified(|state| {
            state.text = text.to_owned();
            false
        });
    }

    /// Another state, whose index is smaller.
    pub(crate) fn restore(&self, text: &str, index: u64) {
        self.state.send_modify(|state| {
            (state.text, state.index, state.life) = (text.to_owned(), index, state.life + 1);
        });
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state.send_modify(|state| {
            (state.behaviour, state.life) = (behaviour, state.life + 1);
        });
    }

    /// The heads of the requests, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Waits for this many requests.
    pub(crate) async fn until_asked(&self, times: usize) {
        let asked = async {
            while self.heads.lock().unwrap().len() < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), asked).await.expect("so many requests");
    }
}

impl Drop for ConfigServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The value of a parameter of the query.
pub(crate) fn parameter<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let target = head.split_whitespace().nth(1)?;
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn answer(
    stream: TcpStream,
    state: watch::Sender<State>,
    heads: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    heads.lock().unwrap().push(head.clone());
    let mut seen = state.subscribe();
    let before = seen.borrow().clone();
    match before.behaviour {
        Behaviour::Consul => {
            let index = parameter(&head, "index").map_or(0, |index| index.parse().unwrap());
            if index > 0 {
                let wait = humantime::parse_duration(parameter(&head, "wait")?).unwrap();
                // Consul's jitter.
                let wait = wait + (wait / 16).mul_f64(fastrand::f64());
                let changed = seen.wait_for(|now| now.index > index || now.life != before.life);
                // Also without a change there is an answer.
                drop(timeout(wait, changed).await);
            }
        }
        Behaviour::Restless => state.send_modify(|state| state.index += 1),
        _ => {}
    }
    let State { behaviour, text, index, .. } = seen.borrow().clone();
    let ok = |headers: &str| {
        let length = text.len();
        format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n{text}").into_bytes()
    };
    let tag = format!("\"{index}-{}\"", text.len());
    let bytes = match behaviour {
        Behaviour::Consul | Behaviour::Restless => ok(&format!("X-Consul-Index: {index}\r\n")),
        Behaviour::Tagged if header(&head, "if-none-match") == Some(&tag) => {
            format!("HTTP/1.1 304 Not Modified\r\netag: {tag}\r\n\r\n").into_bytes()
        }
        Behaviour::Tagged => ok(&format!("etag: {tag}\r\n")),
        Behaviour::Plain => ok(""),
        Behaviour::Bytes(bytes) => bytes,
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Flood => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(&[b'#'; 4096]).await.ok()?;
            }
        }
    };
    stream.write_all(&bytes).await.ok()?;
    stream.shutdown().await.ok()
}
