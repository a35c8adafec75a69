//! The kinds of values of the settings of a cluster.

use failover::cluster::bus::peers::Peer;
use failover::cluster::{Cluster, Label};

use super::Invalid;
use super::cluster::ClusterUrl;
use super::kinds::{Kind, Shown, list, plain, shown_by};

/// The URL of a bus, perhaps with credentials.
pub(super) fn cluster() -> Kind<ClusterUrl> {
    let expected = "udp:// with an IP address of this machine and a port, such as \
                    udp://127.0.0.1:7946, or the URL of a bus that begins with redis://, rediss://, \
                    redis-sentinel://, redis-cluster://, nats://, tls:// (NATS), kafka:// or kafkas://";
    let show =
        |url: &ClusterUrl| Some(Shown { text: url.to_string(), redacted: url.has_secrets() });
    let mut kind = shown_by("URL", expected, ClusterUrl::parse, show);
    kind.form.redact = ClusterUrl::redacted;
    kind
}

/// The name of a cluster.
pub(super) fn cluster_name() -> Kind<String> {
    let read = |text: &str| match Cluster::builder(text).build() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Invalid::Form),
    };
    plain("NAME", "1 to 64 of a to z, 0 to 9 and -", read)
}

/// A list of other nodes.
pub(super) fn peers() -> Kind<Vec<Peer>> {
    let expected = "off, or hosts with their ports, such as node-2.example:7946, 10.0.0.2:7946 or \
                    dns:nodes.example:7946";
    let read = |text: &str| text.parse().map_err(|_| Invalid::Form);
    list("HOST:PORT", expected, read, |peer: &Peer| Some(peer.to_string()))
}

/// A list of labels with different keys.
pub(super) fn labels() -> Kind<Vec<Label>> {
    let expected = "off, or keys and values, such as zone=a or version=1.4, of 1 to 64 printable bytes each, \
                    with each key once";
    let read = |text: &str| text.parse().map_err(|_| Invalid::Form);
    list("KEY=VALUE", expected, read, |label: &Label| Some(label.to_string()))
}
