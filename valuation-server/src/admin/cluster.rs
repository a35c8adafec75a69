//! The cluster of a server, as `GET /admin/cluster` shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Window;

/// What a server knows of its cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// The cluster's name.
    pub cluster: String,
    /// This node: 16 hexadecimal digits, new at each start.
    pub node: String,
    /// How often nodes publish.
    #[serde(rename = "beatSeconds", serialize_with = "seconds")]
    pub beat: Duration,
    /// The connection to the others.
    pub bus: Bus,
    /// Why this node's calls do not count in the fleet's decisions; `null` if they do.
    pub doubt: Option<String>,
    /// Incoming messages, by what became of them.
    pub messages: BTreeMap<&'static str, u64>,
    /// The fleet of each failover.
    pub failovers: Vec<Fleet>,
}

/// The connection to the other nodes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bus {
    /// The bus, without credentials.
    pub url: String,
    /// Whether it is connected.
    pub up: bool,
    /// Why it is not; `null` while it is, and before the first attempt.
    pub reason: Option<String>,
    /// For how long it has been as it is.
    #[serde(rename = "sinceSeconds", serialize_with = "seconds")]
    pub since: Duration,
    /// How often it was lost.
    pub losses: u64,
    /// How many incoming messages it dropped.
    pub lagged: u64,
}

/// The fleet of a failover, as this node sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// The failover's name.
    pub failover: String,
    /// The fleet's epoch: the current one, or the last that ended.
    pub epoch: u64,
    /// The nodes that are on the fallback together, if this is one of them: `fleet`, or a label.
    pub scope: Option<String>,
    /// How many other failure domains are on the fallback in this epoch.
    pub vouchers: usize,
    /// The calls of all nodes that count.
    pub window: Window,
    /// The live nodes, this one first.
    pub nodes: Vec<Node>,
    /// The newest orders for all nodes: for the route, and for the policy.
    pub orders: Vec<GivenOrder>,
}

/// A live node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// 16 hexadecimal digits, new at each start.
    pub id: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The state of its failover, in one word.
    pub state: &'static str,
    /// Until its revert; `null` if no timer runs.
    #[serde(rename = "revertsInSeconds", serialize_with = "optional_seconds")]
    pub reverts_in: Option<Duration>,
    /// The fleet's epoch, as it knows it.
    pub epoch: u64,
    /// The nodes with which it is on the fallback, if the fleet sent it there.
    pub scope: Option<String>,
    /// Why its calls do not count; `null` if they do.
    pub suspicion: Option<&'static str>,
    /// How old this is.
    #[serde(rename = "ageSeconds", serialize_with = "seconds")]
    pub age: Duration,
    /// Its primary's calls in the window, or those before its trip.
    pub window: Window,
    /// Whether it knows the newest orders.
    pub informed: bool,
}

/// An operator's order for all nodes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenOrder {
    /// The command as it is given: `FORCE_PRIMARY`, `FORCE_FALLBACK`, `AUTO`, or `policy`.
    pub command: &'static str,
    /// For how long the route is forced, from when the order was given; `null` without an end.
    #[serde(rename = "forSeconds", serialize_with = "optional_seconds")]
    pub lasts: Option<Duration>,
    /// The settings of a policy, each `null` if the earlier change of it was taken back; `null` for other
    /// commands.
    pub policy: Option<BTreeMap<String, Option<String>>>,
    /// Who gave it, and at which node.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// How long ago it was given.
    #[serde(rename = "ageSeconds", serialize_with = "seconds")]
    pub age: Duration,
}

fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

fn optional_seconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(to)
}
