//! What carries the messages of the demo's nodes: nothing but sockets, or a program that the demo starts.

mod program;
mod relay;

use std::net::SocketAddr;
use std::path::Path;

use super::DemoError;
use crate::cli::DemoBus;
use program::Program;
use relay::Relay;

/// A bus that can be taken down and brought back.
pub(super) enum Bus {
    /// Each node sends to each, over UDP.
    Mesh,
    /// UDP as well, by way of a relay that can be taken down.
    Relay(Relay),
    /// A program of its own.
    Program { kind: DemoBus, program: Program },
}

impl Bus {
    /// Starts it. `can_end`: it will be taken down.
    pub(super) async fn start(
        kind: DemoBus,
        can_end: bool,
        folder: &Path,
    ) -> Result<Self, DemoError> {
        match kind {
            DemoBus::Udp if can_end => Ok(Self::Relay(Relay::start().await?)),
            DemoBus::Udp => Ok(Self::Mesh),
            kind => Ok(Self::Program { kind, program: Program::start(kind, folder).await? }),
        }
    }

    /// The nodes' setting.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Mesh | Self::Relay(_) => "udp://127.0.0.1:0".to_owned(),
            Self::Program { kind, program } => {
                let scheme = match kind {
                    DemoBus::Nats => "nats",
                    DemoBus::Kafka => "kafka",
                    DemoBus::Redis | DemoBus::Udp => "redis",
                };
                format!("{scheme}://127.0.0.1:{}", program.port())
            }
        }
    }

    /// In words.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Mesh => "UDP, from each node to each".to_owned(),
            Self::Relay(_) => "UDP, by way of a relay that the story takes down".to_owned(),
            Self::Program { program, .. } => {
                format!("a private {} on 127.0.0.1:{}", program.name(), program.port())
            }
        }
    }

    /// The peers of each node, once all addresses are known.
    pub(super) fn peers(&mut self, nodes: &[SocketAddr]) -> Vec<SocketAddr> {
        match self {
            Self::Mesh => nodes.to_vec(),
            Self::Relay(relay) => {
                relay.carry(nodes.to_vec());
                vec![relay.address()]
            }
            Self::Program { .. } => Vec::new(),
        }
    }

    /// Takes it down at once. A mesh has nothing that could go down.
    pub(super) async fn kill(&mut self) {
        match self {
            Self::Mesh => {}
            Self::Relay(relay) => relay.kill().await,
            Self::Program { program, .. } => program.kill(),
        }
    }

    /// Brings it back, at the same address.
    pub(super) async fn restart(&mut self) -> Result<(), DemoError> {
        match self {
            Self::Mesh => Ok(()),
            Self::Relay(relay) => Ok(relay.restart().await?),
            Self::Program { program, .. } => program.restart().await,
        }
    }
}
