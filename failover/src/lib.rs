#![doc = include_str!("../README.md")]

mod classify;
mod clock;
mod error;
mod event;
mod events;
mod fallback;
mod future;
mod handle;
mod judge;
mod keyed;
mod layer;
mod look;
mod monitor;
mod oneshot;
mod orders;
mod outcome;
mod phase;
mod policy;
mod pool;
mod prober;
mod ratio;
mod recover;
mod recovery;
mod registry;
mod rescue;
mod restore;
mod rules;
mod run;
mod saved;
mod service;
mod shared;
mod slot;
mod state;
mod swap;
mod switch;
mod sync;
mod ticket;
mod wait;
mod waiters;
mod window;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tracing")]
mod tracing_observer;

#[cfg(all(test, failover_loom))]
mod interleavings;

pub use classify::{Classify, ErrorIsFailure};
pub use clock::{Clock, CoarseClock, FineClock, ManualClock, Moment, Sleep};
#[cfg(feature = "tokio")]
pub use clock::{TokioClock, TokioTimer};
pub use error::{Bare, Error, Nested};
pub use event::{Cause, Condition, Event, Observe};
pub use events::{Attached, Events};
pub use fallback::{FallbackFailing, WatchedFallback, WatchedFuture};
pub use future::ResponseFuture;
pub use handle::{FailoverHandle, Snapshot};
pub use keyed::{KeyedFailover, KeyedFuture, KeyedLayer};
pub use layer::FailoverLayer;
pub use monitor::{Admission, Monitor, Route};
pub use outcome::Outcome;
pub use policy::{Policy, PolicyBuilder, PolicyError, Probing, StallLimit};
pub use prober::Prober;
pub use ratio::{Ratio, RatioError};
pub use registry::Registry;
pub use rescue::{CloneRequest, Rescue, RescueFuture, RescueLayer, Rescuing, Spare};
pub use saved::Saved;
pub use service::Failover;
pub use state::State;
pub use ticket::Ticket;
#[cfg(feature = "tracing")]
pub use tracing_observer::TracingObserver;
pub use window::Tally;
