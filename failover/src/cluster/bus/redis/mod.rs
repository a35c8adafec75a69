//! Redis and Valkey: pub/sub on one connection.

mod link;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, cmd};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::cluster::bus::error::BusError;
use crate::cluster::bus::reconnect::{Engine, TIMEOUT, in_time, keep_connected};
use crate::cluster::bus::trust::Trust;
use crate::cluster::bus::url::{EngineUrl, Host};
use crate::cluster::bus::{Bus, Port};
use crate::cluster::race::race;
use link::{Failure, Link};

const EXPECTED: &str = "`redis://[[user]:password@]host[:6379]`, with `rediss` for TLS; \
                        `redis-sentinel://host[:26379],…/master`; or `redis-cluster://host[:6379],…`";

/// Longer than this without a message to send, and the connection is checked.
const IDLE: Duration = Duration::from_secs(1);
/// A slot of Redis Cluster is found after one redirection; more while slots move.
const REDIRECTIONS: usize = 5;

/// Pub/sub of Redis 6 or Valkey, on the channel `failover.<cluster>`.
///
/// One connection (RESP3) publishes and receives. It counts as lost if an answer takes 2 s, and it is
/// checked once a second if there is nothing to publish.
#[derive(Clone)]
pub struct Redis {
    url: EngineUrl,
    mode: Mode,
    tls: bool,
    trust: Trust,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    One,
    /// The hosts are sentinels, and the path is the master's name.
    Sentinel,
    /// Sharded pub/sub, of Redis 7: a message goes to the nodes of one shard, and not to all.
    Cluster,
}

impl Redis {
    /// A bus of a URL:
    /// - `redis://[[user]:password@]host[:6379]`;
    /// - `redis-sentinel://[[user]:password@]host[:26379],…/master`: the sentinels are asked for the
    ///   master, with the same credentials if they want any;
    /// - `redis-cluster://[[user]:password@]host[:6379],…`: sharded pub/sub of Redis 7, by any node.
    ///
    /// `rediss`, `rediss-sentinel` and `rediss-cluster` are the same by TLS. Channels have no
    /// database, so its number after a host is ignored.
    ///
    /// # Errors
    /// If it is no such URL. Nothing is connected yet.
    pub fn from_url(url: &str) -> Result<Self, BusError> {
        let schemes = [
            "redis",
            "rediss",
            "redis-sentinel",
            "rediss-sentinel",
            "redis-cluster",
            "rediss-cluster",
        ];
        let url = EngineUrl::parse(url, &schemes, EXPECTED)?;
        let wrong = |problem: String| EngineUrl::wrong(problem, EXPECTED);
        let (tls, mode) = match url.scheme.strip_prefix("rediss") {
            Some(mode) => (true, mode),
            None => (false, url.scheme.trim_start_matches("redis")),
        };
        let mode = match mode {
            "-sentinel" => Mode::Sentinel,
            "-cluster" => Mode::Cluster,
            _ => Mode::One,
        };
        if mode == Mode::One && url.hosts.len() > 1 {
            return Err(wrong("the URL has several hosts".into()));
        }
        if mode == Mode::Sentinel && url.path.is_empty() {
            return Err(wrong("the URL has no name of a master".into()));
        }
        if mode != Mode::Sentinel && !url.path.chars().all(|c| c.is_ascii_digit()) {
            return Err(wrong(format!("the URL has the path `{}`", url.path)));
        }
        if url.user.is_some() && url.password.is_none() {
            return Err(wrong("the URL has a user without a password".into()));
        }
        if let Some((name, _)) = url.options.first() {
            return Err(wrong(format!("the URL has the option `{name}`")));
        }
        Ok(Self { url, mode, tls, trust: Trust::default() })
    }

    /// The certificate authorities for TLS, in place of the system's.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Subscribes by one host of the URL.
    async fn subscribed(&mut self, host: &Host, port: &Port) -> Result<Connection, String> {
        if self.mode == Mode::Sentinel {
            let master = in_time("the sentinel", self.master(host)).await?;
            return self.subscribe(master, port).await;
        }
        self.subscribe(host.clone(), port).await
    }

