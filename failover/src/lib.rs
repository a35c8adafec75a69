#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The words: no logic that needs another wing.
pub mod classify;
pub mod error;
pub mod event;
mod name;
mod outcome;
pub mod ratio;
mod route;
mod snapshot;
mod state;
mod tally;
pub mod text;

pub mod clock;
pub mod policy;

mod engine;

pub mod monitor;

mod service;

#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "prometheus")]
pub mod prometheus;
#[cfg(feature = "tracing")]
pub mod trace;

pub mod manual;

pub use classify::Classify;
pub use error::Error;
pub use event::Event;
pub use monitor::Monitor;
pub use monitor::handle::FailoverHandle;
pub use outcome::Outcome;
pub use policy::Policy;
pub use ratio::Ratio;
pub use route::Route;
pub use service::Failover;
pub use service::layer::FailoverLayer;
pub use service::rescue::Rescue;
pub use service::{boxed, future, keyed, on_call, rescue, watched};
pub use snapshot::Snapshot;
pub use state::State;
