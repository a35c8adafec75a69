//! Whether a running server answers a health check of its operators' side.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Host, Position, Url};

/// How long the whole answer may take: less than the health check of a container may.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read. Those of the server have some hundred bytes.
const LONGEST: usize = 16 << 10;

/// Which health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/livez`: the process responds. If not, a restart may help.
    Live,
    /// `/readyz`: the database can store, and the server is not stopping.
    Ready,
}

impl Probe {
    fn path(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Ready => "/readyz",
        }
    }
}

/// Where the operators' side of a running server is reached: plain HTTP, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUrl(Url);

/// Why there is no server to ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminUrlError {
    /// The text is no such URL.
    #[error("{0:?} is not http://HOST:PORT, such as http://127.0.0.1:9000")]
    Form(String),
    /// The server has no operators' side.
    #[error(
        "health checks are answered by the operators' side, which is off: set --admin-listen \
         (VALUATION_ADMIN_LISTEN) as the server has it, or name the server with --url"
    )]
    Off,
    /// The system chooses the port at each start.
    #[error(
        "--admin-listen {0} lets the system choose the port: name the port that the server's log \
         shows with --url http://HOST:PORT"
    )]
    AnyPort(SocketAddr),
}

impl AdminUrl {
    /// Reads `http://HOST:PORT`.
    ///
    /// # Errors
    /// [`AdminUrlError::Form`].
    pub fn parse(text: &str) -> Result<Self, AdminUrlError> {
        let wrong = || AdminUrlError::Form(text.to_owned());
        let url = Url::parse(text).map_err(|_| wrong())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if url.scheme() == "http" && bare && anonymous { Ok(Self(url)) } else { Err(wrong()) }
    }

    /// The server that listens there on this machine. An unspecified address is reached on loopback.
    ///
    /// # Errors
    /// [`AdminUrlError::Off`], [`AdminUrlError::AnyPort`].
    pub fn of(admin_listen: Option<SocketAddr>) -> Result<Self, AdminUrlError> {
        let mut address = admin_listen.ok_or(AdminUrlError::Off)?;
        if address.port() == 0 {
            return Err(AdminUrlError::AnyPort(address));
        }
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        // Without the scope of an IPv6 address, which no URL has.
        Self::parse(&format!("http://{}", SocketAddr::new(address.ip(), address.port())))
    }

    fn authority(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }
}

/// Asks the server, and writes a line: `ok` or `FAIL`. True if it answered 200 within two seconds. Opens no
/// database and asks no provider.
///
/// # Errors
/// What the system says if `out` can't be written.
pub async fn run(server: &AdminUrl, probe: Probe, out: &mut impl Write) -> io::Result<bool> {
    let url = format!("http://{}{}", server.authority(), probe.path());
    let answer = timeout(PATIENCE, ask(server, probe)).await;
    let healthy = matches!(answer, Ok(Ok((StatusCode::OK, _))));
    match answer {
        Ok(Ok((status, text))) => {
            let label = if healthy { "ok   " } else { "FAIL " };
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            writeln!(out, "{label} {url}: {status}: {}", lines.collect::<Vec<_>>().join("; "))?;
        }
        Ok(Err(error)) => writeln!(
            out,
            "FAIL  {url}: {error}; does the server run, and is this its --admin-listen?"
        )?,
        Err(_) => writeln!(out, "FAIL  {url}: no answer within {} s", PATIENCE.as_secs())?,
    }
    out.flush()?;
    Ok(healthy)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("{0}")]
    Connect(#[from] io::Error),
    #[error("the answer is not HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("the answer's body: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// The status and the body of the answer.
async fn ask(server: &AdminUrl, probe: Probe) -> Result<(StatusCode, String), Unanswered> {
    let host = match server.0.host() {
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        Some(Host::Domain(name)) => name.to_owned(),
        None => String::new(),
    };
    let port = server.0.port_or_known_default().unwrap_or_default();
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Aborted when this future ends.
    let mut running = JoinSet::new();
    running.spawn(connection);
    let request = Request::get(probe.path())
        .header(header::HOST, server.authority())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    let body = body.map_err(Unanswered::Body)?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:9000", "127.0.0.1:9000"),
            ("[::]:9000", "[::1]:9000"),
            ("10.1.2.3:9000", "10.1.2.3:9000"),
            ("[fe80::1%3]:9000", "[fe80::1]:9000"),
        ] {
            let url = AdminUrl::of(Some(listens.parse().unwrap())).unwrap();
            assert_eq!(url.authority(), asked, "{listens}");
        }
        assert_eq!(AdminUrl::of(None), Err(AdminUrlError::Off));
        let any = "127.0.0.1:0".parse().unwrap();
        assert_eq!(AdminUrl::of(Some(any)), Err(AdminUrlError::AnyPort(any)));
    }

    #[test]
    fn a_url_names_a_host_and_a_port_alone() {
        for right in ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000"] {
            assert!(AdminUrl::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "127.0.0.1:9000",
            "https://h:9000",
            "http://h/livez",
            "http://u:p@h",
            "http://h/?a",
        ] {
            assert!(AdminUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
