//! How a node joins a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::label::{LONGEST_NAME, Label, MOST_LABELS};
use crate::cluster::time::millis_of;
use crate::cluster::wire::Secret;

/// What all labels of a node may need together in a frame, in bytes.
const MOST_OF_LABELS: usize = 400;

/// The settings of one node: see [`Cluster::builder`](crate::cluster::Cluster::builder).
#[derive(Clone, Debug)]
#[must_use = "build a cluster from it"]
pub struct ClusterBuilder {
    pub(super) name: String,
    pub(super) labels: Vec<Label>,
    pub(super) domain: Option<String>,
    pub(super) spare: usize,
    pub(super) beat: Duration,
    pub(super) secret: Option<Secret>,
}

/// Why a node can't join a cluster, or an order can't be given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterError {
    /// The cluster's name is not 1 to 64 of `a` to `z`, `0` to `9` and `-`.
    Name(String),
    /// Two labels have this key.
    TwoLabels(String),
    /// More than 8 labels, or more than 400 bytes of them.
    TooManyLabels,
    /// The beat is not from 20 ms to 10 s.
    Beat(Duration),
    /// The failover has no name, or one that is empty, longer than 64 bytes, or not printable.
    FailoverName(Option<String>),
    /// A failover of this name has joined already.
    Joined(String),
    /// More than 64 failovers.
    TooManyFailovers,
    /// No failover of this name has joined.
    Unknown(String),
    /// A text of an order is too long.
    TooLong {
        /// Which one.
        text: &'static str,
        /// The longest, in bytes.
        longest: usize,
    },
}

impl ClusterBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: Vec::new(),
            domain: None,
            spare: 1,
            beat: Duration::from_millis(200),
            secret: None,
        }
    }

    /// Adds a label of this node, such as `zone=a` or `version=1.4`. If the nodes with one label fail, and
    /// the others don't, only those with the label go to the fallback.
    pub fn label(mut self, label: Label) -> Self {
        self.labels.push(label);
        self
    }

    /// Makes the nodes that have the same value of this label one failure domain; nodes without it, and all
    /// nodes by default, are one each.
    pub fn domain(mut self, key: &str) -> Self {
        self.domain = Some(key.to_owned());
        self
    }

    /// How many failure domains may be wrong: by themselves they never trip the others. 1 by default. 0 trusts
    /// every node.
    pub fn spare_domains(mut self, domains: usize) -> Self {
        self.spare = domains;
        self
    }

    /// How often the node publishes its state: from 20 ms to 10 s, 200 ms by default, and the same on all
    /// nodes. A node that is not heard for five beats does not count any more.
    pub fn beat(mut self, every: Duration) -> Self {
        self.beat = every;
        self
    }

    /// Authenticates all messages by a secret that all nodes share. Without one, any sender on the bus is
    /// believed.
    ///
    /// Replayed messages of nodes that this one has heard are refused. A node that has just started can't tell
    /// the recorded messages of others that are gone from live ones: a network on which messages can be
    /// recorded and sent needs a bus with TLS.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The settings, with the labels sorted by key.
    pub(super) fn checked(mut self) -> Result<Self, ClusterError> {
        let sound = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if !(1..=LONGEST_NAME).contains(&self.name.len()) || !self.name.chars().all(sound) {
            return Err(ClusterError::Name(self.name));
        }
        self.labels.sort_unstable();
        if let Some(pair) = self.labels.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(ClusterError::TwoLabels(pair[0].key().to_owned()));
        }
        let bytes: usize = self.labels.iter().map(|l| l.key.len() + l.value.len() + 2).sum();
        if self.labels.len() > MOST_LABELS || bytes > MOST_OF_LABELS {
            return Err(ClusterError::TooManyLabels);
        }
        let allowed = Duration::from_millis(20)..=Duration::from_secs(10);
        if !allowed.contains(&self.beat) {
            return Err(ClusterError::Beat(self.beat));
        }
        Ok(self)
    }

    pub(super) fn beat_millis(&self) -> u64 {
        millis_of(self.beat)
    }

    pub(super) fn labels(&self) -> Arc<[Label]> {
        self.labels.clone().into()
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "{name:?} can't name a cluster: a name is 1 to {LONGEST_NAME} of a to z, 0 to 9 and -"
            ),
            Self::TwoLabels(key) => write!(f, "there are two labels {key}: a key can be used once"),
            Self::TooManyLabels => write!(
                f,
                "too many labels: there can be {MOST_LABELS}, of {MOST_OF_LABELS} bytes together"
            ),
            Self::Beat(beat) => write!(f, "a beat of {beat:?} is not from 20 ms to 10 s"),
            Self::FailoverName(None) => {
                f.write_str("a failover needs a name to join a cluster: see `named`")
            }
            Self::FailoverName(Some(name)) => write!(
                f,
                "a failover named {name:?} can't join a cluster: a name is 1 to {LONGEST_NAME} bytes, \
                 printable, without '=' and ','"
            ),
            Self::Joined(name) => write!(f, "a failover named {name:?} has joined already"),
            Self::TooManyFailovers => f.write_str("more than 64 failovers can't join"),
            Self::Unknown(name) => write!(f, "no failover named {name:?} has joined the cluster"),
            Self::TooLong { text, longest } => {
                write!(f, "the {text} of an order can't be longer than {longest} bytes")
            }
        }
    }
}

impl std::error::Error for ClusterError {}
