//! A fleet of nodes that fail over as one.

pub mod bus;
mod config;
mod decision;
mod hub;
mod label;
mod member;
mod members;
mod node;
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