    /// Connects to a node that carries the channel, and subscribes to it there.
    async fn subscribe(&mut self, mut host: Host, port: &Port) -> Result<Connection, String> {
        let channel = format!("failover.{}", port.cluster());
        let sharded = self.mode == Mode::Cluster;
        for _ in 0..REDIRECTIONS {
            let address = host.with_port(6379);
            let told = |failure: &dyn fmt::Display| format!("Redis at {address}: {failure}");
            let moved = Arc::new(Notify::new());
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(Some(TIMEOUT))
                .set_push_sender(link::receiver(port.clone(), Arc::clone(&moved)));
            let connected = async {
                let mut link = self.dial(&host, 6379, true, config).await?;
                if self.mode == Mode::Sentinel {
                    link.check_master().await?;
                }
                let subscribe = if sharded { "SSUBSCRIBE" } else { "SUBSCRIBE" };
                link.ask(cmd(subscribe).arg(&channel)).await?;
                Ok(link)
            };
            let connected = timeout(TIMEOUT, connected).await;
            match connected.unwrap_or(Err(Failure::Late)) {
                Ok(link) => return Ok(Connection { link, channel, sharded, moved, address }),
                Err(Failure::Moved(to)) if sharded => host = to,
                Err(failure) => return Err(told(&failure)),
            }
        }
        Err("Redis Cluster: the channel's slot moves from node to node".to_owned())
    }

    /// Asks a sentinel for the master.
    async fn master(&mut self, sentinel: &Host) -> Result<Host, String> {
        let address = sentinel.with_port(26379);
        let told = |failure: &dyn fmt::Display| format!("sentinel at {address}: {failure}");
        let mut credentials = false;
        loop {
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(TIMEOUT));
            let asked = async {
                let mut link = self.dial(sentinel, 26379, credentials, config).await?;
                let mut ask = cmd("SENTINEL");
                ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.url.path);
                link.ask(&ask).await
            };
            match asked.await {
                Ok(answer) => {
                    return link::host_of(answer)
                        .ok_or_else(|| told(&format_args!("no master `{}`", self.url.path)));
                }
                // Sentinels often have no password where their master has one.
                Err(failure) if !credentials && failure.wants_credentials() => credentials = true,
                Err(failure) => return Err(told(&failure)),
            }
        }
    }

    async fn dial(
        &self,
        host: &Host,
        default_port: u16,
        credentials: bool,
        config: AsyncConnectionConfig,
    ) -> Result<Link, Failure> {
        let mut info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(password) = self.url.password.as_ref().filter(|_| credentials) {
            info = info.set_password(password);
            if let Some(user) = &self.url.user {
                info = info.set_username(user);
            }
        }
        let trust = if self.tls { Some(self.trust.clone()) } else { None };
        Link::open((&host.name, host.port.unwrap_or(default_port)), trust, &info, config).await
    }
}

pub(super) struct Connection {
    link: Link,
    channel: String,
    sharded: bool,
    /// Notified when the server ends the subscription.
    moved: Arc<Notify>,
    address: String,
}

impl Engine for Redis {
    type Connection = Connection;

    async fn connect(&mut self, port: &Port) -> Result<Connection, String> {
        // Read once, and not at each connection.
        if self.tls {
            self.trust.config()?;
        }
        let mut failed = String::new();
        for host in self.url.hosts.clone() {
            match self.subscribed(&host, port).await {
                Ok(connection) => return Ok(connection),
                Err(reason) => failed = reason,
            }
        }
        Err(failed)
    }

    async fn carry(connection: Connection, port: &Port) -> String {
        let Connection { link, channel, sharded, moved, address } = connection;
        let Link { mut commands, driver } = link;
        let publish = async {
            loop {
                let command = match timeout(IDLE, port.next()).await {
                    Ok(message) => {
                        let publish = if sharded { "SPUBLISH" } else { "PUBLISH" };
                        cmd(publish).arg(&channel).arg(message).clone()
                    }
                    Err(_) => cmd("PING"),
                };
                if let Err(error) = command.exec_async(&mut commands).await {
                    return format!("Redis at {address}: {error}");
                }
            }
        };
        let closed = async {
            driver.await;
            format!("Redis at {address}: the connection was closed")
        };
        let moved = async {
            moved.notified().await;
            format!("Redis at {address}: the channel's slot has moved to another node")
        };
        race(publish, race(closed, moved)).await
    }
}

impl Bus for Redis {
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    fn run(self, port: Port) -> impl Future<Output = Infallible> + Send {
        keep_connected(self, port)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("url", &self.url).finish_non_exhaustive()
    }
}
