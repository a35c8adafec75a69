//! A log of the Kafka protocol, read at its end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use rskafka::{BackoffConfig, BackoffError, ConnectionError};
use tokio::time::{sleep, timeout};

use crate::cluster::bus::error::BusError;
use crate::cluster::bus::reconnect::{Engine, TIMEOUT, in_time, keep_connected};
use crate::cluster::bus::trust::Trust;
use crate::cluster::bus::url::EngineUrl;
use crate::cluster::bus::{Bus, Port};
use crate::cluster::race::race;

const EXPECTED: &str = "`kafka://[user:password@]host[:9092],…[?mechanism=plain]`, with `kafkas` for TLS; \
                        mechanisms are `plain`, `scram-sha-256` and `scram-sha-512`";

/// How long the broker keeps a fetch that finds nothing.
const WAIT_MS: i32 = 500;
/// Between two fetches: bounds their rate, and costs half of it on average.
const LINGER: Duration = Duration::from_millis(10);
/// Of one fetch, in bytes.
const FETCHED: i32 = 1 << 20;
/// Farther behind the end of the log than this many messages, a reader skips them.
const FARTHEST: i64 = 20_000;
/// Between two attempts at a topic that was just created.
const RETRY: Duration = Duration::from_millis(50);

/// A log of the Kafka protocol: partition 0 of the topic `failover.<cluster>`, which is created with one
/// partition if it is missing.
///
/// Nodes read from the end of the log, and skip what they can't follow. Nothing older than some seconds
/// is of use. Records have the timestamp 0, so a broker that retains by it may delete them at its next
/// check; where timestamps are the broker's (`LogAppendTime`), give the topic a short `retention.ms` and
/// `segment.ms`, since the client can't: a topic that it creates has the broker's defaults.
///
/// One connection writes and one reads, since a fetch that waits blocks its connection.
#[derive(Clone)]
pub struct Kafka {
    url: EngineUrl,
    sasl: Option<SaslConfig>,
    trust: Trust,
}

impl Kafka {
    /// A bus of a URL, `kafka://[user:password@]host[:9092],…[?mechanism=plain]`, or `kafkas://…` for
    /// TLS. The hosts are bootstrap brokers. Mechanisms of SASL are `plain`, which is the default,
    /// `scram-sha-256` and `scram-sha-512`.
    ///
    /// # Errors
    /// If it is no such URL. Nothing is connected yet.
    pub fn from_url(url: &str) -> Result<Self, BusError> {
        let url = EngineUrl::parse(url, &["kafka", "kafkas"], EXPECTED)?;
        let wrong = |problem: String| EngineUrl::wrong(problem, EXPECTED);
        if !url.path.is_empty() {
            return Err(wrong(format!("the URL has the path `{}`", url.path)));
        }
        let credentials = match (&url.user, &url.password) {
            (Some(user), Some(password)) => Some(Credentials::new(user.clone(), password.clone())),
            (None, None) => None,
            _ => return Err(wrong("the URL has not both a user and a password".into())),
        };
        let mut mechanism: fn(Credentials) -> SaslConfig = SaslConfig::Plain;
        for (name, value) in &url.options {
            mechanism = match (name.as_str(), value.as_str()) {
                ("mechanism", "plain") => SaslConfig::Plain,
                ("mechanism", "scram-sha-256") => SaslConfig::ScramSha256,
                ("mechanism", "scram-sha-512") => SaslConfig::ScramSha512,
                ("mechanism", other) => {
                    return Err(wrong(format!("the URL has the option `mechanism={other}`")));
                }
                _ => return Err(wrong(format!("the URL has the option `{name}`"))),
            };
        }
        let sasl = credentials.map(mechanism);
        Ok(Self { url, sasl, trust: Trust::default() })
    }

    /// The certificate authorities for TLS, in place of the system's.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    async fn client(&mut self) -> Result<Client, String> {
        let brokers = self.url.hosts.iter().map(|host| host.with_port(9092)).collect();
        // No retries inside: a lost connection is to be seen, and no message is to be sent late.
        let once = BackoffConfig { deadline: Some(Duration::ZERO), ..BackoffConfig::default() };
        let mut builder = ClientBuilder::new(brokers).client_id("failover").backoff_config(once);
        if let Some(sasl) = &self.sasl {
            builder = builder.sasl_config(sasl.clone());
        }
        if self.url.scheme == "kafkas" {
            builder = builder.tls_config(self.trust.config()?);
        }
        in_time("the connection", async { builder.build().await.map_err(|error| told(&error)) })
            .await
    }

    async fn open(&mut self, topic: &str) -> Result<Connection, String> {
        let client = self.client().await?;
        let reader = match partition(&client, topic).await {
            Err(error) if is_missing(&error) => {
                in_time("creating the topic", create(&client, topic)).await?;
                in_time("the new topic", created(&client, topic)).await?
            }
            found => found.map_err(|error| told(&error))?,
        };
        let end = in_time("the end of the log", async {
            reader.get_offset(OffsetAt::Latest).await.map_err(|error| told(&error))
        });
        let end = end.await?;
        let writer = self.client().await?;
        let writer = in_time("the connection", async {
            partition(&writer, topic).await.map_err(|error| told(&error))
        });
        let writer = writer.await?;
        Ok(Connection { reader, writer, end, address: self.address() })
    }

    fn address(&self) -> String {
        let hosts: Vec<_> = self.url.hosts.iter().map(|host| host.with_port(9092)).collect();
        hosts.join(",")
    }
}

