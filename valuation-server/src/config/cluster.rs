//! The bus of a cluster, and the rules for the settings of one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use failover::cluster::bus::kafka::Kafka;
use failover::cluster::bus::nats::Nats;
use failover::cluster::bus::peers::Peer;
use failover::cluster::bus::redis::Redis;
use failover::cluster::{Cluster, ClusterBuilder, ClusterError, Secret};

use super::secret::REDACTED;
use super::{Config, Invalid, Setting};

/// The bus of a cluster. Its `Display` and `Debug` show no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterUrl {
    /// What carries the messages.
    pub engine: Engine,
    text: String,
}

/// What carries the messages of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Datagrams from node to node; this node binds the address.
    Udp(SocketAddr),
    /// Redis or Valkey.
    Redis,
    /// NATS.
    Nats,
    /// A log of the Kafka protocol.
    Kafka,
}

/// The schemes, for errors.
const SCHEMES: &str = "udp, redis, rediss, redis-sentinel, rediss-sentinel, redis-cluster, \
                       rediss-cluster, nats, tls, kafka and kafkas";

impl ClusterUrl {
    /// Takes a URL. Nothing is bound or connected.
    ///
    /// # Errors
    /// [`Invalid`] says what is wrong, without credentials.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.contains(REDACTED) {
            return Err(Invalid::Cluster("it has REDACTED in place of a secret".to_owned()));
        }
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        let wrong = |error: &dyn fmt::Display| Invalid::Cluster(error.to_string());
        // Where one part ends would be a guess, and an error could show a piece of a password.
        if text.split_once('?').is_some_and(|(_, options)| options.contains('@')) {
            let message = "a ? and an @ of credentials must be escaped, as %3F and %40";
            return Err(Invalid::Cluster(message.to_owned()));
        }
        let engine = match scheme {
            "udp" => {
                let address = text.trim_start_matches("udp://").trim_end_matches('/');
                Engine::Udp(address.parse().map_err(|_| Invalid::Form)?)
            }
            redis if redis.starts_with("redis") => {
                Redis::from_url(text).map_err(|error| wrong(&error))?;
                Engine::Redis
            }
            "nats" | "tls" => {
                Nats::from_url(text).map_err(|error| wrong(&error))?;
                Engine::Nats
            }
            "kafka" | "kafkas" => {
                Kafka::from_url(text).map_err(|error| wrong(&error))?;
                Engine::Kafka
            }
            "" => return Err(Invalid::Form),
            other => {
                let message = format!("there is no scheme {other:?}; there are {SCHEMES}");
                return Err(Invalid::Cluster(message));
            }
        };
        Ok(Self { engine, text: text.to_owned() })
    }

    /// The URL, with its credentials.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether a part of it must not be shown.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        Self::redacted(&self.text) != self.text
    }

    /// A text that should be such a URL, as it may be shown: without all that is before an `@` or after a
    /// `?`. A password may contain any character, so the last `@` counts.
    pub(super) fn redacted(text: &str) -> String {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (credentials, rest) = rest
            .rsplit_once('@')
            .map_or((String::new(), rest), |(_, rest)| (format!("{REDACTED}@"), rest));
        let (rest, query) = rest
            .split_once('?')
            .map_or((rest, String::new()), |(rest, _)| (rest, format!("?{REDACTED}")));
        let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
        format!("{scheme}{credentials}{rest}{query}")
    }
}

impl fmt::Display for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::redacted(&self.text))
    }
}

impl fmt::Debug for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Config {
    /// How this node joins the cluster.
    #[must_use = "build a cluster from it"]
    pub fn cluster_builder(&self) -> ClusterBuilder {
        let mut builder = Cluster::builder(&self.cluster_name);
        for label in &self.labels {
            builder = builder.label(label.clone());
        }
        if let Some(key) = &self.cluster_domain {
            builder = builder.domain(key);
        }
        match self
            .cluster_secret
            .as_ref()
            .and_then(|secret| Secret::new(secret.expose().as_bytes()))
        {
            Some(secret) => builder.secret(secret),
            None => builder,
        }
    }

    /// The first setting of the cluster that is wrong together with others.
    pub(super) fn cluster_trouble(&self) -> Option<(Setting, Invalid)> {
        let trouble = |setting, text: &str| Some((setting, Invalid::Cluster(text.to_owned())));
        if let Err(error) = self.cluster_builder().build() {
            let setting = match error {
                ClusterError::Name(_) => Setting::ClusterName,
                _ => Setting::Label,
            };
            return trouble(setting, &error.to_string());
        }
        if let Some(key) = &self.cluster_domain
            && !self.labels.iter().any(|label| label.key() == key)
        {
            let text = "this node has no label with that key: set --label";
            return trouble(Setting::ClusterDomain, text);
        }
        let bound = match self.cluster.as_ref().map(|url| url.engine) {
            Some(Engine::Udp(address)) => address,
            _ if self.peers.is_empty() => return None,
            _ => {
                return trouble(Setting::Peers, "only --cluster udp://… has peers: leave them out");
            }
        };
        // With port 0 no other node knows the port: it is for programs that set the peers later.
        if self.peers.is_empty() && bound.port() != 0 {
            return trouble(Setting::Cluster, "UDP needs the other nodes: set --peers");
        }
        if self.cluster_secret.is_some() {
            return None;
        }
        let unauthenticated = "any machine that can send to it could decide on the route: set cluster-secret \
                               (VALUATION_CLUSTER_SECRET), or choose loopback addresses alone";
        if !bound.ip().to_canonical().is_loopback() {
            return trouble(Setting::Cluster, unauthenticated);
        }
        if !self.peers.iter().all(is_on_loopback) {
            return trouble(Setting::Peers, unauthenticated);
        }
        None
    }
}

/// Whether a peer is on this machine for sure.
fn is_on_loopback(peer: &Peer) -> bool {
    let text = peer.to_string();
    let host = text.rsplit_once(':').map_or("", |(host, _)| host);
    let host = host.trim_start_matches("dns:").trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_credentials_whatever_they_are() {
        for (text, shown) in [
            ("udp://127.0.0.1:7946", "udp://127.0.0.1:7946"),
            ("redis://host:6379", "redis://host:6379"),
            ("redis://user:pa:s/s?w@rd@host", "redis://REDACTED@host"),
            ("redis://host?password=hidden", "redis://host?REDACTED"),
            ("hidden@host", "REDACTED@host"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(ClusterUrl::redacted(text), shown, "{text}");
        }
        let url = ClusterUrl::parse("redis://:hidden@host").unwrap();
        assert!(url.has_secrets() && !format!("{url} {url:?}").contains("hidden"));
        assert!(ClusterUrl::parse(&url.to_string()).is_err(), "it was copied from redacted output");
    }

    #[test]
    fn only_peers_that_are_on_this_machine_for_sure_are_on_loopback() {
        for (peer, expected) in [
            ("127.0.0.1:1", true),
            ("localhost:1", true),
            ("[::1]:1", true),
            ("dns:localhost:1", true),
            ("10.0.0.1:1", false),
            ("node.example:1", false),
            ("[2001:db8::1]:1", false),
        ] {
            assert_eq!(is_on_loopback(&peer.parse().unwrap()), expected, "{peer}");
        }
    }
}
