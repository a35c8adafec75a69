//! The bus of the cluster that the configuration names.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::{fs, io};

use failover::cluster::bus::error::BusError;
use failover::cluster::bus::kafka::Kafka;
use failover::cluster::bus::nats::Nats;
use failover::cluster::bus::peers::Peer;
use failover::cluster::bus::redis::Redis;
use failover::cluster::bus::trust::Trust;
use failover::cluster::bus::udp::Udp;
use failover::cluster::bus::{Bus, Port};

use super::StartError;
use crate::config::{Config, Engine};

/// What carries the messages between nodes.
pub(super) enum Carrier {
    Udp(Udp),
    Redis(Redis),
    Nats(Nats),
    Kafka(Box<Kafka>),
}

impl Carrier {
    /// Binds the socket for UDP; connects to nothing yet. `None` without a cluster.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(url) = &config.cluster else { return Ok(None) };
        let carrier = match url.engine {
            Engine::Udp(address) => Self::Udp(Udp::bind(address)?.peers(config.peers.clone())),
            Engine::Redis => Self::Redis(Redis::from_url(url.expose())?.trust(trust(config)?)),
            Engine::Nats => Self::Nats(Nats::from_url(url.expose())?.trust(trust(config)?)),
            Engine::Kafka => {
                let kafka = Kafka::from_url(url.expose())?;
                Self::Kafka(Box::new(kafka.trust(trust(config)?)))
            }
        };
        Ok(Some(carrier))
    }

    /// The address that is bound, for UDP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp(udp) => Some(udp.local_addr()),
            Self::Redis(_) | Self::Nats(_) | Self::Kafka(_) => None,
        }
    }

    /// With these peers instead, for UDP.
    pub(super) fn with_peers(self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        match self {
            Self::Udp(udp) => Self::Udp(udp.peers(peers.into_iter().map(Peer::from))),
            other => other,
        }
    }
}

/// The certificate authorities for TLS.
fn trust(config: &Config) -> Result<Trust, StartError> {
    let Some(path) = &config.cluster_ca else { return Ok(Trust::default()) };
    let unreadable = |source: io::Error| {
        BusError::Authorities(format!("--cluster-ca {} can't be read: {source}", path.display()))
    };
    Ok(Trust::authorities(&fs::read(path).map_err(unreadable)?)?)
}

impl Bus for Carrier {
    async fn run(self, port: Port) -> Infallible {
        match self {
            Self::Udp(udp) => udp.run(port).await,
            Self::Redis(redis) => redis.run(port).await,
            Self::Nats(nats) => nats.run(port).await,
            Self::Kafka(kafka) => kafka.run(port).await,
        }
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp(_) => "Udp",
            Self::Redis(_) => "Redis",
            Self::Nats(_) => "Nats",
            Self::Kafka(_) => "Kafka",
        })
    }
}
