//! The peers of a mesh without a broker: their addresses, looked up again and again.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cluster::bus::error::BusError;
use crate::cluster::bus::url::{EngineUrl, parse_host};
use crate::cluster::race::race;

const EXPECTED: &str = "`host:port` (its first address) or `dns:name:port` (all its addresses)";

/// How long the addresses of a name are kept.
const KEPT: Duration = Duration::from_secs(30);
/// The pause after a failed lookup, and after a failed send.
const RETRY: Duration = Duration::from_secs(1);

/// Where other nodes are. Parsed from `host:port`, or from `dns:name:port` for all addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    host: String,
    port: u16,
    all: bool,
}

impl FromStr for Peer {
    type Err = BusError;

    fn from_str(text: &str) -> Result<Self, BusError> {
        let (all, rest) = text.strip_prefix("dns:").map_or((false, text), |rest| (true, rest));
        let wrong = || EngineUrl::wrong(format!("the peer `{text}`"), EXPECTED);
        let host = parse_host(rest).ok_or_else(wrong)?;
        let port = host.port.filter(|port| *port > 0).ok_or_else(wrong)?;
        Ok(Self { host: host.name, port, all })
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), all: false }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.all { "dns:" } else { "" };
        if self.host.contains(':') {
            write!(f, "{prefix}[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{prefix}{}:{}", self.host, self.port)
        }
    }
}

/// The addresses that are known now. Lookups run in tasks of their own, so that a slow one delays
/// neither a send nor another lookup.
pub(super) struct Addresses {
    table: Arc<Table>,
    /// Aborts the lookups when it is dropped.
    _lookups: JoinSet<Infallible>,
}

struct Table {
    /// One row a peer.
    rows: Mutex<Vec<Row>>,
    again: Notify,
}

#[derive(Clone, Default)]
struct Row {
    /// Those of the last lookup that found some.
    addresses: Vec<SocketAddr>,
    failure: Option<String>,
}

impl Addresses {
    /// Starts the lookups, for a socket that is bound to `local`.
    pub(super) fn of(peers: Vec<Peer>, local: SocketAddr) -> Self {
        let rows = Mutex::new(vec![Row::default(); peers.len()]);
        let table = Arc::new(Table { rows, again: Notify::new() });
        let mut lookups = JoinSet::new();
        for (index, peer) in peers.into_iter().enumerate() {
            // No lookup for an address: it is known before the first send.
            if let Ok(ip) = peer.host.parse::<IpAddr>() {
                let found = usable(&peer, [SocketAddr::new(ip, peer.port)], local);
                table.set(index, found);
            } else {
                lookups.spawn(look_up(peer, index, Arc::clone(&table), local));
            }
        }
        Self { table, _lookups: lookups }
    }

    /// Each address once.
    pub(super) fn known(&self) -> Vec<SocketAddr> {
        let rows = self.table.rows();
        let mut known: Vec<_> = rows.iter().flat_map(|row| row.addresses.iter().copied()).collect();
        drop(rows);
        known.sort_unstable();
        known.dedup();
        known
    }

    /// Why the first of the peers without an address has none.
    pub(super) fn failure(&self) -> Option<String> {
        self.table.rows().iter().find_map(|row| row.failure.clone())
    }

    /// Looks up all names soon, since a send failed.
    pub(super) fn refresh(&self) {
        self.table.again.notify_waiters();
    }
}

impl Table {
    // No panic can leave it half-changed, so poisoning is ignored.
    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A failed lookup leaves the addresses of the last good one: they are better than none.
    fn set(&self, index: usize, found: Result<Vec<SocketAddr>, String>) {
        let row = &mut self.rows()[index];
        match found {
            Ok(addresses) => *row = Row { addresses, failure: None },
            Err(failure) => row.failure = Some(failure),
        }
    }
}

async fn look_up(peer: Peer, index: usize, table: Arc<Table>, local: SocketAddr) -> Infallible {
    loop {
        let found = match lookup_host((peer.host.as_str(), peer.port)).await {
            Ok(found) => usable(&peer, found, local),
            Err(error) => Err(format!("{peer}: {error}")),
        };
        let pause = if found.is_ok() { KEPT } else { RETRY };
        table.set(index, found);
        let refreshed = async {
            table.again.notified().await;
            sleep(RETRY).await;
        };
        race(sleep(pause), refreshed).await;
    }
}

/// Those that a socket bound to `local` can send to.
fn usable(
    peer: &Peer,
    found: impl IntoIterator<Item = SocketAddr>,
    local: SocketAddr,
) -> Result<Vec<SocketAddr>, String> {
    let fit = |address: SocketAddr| match (local.ip(), address.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Some(address),
        (IpAddr::V4(_), IpAddr::V6(ip)) => {
            ip.to_ipv4_mapped().map(|ip| (ip, address.port()).into())
        }
        // Only a socket of all addresses serves both families.
        (IpAddr::V6(own), IpAddr::V4(ip)) => {
            own.is_unspecified().then(|| (ip.to_ipv6_mapped(), address.port()).into())
        }
    };
    let limit = if peer.all { usize::MAX } else { 1 };
    let usable: Vec<_> = found.into_iter().filter_map(fit).take(limit).collect();
    if usable.is_empty() {
        let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!("{peer} has no {family} address, and the socket is bound to {local}"));
    }
    Ok(usable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::SocketAddr;

    use super::{Peer, usable};

    #[test]
    fn a_peer_is_a_host_or_all_addresses_of_a_name_with_a_port() {
        for text in ["one:1", "dns:fleet.local:7946", "10.0.0.1:2", "[::1]:3"] {
            assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        }
        for text in ["", "one", "one:0", "one:x", "dns:one", ":1", "::1:3", "a b:1"] {
            let error = text.parse::<Peer>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("dns:"), "{error}");
        }
    }

    #[test]
    fn only_addresses_of_the_sockets_family_are_used_and_one_of_a_host() {
        let found: Vec<SocketAddr> = ["[2001:db8::1]:9", "10.0.0.1:9", "10.0.0.2:9"]
            .map(|text| text.parse().unwrap())
            .into();
        let check = |peer: &str, local: &str| {
            usable(&peer.parse().unwrap(), found.clone(), local.parse().unwrap())
                .map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(check("a:9", "0.0.0.0:1").unwrap(), "10.0.0.1:9");
        assert_eq!(check("dns:a:9", "0.0.0.0:1").unwrap(), "10.0.0.1:9 10.0.0.2:9");
        assert_eq!(check("dns:a:9", "[::1]:1").unwrap(), "[2001:db8::1]:9");
        assert_eq!(
            check("dns:a:9", "[::]:1").unwrap(),
            "[2001:db8::1]:9 [::ffff:10.0.0.1]:9 [::ffff:10.0.0.2]:9"
        );
        let none = usable(&"a:9".parse().unwrap(), [found[0]], "127.0.0.1:1".parse().unwrap());
        assert!(none.unwrap_err().contains("no IPv4 address"));
    }
}
