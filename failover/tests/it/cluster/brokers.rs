//! The brokers that the contract is held against, and their buses.

use std::marker::PhantomData;
use std::path::Path;

use failover::cluster::bus::Bus;
#[cfg(feature = "cluster-kafka")]
use failover::cluster::bus::kafka::Kafka;
#[cfg(feature = "cluster-nats")]
use failover::cluster::bus::nats::Nats;
#[cfg(feature = "cluster-redis")]
use failover::cluster::bus::redis::Redis;
use failover::cluster::bus::trust::Trust;

use super::certificates::Certificates;
use super::program::{Program, free_port};

pub(crate) const PASSWORD: &str = "correct-horse";

/// A kind of broker.
pub(crate) trait Broker {
    type Bus: Bus;
    const PROGRAM: &'static str;
    /// What `down` says about a wrong password.
    const REFUSAL: &'static str;
    /// Whether the program here can do TLS; a proxy does it otherwise.
    const TLS: bool;
    fn arguments(setup: &Setup<'_>, folder: &Path) -> Vec<String>;
    /// The bus for a broker on a port of this machine.
    fn bus(port: u16, password: Option<&str>) -> Self::Bus;
    /// The same by TLS, to `localhost`, with a PEM of authorities.
    fn tls_bus(port: u16, authorities: &str) -> Self::Bus;
}

/// How a broker is to run.
pub(crate) struct Setup<'a> {
    pub(crate) port: u16,
    /// Where clients reach it: such as a proxy's port.
    pub(crate) reached_by: u16,
    pub(crate) password: bool,
    pub(crate) tls: Option<&'a Certificates>,
}

impl Setup<'_> {
    pub(crate) fn at(port: u16) -> Self {
        Self { port, reached_by: port, password: false, tls: None }
    }
}

/// A broker that runs, or was killed.
pub(crate) struct Running<B: Broker> {
    pub(crate) port: u16,
    program: Program,
    kind: PhantomData<B>,
}

impl<B: Broker> Running<B> {
    /// `None`: there is no such program here, which was said.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&Setup::at(free_port()))
    }

    pub(crate) fn with(setup: &Setup<'_>) -> Option<Self> {
        let program = Program::start(B::PROGRAM, setup.port, |folder| B::arguments(setup, folder))?;
        Some(Self { port: setup.port, program, kind: PhantomData })
    }

    pub(crate) fn bus(&self) -> B::Bus {
        B::bus(self.port, None)
    }

    pub(crate) fn buses(&self, buses: usize) -> Vec<B::Bus> {
        (0..buses).map(|_| self.bus()).collect()
    }

    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }

    pub(crate) fn restart(&mut self) {
        self.program.restart();
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Redis, with its own TLS.
#[cfg(feature = "cluster-redis")]
pub(crate) struct RedisServer;

#[cfg(feature = "cluster-redis")]
impl Broker for RedisServer {
    type Bus = Redis;
    const PROGRAM: &'static str = "redis-server";
    const REFUSAL: &'static str = "WRONGPASS";
    const TLS: bool = true;

    fn arguments(setup: &Setup<'_>, folder: &Path) -> Vec<String> {
        let port = setup.port;
        let mut arguments = words("--bind 127.0.0.1 --appendonly no --save");
        arguments.push(String::new());
        arguments.extend(match setup.tls {
            None => words(&format!("--port {port}")),
            Some(certificates) => {
                let (certificate, key) = certificates.write(folder);
                let (certificate, key) = (certificate.display(), key.display());
                words(&format!(
                    "--port 0 --tls-port {port} --tls-auth-clients no \
                     --tls-cert-file {certificate} --tls-key-file {key}"
                ))
            }
        });
        if setup.password {
            arguments.extend(words(&format!("--requirepass {PASSWORD}")));
        }
        arguments
    }

    fn bus(port: u16, password: Option<&str>) -> Redis {
        let credentials = password.map(|password| format!(":{password}@")).unwrap_or_default();
        Redis::from_url(&format!("redis://{credentials}127.0.0.1:{port}")).unwrap()
    }

    fn tls_bus(port: u16, authorities: &str) -> Redis {
        let trust = Trust::authorities(authorities.as_bytes()).unwrap();
        Redis::from_url(&format!("rediss://localhost:{port}")).unwrap().trust(trust)
    }
}

/// NATS, which turns to TLS after its greeting.
#[cfg(feature = "cluster-nats")]
pub(crate) struct NatsServer;

#[cfg(feature = "cluster-nats")]
impl Broker for NatsServer {
    type Bus = Nats;
    const PROGRAM: &'static str = "nats-server";
    const REFUSAL: &'static str = "authorization violation";
    const TLS: bool = true;

    fn arguments(setup: &Setup<'_>, folder: &Path) -> Vec<String> {
        let mut arguments = words(&format!("--addr 127.0.0.1 --port {}", setup.port));
        if setup.password {
            arguments.extend(words(&format!("--user fleet --pass {PASSWORD}")));
        }
        if let Some(certificates) = setup.tls {
            let (certificate, key) = certificates.write(folder);
            let (certificate, key) = (certificate.display(), key.display());
            arguments.extend(words(&format!("--tls --tlscert {certificate} --tlskey {key}")));
        }
        arguments
    }

    fn bus(port: u16, password: Option<&str>) -> Nats {
        let credentials = password.map(|password| format!("fleet:{password}@")).unwrap_or_default();
        Nats::from_url(&format!("nats://{credentials}127.0.0.1:{port}")).unwrap()
    }

    fn tls_bus(port: u16, authorities: &str) -> Nats {
        let trust = Trust::authorities(authorities.as_bytes()).unwrap();
        Nats::from_url(&format!("tls://localhost:{port}")).unwrap().trust(trust)
    }
}

/// A broker of the Kafka protocol, in memory. It can't be given a user before it asks for one.
#[cfg(feature = "cluster-kafka")]
pub(crate) struct Tansu;

#[cfg(feature = "cluster-kafka")]
impl Broker for Tansu {
    type Bus = Kafka;
    const PROGRAM: &'static str = "tansu";
    const REFUSAL: &'static str = "Sasl handshake failed";
    const TLS: bool = false;

    fn arguments(setup: &Setup<'_>, _: &Path) -> Vec<String> {
        let mut arguments = words(&format!(
            "broker --listener-url tcp://127.0.0.1:{} --advertised-listener-url \
             tcp://localhost:{} --storage-engine memory://tansu/",
            setup.port, setup.reached_by
        ));
        if setup.password {
            arguments.push("--authentication".to_owned());
        }
        arguments
    }

    fn bus(port: u16, password: Option<&str>) -> Kafka {
        let credentials = password.map(|password| format!("fleet:{password}@")).unwrap_or_default();
        // Not SCRAM: its 16,384 rounds of hashing take seconds without optimisation.
        Kafka::from_url(&format!("kafka://{credentials}127.0.0.1:{port}")).unwrap()
    }

    fn tls_bus(port: u16, authorities: &str) -> Kafka {
        let trust = Trust::authorities(authorities.as_bytes()).unwrap();
        Kafka::from_url(&format!("kafkas://localhost:{port}")).unwrap().trust(trust)
    }
}
