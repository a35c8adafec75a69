//! Several servers of one fleet, in this process: each with its own database and ports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use rustls::crypto::aws_lc_rs;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bus::Bus;
use super::gate::Gate;
use super::simulator::Simulator;
use super::{DemoError, say};
use crate::app::{App, Ended, Providers};
use crate::cli::DemoArgs;
use crate::config::Setting;
use crate::domain::Provider;
use crate::providers::BaseUrl;

/// The demo's servers, providers, bus and folder.
pub(super) struct Stage {
    pub(super) nodes: Vec<Node>,
    pub(super) bus: Bus,
    pub(super) supercar: Simulator,
    pub(super) premium: Simulator,
    /// The last node's way to SuperCar.
    pub(super) gate: Gate,
    /// Ends all servers.
    pub(super) stop: CancellationToken,
    /// Removed when dropped.
    folder: TempDir,
}

/// A server that runs.
pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) providers: Providers,
    pub(super) server: JoinHandle<Ended>,
}

impl Stage {
    pub(super) async fn set(args: &DemoArgs, nodes: u8) -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new().prefix("valuation-demo-").tempdir()?;
        let mut bus = Bus::start(args.bus(), args.scenario.is_some(), folder.path()).await?;
        let supercar = super::simulator(Provider::SuperCar, super::SUPERCAR_PORT).await?;
        let premium = super::simulator(Provider::Premium, super::PREMIUM_PORT).await?;
        let gate = Gate::to(supercar.address()).await?;
        let secret = secret()?;
        let mut apps = Vec::new();
        for number in 1..=nodes {
            let more = settings(&bus.url(), &secret, number);
            let last = number == nodes;
            let url = if last { gate.base_url() } else { supercar.base_url() };
            let database = folder.path().join(format!("node-{number}.sqlite"));
            apps.push(start(args, number, more, &database, url, premium.base_url()).await?);
        }
        let addresses: Vec<_> = apps.iter().filter_map(App::cluster_address).collect();
        let peers = bus.peers(&addresses);
        let stop = CancellationToken::new();
        let mut running = Vec::new();
        for (app, number) in apps.into_iter().zip(1..) {
            say(&super::pages(&app, &format!("Node {number}, in zone {}", zone(number))));
            let (address, providers) = (app.address(), app.providers().clone());
            let app = if peers.is_empty() { app } else { app.with_cluster_peers(peers.clone()) };
            let server = tokio::spawn(app.run(stop.clone().cancelled_owned()));
            running.push(Node { address, providers, server });
        }
        Ok(Self { nodes: running, bus, supercar, premium, gate, stop, folder })
    }

    /// Stops the servers in order, then the rest.
    pub(super) async fn end(self) -> Result<Ended, DemoError> {
        let Self { nodes, bus, supercar, premium, gate, stop, folder } = self;
        stop.cancel();
        let mut ended = Ended::Whole;
        for node in nodes {
            match node.server.await {
                Ok(of_node) => ended = worse(ended, of_node),
                // By the story.
                Err(error) if error.is_cancelled() => {}
                Err(error) => return Err(DemoError::Story(error.to_string())),
            }
        }
        drop((bus, gate));
        supercar.stop().await;
        premium.stop().await;
        folder.close()?;
        Ok(ended)
    }

    pub(super) fn what_to_try(&self) -> String {
        let (supercar, premium) = (self.supercar.address(), self.premium.address());
        let puts: Vec<_> = self.nodes.iter().map(|node| node.address.port().to_string()).collect();
        let (ports, bus) = (puts.join(" "), self.bus.name());
        format!(
            "\
{nodes} servers run until Ctrl-C, and fail over as one. Their bus: {bus}.
SuperCar (primary) is simulated on http://{supercar}, Premium (fallback) on http://{premium}.
Each node has a database of its own in {folder}, which goes away with the demo.

Break SuperCar, and value some cars at each node: all nodes change to Premium at once.
  curl -X POST 'http://{supercar}/fault?mode=500'
  for i in $(seq 10 49); do for port in {ports}; do
    curl -s -o /dev/null -X PUT http://127.0.0.1:$port/valuations/CAR$i$port \\
      -H 'content-type: application/json' -d '{{\"mileage\": 10000}}'
  done; done
The operators' page of each node shows all nodes.

Fix it, and all nodes come back at once:
  curl -X POST 'http://{supercar}/fault?mode=ok'

A whole story in a minute: valuation-server demo --nodes {nodes} --scenario outage --quick",
            nodes = self.nodes.len(),
            folder = self.folder.path().display(),
        )
    }
}

/// The settings of a node that the demo chooses.
fn settings(bus: &str, secret: &str, number: u8) -> BTreeMap<Setting, String> {
    BTreeMap::from([
        (Setting::Cluster, bus.to_owned()),
        (Setting::ClusterSecret, secret.to_owned()),
        (Setting::Label, format!("zone={}", zone(number))),
    ])
}

/// `a` for the first node, and so on.
fn zone(number: u8) -> char {
    char::from(b'a' + (number - 1) % 26)
}

/// Starts a node. The first has the addresses of the flags, or the defaults if they are free; the others
/// have free ports at the same IP addresses.
async fn start(
    args: &DemoArgs,
    number: u8,
    more: BTreeMap<Setting, String>,
    database: &Path,
    supercar: BaseUrl,
    premium: BaseUrl,
) -> Result<App, DemoError> {
    let mut config = args.node_config(more, database, supercar, premium)?;
    if number == 1 {
        return super::start(args, config).await;
    }
    config.listen.set_port(0);
    if let Some(admin) = &mut config.admin_listen {
        admin.set_port(0);
    }
    Ok(App::start(&config).await?)
}

/// 128 random bits, as text.
fn secret() -> Result<String, DemoError> {
    let mut bytes = [0; 16];
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| DemoError::NoRandomness)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn worse(one: Ended, other: Ended) -> Ended {
    match (one, other) {
        (Ended::Lost(one), Ended::Lost(other)) => Ended::Lost(one + other),
        (lost @ Ended::Lost(_), _) | (_, lost @ Ended::Lost(_)) => lost,
        (Ended::Whole, Ended::Whole) => Ended::Whole,
        _ => Ended::CutOff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_of_a_server_is_that_of_the_demo() {
        let (whole, cut, lost) = (Ended::Whole, Ended::CutOff, Ended::Lost);
        assert_eq!(worse(whole, whole), whole);
        assert_eq!(worse(whole, cut), cut);
        assert_eq!(worse(lost(1), cut), lost(1));
        assert_eq!(worse(lost(1), lost(2)), lost(3));
    }

    #[test]
    fn each_demo_has_another_secret() {
        let secrets = [secret().unwrap(), secret().unwrap()];
        assert!(secrets[0] != secrets[1] && secrets.iter().all(|secret| secret.len() == 32));
    }
}
