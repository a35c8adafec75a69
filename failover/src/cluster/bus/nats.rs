//! NATS: core pub/sub, without `JetStream`.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, channel};

use crate::cluster::bus::error::BusError;
use crate::cluster::bus::reconnect::{Engine, TIMEOUT, in_time, keep_connected};
use crate::cluster::bus::trust::Trust;
use crate::cluster::bus::url::{EngineUrl, Host};
use crate::cluster::bus::{Bus, Port};
use crate::cluster::race::race;

const EXPECTED: &str =
    "`nats://[user:password@|token@]host[:4222],…`, with the scheme `tls` to insist on TLS";

/// A connection on which nothing arrives is lost after three of them.
const PING: Duration = Duration::from_secs(1);
/// Incoming messages that wait for the bus. What does not fit is reported as lag.
const QUEUE: usize = 1_024;

/// Core pub/sub of NATS, on the subject `failover.<cluster>`.
///
/// A connection on which nothing arrives for 3 s is lost. The client's own reconnection is not used:
/// it keeps messages and sends them late.
#[derive(Clone)]
pub struct Nats {
    url: EngineUrl,
    trust: Trust,
}

impl Nats {
    /// A bus of a URL, `nats://[user:password@|token@]host[:4222],…`. Several hosts are tried in this
    /// order. TLS is used if the server asks for it; with the scheme `tls` always.
    ///
    /// # Errors
    /// If it is no such URL. Nothing is connected yet.
    pub fn from_url(url: &str) -> Result<Self, BusError> {
        let url = EngineUrl::parse(url, &["nats", "tls"], EXPECTED)?;
        let wrong = |problem: String| EngineUrl::wrong(problem, EXPECTED);
        if !url.path.is_empty() {
            return Err(wrong(format!("the URL has the path `{}`", url.path)));
        }
        if url.user.is_none() && url.password.is_some() {
            return Err(wrong("the URL has a password without a user".into()));
        }
        if let Some((name, _)) = url.options.first() {
            return Err(wrong(format!("the URL has the option `{name}`")));
        }
        Ok(Self { url, trust: Trust::default() })
    }

    /// The certificate authorities for TLS, in place of the system's.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// One connection, that is not renewed when it is lost.
    fn options(&mut self) -> Result<ConnectOptions, String> {
        // The client counts attempts per connection, and the first is one.
        let mut options = ConnectOptions::new()
            .max_reconnects(1)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .ignore_discovered_servers()
            .connection_timeout(TIMEOUT)
            .ping_interval(PING)
            .subscription_capacity(QUEUE)
            .client_capacity(1);
        let requires_tls = self.url.scheme == "tls";
        // A server without TLS needs no authorities.
        match self.trust.config() {
            Ok(config) => options = options.tls_client_config((*config).clone()),
            Err(reason) if requires_tls => return Err(reason),
            Err(_) => {}
        }
        Ok(match (self.url.user.clone(), self.url.password.clone()) {
            (Some(user), Some(password)) => options.user_and_password(user, password),
            (Some(token), None) => options.token(token),
            (None, _) => options,
        }
        .require_tls(requires_tls))
    }

    async fn connect_to(&mut self, host: &Host, port: &Port) -> Result<Connection, String> {
        let (sender, events) = channel(64);
        let options = self.options()?.event_callback(move |event| {
            // Only the first that ends the connection matters, and it fits.
            let _ = sender.try_send(event);
            std::future::ready(())
        });
        let address = format!("nats://{}", host.with_port(4222));
        let client = options.connect(address.as_str()).await.map_err(|error| error.to_string())?;
        let subject = format!("failover.{}", port.cluster());
        let subscriber =
            client.subscribe(subject.clone()).await.map_err(|error| error.to_string())?;
        let mut connection = Connection { client, subscriber, events, subject, address };
        connection.confirm().await?;
        Ok(connection)
    }
}

pub(super) struct Connection {
    client: Client,
    subscriber: Subscriber,
    events: Receiver<Event>,
    subject: String,
    address: String,
}

impl Connection {
    /// Servers don't confirm a subscription: an empty message that comes back does. Receivers drop it.
    async fn confirm(&mut self) -> Result<(), String> {
        publish(&self.client, &self.subject, Vec::new()).await?;
        let received = async {
            next(&mut self.subscriber).await.map(drop).ok_or("the connection was closed".to_owned())
        };
        let lost = async { Err(lost(&mut self.events, None).await) };
        race(lost, received).await
    }
}

impl Engine for Nats {
    type Connection = Connection;

    async fn connect(&mut self, port: &Port) -> Result<Connection, String> {
        let mut failed = String::new();
        for host in self.url.hosts.clone() {
            let connected = in_time("the connection", self.connect_to(&host, port)).await;
            match connected {
                Ok(connection) => return Ok(connection),
                Err(reason) => failed = format!("NATS at {}: {reason}", host.with_port(4222)),
            }
        }
        Err(failed)
    }

    async fn carry(connection: Connection, port: &Port) -> String {
        let Connection { client, mut subscriber, mut events, subject, address } = connection;
        let publish = async {
            loop {
                let message = port.next().await;
                if let Err(reason) = publish(&client, &subject, message).await {
                    return reason;
                }
            }
        };
        let receive = async {
            while let Some(message) = next(&mut subscriber).await {
                if !message.payload.is_empty() {
                    port.deliver(&message.payload);
                }
            }
            "the connection was closed".to_owned()
        };
        // Events first: nothing is published into a connection that is known to be lost.
        let reason = race(lost(&mut events, Some(port)), race(publish, receive)).await;
        format!("NATS at {}: {reason}", address.trim_start_matches("nats://"))
    }
}

impl Bus for Nats {
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    fn run(self, port: Port) -> impl Future<Output = Infallible> + Send {
        keep_connected(self, port)
    }
}

/// Publishes and waits until the socket has taken it, so that at most one message is in the client.
async fn publish(client: &Client, subject: &str, message: Vec<u8>) -> Result<(), String> {
    let published = client.publish(subject.to_owned(), message.into()).await;
    published.map_err(|error| error.to_string())?;
    client.flush().await.map_err(|error| error.to_string())
}

async fn next(subscriber: &mut Subscriber) -> Option<Message> {
    poll_fn(|cx| Pin::new(&mut *subscriber).poll_next(cx)).await
}

/// Waits for an event that ends the connection, and reports lag.
async fn lost(events: &mut Receiver<Event>, port: Option<&Port>) -> String {
    while let Some(event) = events.recv().await {
        match event {
            Event::Disconnected | Event::Closed | Event::Draining => break,
            // Also that a subject may not be used.
            Event::ServerError(error) => return error.to_string(),
            Event::SlowConsumer(_) => {
                if let Some(port) = port {
                    port.lagged(1);
                }
            }
            Event::Connected | Event::LameDuckMode | Event::ClientError(_) => {}
        }
    }
    "the connection was lost".to_owned()
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the credentials.
        f.debug_struct("Nats").field("url", &self.url).finish_non_exhaustive()
    }
}
