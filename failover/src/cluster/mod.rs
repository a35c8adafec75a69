//! Feature `cluster`: a fleet of nodes that fail over as one.
//!
//! One node sees its own calls only. A hundred nodes with a little traffic each may never reach the minimum
//! number of calls while thousands of customers fail, and one node with a broken network must not send
//! everybody to the fallback. So nodes share *evidence*, not state: each publishes the counts of its window,
//! and each decides by all that it knows.
//!
//! ```
//! use failover::cluster::{Cluster, Secret};
//! use failover::{Monitor, Policy};
//!
//! let monitor = Monitor::new(Policy::default()).named("valuations");
//! let secret = Secret::new(b"at least sixteen bytes").expect("long enough");
//! let node = Cluster::builder("shop")
//!     .label("zone=eu-1".parse()?)
//!     .label("version=1.4.2".parse()?)
//!     .domain("zone")
//!     .secret(secret)
//!     .build()?;
//! node.join(&monitor.handle())?;
//! // With a bus, in a task of any runtime, until a future ends:
//! // node.run(bus, tokio::time::sleep, stop).await;
//! assert!(!node.view().bus.is_up);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is shared
//! Every beat (200 ms by default) a node publishes its whole state for each failover in one small message,
//! typically under 100 bytes: who it is, its labels, what its failover does, the fleet's epoch as it knows
//! it, and its window's buckets. Others keep the newest message of each node, for five beats. Loss, repetition
//! and reordering do no harm, and who joins is complete after one beat. There is no wall-clock time on the
//! wire, only ages and remaining times. A transition is published at once.
//!
//! Calls never wait for any of this: admitting and recording a call are the same instructions with and
//! without a cluster. Without a bus, or with one that is down, a node does what it does alone.
//!
//! # How the fleet decides
//! - Each node decides for itself by its own calls, as without a cluster.
//! - All nodes go to the fallback if the pooled failure rate exceeds the policy's threshold, *and still does,
//!   with the minimum number of calls, after leaving out the failure domain with the largest excess of
//!   failures* (or [as many as you say](ClusterBuilder::spare_domains)). So no single domain trips the others.
//!   A domain is a node, or all nodes with the same value of [a label](ClusterBuilder::domain).
//! - If one label's value explains the failures (one zone, one version), and enough calls elsewhere show
//!   that the rest is healthy, only the nodes with that label leave; their event
//!   [names it](crate::event::Event::scope).
//! - A trip begins a new epoch with a deadline. Others verify and don't obey: a node follows if its own view
//!   confirms the trip, or if more domains than may be wrong are on the fallback in that epoch. A higher epoch
//!   wins, the same epoch takes the earlier deadline, and an epoch that has ended is never entered again.
//! - All return by the same deadline, with windows emptied and earlier evidence forgotten. With
//!   [probing](crate::policy::PolicyBuilder::probing), up to three nodes probe, chosen by a hash of the epoch over
//!   the live nodes; the others wait for them. One that succeeds brings all back; if all fail, all stay for
//!   another time. If nobody has a result after the lease of a probe, each node probes for itself. With a
//!   [ramp](crate::policy::PolicyBuilder::ramp_up) all nodes ramp together, so the share of their calls is the
//!   fleet's share.
//! - A node whose own evidence is in doubt says so, and its calls weigh nothing: its beats come late, another
//!   of its failovers is on the fallback too, or its application [says so](Cluster::suspect_itself). It still
//!   follows. If most nodes are in doubt, the reason is nobody's own, and all count again.
//!
//! Failure rates are what the fleet shares. Consecutive failures, slow and stalled calls trip nodes by
//! themselves; such a trip is evidence with the counts of that node's window.
//!
//! # Orders for all nodes
//! [`Cluster::order`] forces or releases a route, or passes on a policy, on all nodes, those that join later
//! included. The newest order is a register of the fleet: nodes that know it send it to those that don't. It
//! lasts as long as one node that knows it.
//!
//! # What it does not do
//! Nodes with the [`Secret`] are trusted to tell the truth about who they are: `spare_domains` covers wrong
//! evidence, not lies about labels or the epoch. Messages are authenticated and not encrypted, and recorded ones
//! can deceive a node that has just started: see [`ClusterBuilder::secret`].
//!
//! The node that begins an epoch says how long it lasts, by its own policy, backoff or `Retry-After`. A message counts from
//! when it arrives, however long it was under way. An operator who reverts a node while it probes has, for the
//! others, seen its probes succeed.
//!
//! # The size of a fleet
//! Every node hears every other: with `n` nodes the bus carries `5 n` messages a second and delivers `5 n²`. Beyond
//! some hundred nodes make cells: clusters of their own, by a name that carries a label (`shop-eu-1`). A cell has
//! evidence enough to decide.

pub mod bus;
mod config;
mod decision;
mod hub;
mod label;
mod member;
mod members;
mod node;
mod race;
mod receive;
mod run;
mod time;
mod view;
mod wake;
mod wire;

pub use config::{ClusterBuilder, ClusterError};
pub use hub::Cluster;
pub use label::{Label, LabelError, Scope};
pub use view::{BusView, FleetView, GivenOrder, NodeView, View};
pub use wire::{Command, Secret, Suspicion};

/// Decodes a message and encodes it again; `None` if it is no message. For the fuzz target alone.
#[cfg(fuzzing)]
#[must_use]
pub fn encoded_again(message: &[u8]) -> Option<Vec<u8>> {
    wire::Message::decode(message, None, "fuzz").ok().map(|message| message.encode(None, "fuzz"))
}