async fn partition(client: &Client, topic: &str) -> Result<PartitionClient, Error> {
    let opened = timeout(TIMEOUT, client.partition_client(topic, 0, UnknownTopicHandling::Error));
    opened.await.unwrap_or(Err(Error::Timeout))
}

async fn create(client: &Client, topic: &str) -> Result<(), String> {
    let controller = client.controller_client().map_err(|error| told(&error))?;
    let mut replicas = -1; // the broker's default
    loop {
        let timeout = i32::try_from(TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        let created = controller.create_topic(topic, 1, replicas, timeout).await;
        match created.as_ref().err().and_then(protocol_error) {
            // Another node was faster.
            Some(ProtocolError::TopicAlreadyExists) => return Ok(()),
            // Brokers before Kafka 2.4 have no default.
            Some(ProtocolError::InvalidReplicationFactor) if replicas < 0 => replicas = 1,
            _ => return created.map_err(|error| told(&error)),
        }
    }
}

/// The partition of a topic that was just created: brokers hear of it one after another.
async fn created(client: &Client, topic: &str) -> Result<PartitionClient, String> {
    loop {
        match partition(client, topic).await {
            Err(error) if is_missing(&error) => sleep(RETRY).await,
            found => return found.map_err(|error| told(&error)),
        }
    }
}

pub(super) struct Connection {
    reader: PartitionClient,
    writer: PartitionClient,
    /// The offset to read from.
    end: i64,
    address: String,
}

impl Engine for Kafka {
    type Connection = Connection;

    async fn connect(&mut self, port: &Port) -> Result<Connection, String> {
        let topic = format!("failover.{}", port.cluster());
        self.open(&topic).await.map_err(|reason| format!("Kafka at {}: {reason}", self.address()))
    }

    async fn carry(connection: Connection, port: &Port) -> String {
        let Connection { reader, writer, end, address } = connection;
        let error = race(write(&writer, port), read(&reader, end, port)).await;
        format!("Kafka at {address}: {}", told(&error))
    }
}

impl Bus for Kafka {
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    fn run(self, port: Port) -> impl Future<Output = Infallible> + Send {
        keep_connected(self, port)
    }
}

async fn write(writer: &PartitionClient, port: &Port) -> Error {
    loop {
        let mut records = vec![record(port.next().await)];
        while !port.is_drained() {
            records.push(record(port.next().await));
        }
        match timeout(TIMEOUT, writer.produce(records, Compression::NoCompression)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error,
            Err(_) => return Error::Timeout,
        }
    }
}

/// With the timestamp 0, and so without the wall clock.
fn record(message: Vec<u8>) -> Record {
    let (headers, timestamp) = (BTreeMap::new(), DateTime::default());
    Record { key: None, value: Some(message), headers, timestamp }
}

/// Reads from an offset on, which is the end of the log.
async fn read(reader: &PartitionClient, mut offset: i64, port: &Port) -> Error {
    loop {
        let fetch = reader.fetch_records(offset, 1..FETCHED, WAIT_MS);
        let limit = TIMEOUT + Duration::from_millis(WAIT_MS.unsigned_abs().into());
        let end = match timeout(limit, fetch).await {
            Ok(Ok((records, end))) => {
                // A broker returns the whole batch that has the offset.
                let first = offset;
                for record in records.into_iter().filter(|record| record.offset >= first) {
                    offset = offset.max(record.offset.saturating_add(1));
                    if let Some(message) = record.record.value {
                        port.deliver(&message);
                    }
                }
                if end.saturating_sub(offset) > FARTHEST { end } else { offset }
            }
            Ok(Err(error)) if protocol_error(&error) == Some(ProtocolError::OffsetOutOfRange) => {
                match timeout(TIMEOUT, reader.get_offset(OffsetAt::Latest)).await {
                    Ok(Ok(end)) => end,
                    Ok(Err(error)) => return error,
                    Err(_) => return Error::Timeout,
                }
            }
            Ok(Err(error)) => return error,
            Err(_) => return Error::Timeout,
        };
        if end != offset {
            // The log may also have begun again: then nobody knows how many.
            port.lagged(u64::try_from(end.saturating_sub(offset)).unwrap_or(1));
            offset = end;
        }
        sleep(LINGER).await;
    }
}

fn is_missing(error: &Error) -> bool {
    use ProtocolError::{LeaderNotAvailable, UnknownTopicOrPartition};
    let known = protocol_error(error);
    known.is_some_and(|error| matches!(error, LeaderNotAvailable | UnknownTopicOrPartition))
}

/// The broker's answer inside an error.
fn protocol_error(error: &Error) -> Option<ProtocolError> {
    match error {
        Error::ServerError { protocol_error, .. } => Some(*protocol_error),
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. }) => {
            source.downcast_ref().and_then(protocol_error)
        }
        _ => None,
    }
}

/// The cause, without the client's words about retries, of which there are none.
fn told(error: &Error) -> String {
    match error {
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. }) => source.to_string(),
        Error::Connection(ConnectionError::RetryFailed(BackoffError::DeadlineExceded {
            source,
            ..
        })) => source.to_string(),
        Error::Timeout => format!("no answer after {} s", TIMEOUT.as_secs()),
        other => other.to_string(),
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the credentials.
        f.debug_struct("Kafka").field("url", &self.url).finish_non_exhaustive()
    }
}
