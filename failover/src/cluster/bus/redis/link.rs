//! One connection to one server, and what arrives on it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, PushInfo, PushKind, RedisConnectionInfo,
    RedisError, Value, cmd,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

use crate::cluster::bus::Port;
use crate::cluster::bus::reconnect::TIMEOUT;
use crate::cluster::bus::trust::Trust;
use crate::cluster::bus::url::{Host, parse_host};
use crate::cluster::race::race;

/// A connection. It lives as long as this does: no task of its own.
pub(super) struct Link {
    pub(super) commands: MultiplexedConnection,
    /// Reads and writes; ends with the connection.
    pub(super) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Why a connection, or a command, failed.
pub(super) enum Failure {
    Io(std::io::Error),
    Redis(RedisError),
    /// The slot of the channel is at another node.
    Moved(Host),
    Closed,
    Late,
    /// Something else, in words.
    Told(String),
}

impl Link {
    /// Connects, by TLS if there is trust, and presents the credentials.
    pub(super) async fn open(
        (host, port): (&str, u16),
        trust: Option<Trust>,
        info: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<Self, Failure> {
        let tcp = TcpStream::connect((host, port)).await.map_err(Failure::Io)?;
        tcp.set_nodelay(true).map_err(Failure::Io)?;
        let stream: Box<dyn Stream> = match trust {
            None => Box::new(tcp),
            Some(mut trust) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|error| Failure::Told(error.to_string()))?;
                let tls = TlsConnector::from(trust.config().map_err(Failure::Told)?);
                Box::new(tls.connect(name, tcp).await.map_err(Failure::Io)?)
            }
        };
        let opened = MultiplexedConnection::new_with_config(info, stream, config).await;
        let (commands, driver) = opened.map_err(Failure::Redis)?;
        Ok(Self { commands, driver: Box::pin(driver) })
    }

    /// The answer to a command. After a failure the connection is of no use.
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, Failure> {
        let closed = async {
            self.driver.as_mut().await;
            Err(Failure::Closed)
        };
        let answer =
            async { command.query_async::<Value>(&mut self.commands).await.map_err(Failure::from) };
        race(answer, closed).await
    }

    /// A sentinel may name a master that has just become a replica: what is published there stays there.
    pub(super) async fn check_master(&mut self) -> Result<(), Failure> {
        let role = self.ask(&cmd("ROLE")).await?;
        match role.as_sequence().and_then(<[Value]>::first) {
            Some(role) if String::from_redis_value_ref(role).is_ok_and(|role| role == "master") => {
                Ok(())
            }
            _ => Err(Failure::Told("it is no longer the master".to_owned())),
        }
    }
}

/// Delivers what arrives. It is called by the driver, so that there is no queue between them.
pub(super) fn receiver(
    port: Port,
    moved: Arc<Notify>,
) -> impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync {
    move |push| {
        match (push.kind, push.data.as_slice()) {
            (PushKind::Message | PushKind::SMessage, [_, Value::BulkString(message)]) => {
                port.deliver(message);
            }
            (PushKind::SUnsubscribe, _) => moved.notify_one(),
            _ => {}
        }
        Ok(())
    }
}

/// The host and the port of a sentinel's answer.
pub(super) fn host_of(answer: Value) -> Option<Host> {
    let (name, port) = FromRedisValue::from_redis_value(answer).ok()?;
    Some(Host { name, port: Some(port) })
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        // An IPv6 address stands without brackets in it.
        let node = error.redirect_node().and_then(|(node, _)| node.rsplit_once(':'));
        let host = node.and_then(|(name, port)| match name.contains(':') {
            true => parse_host(&format!("[{name}]:{port}")),
            false => parse_host(&format!("{name}:{port}")),
        });
        host.map_or(Self::Redis(error), Self::Moved)
    }
}

impl Failure {
    pub(super) fn wants_credentials(&self) -> bool {
        let Self::Redis(error) = self else { return false };
        error.code() == Some("NOAUTH") || error.kind() == ErrorKind::AuthenticationFailed
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Redis(error) => error.fmt(f),
            Self::Moved(to) => write!(f, "it refers to {}", to.with_port(6379)),
            Self::Closed => f.write_str("the connection was closed"),
            Self::Late => write!(f, "no connection after {} s", TIMEOUT.as_secs()),
            Self::Told(reason) => f.write_str(reason),
        }
    }
}
