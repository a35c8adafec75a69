//! Reports that calls are dropped and none ends.
//!
//! Unlike transitions this needs no observer: it is a mistake in how a failover is used.

use crate::engine::Engine;

/// The last calls, this many, were all dropped. Logged with feature `tracing`.
pub(super) fn report(engine: &Engine, dropped: u64) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "failover",
        name = engine.transitions.observers.name().as_deref(),
        dropped,
        "the last calls were all dropped before they ended, so none was counted: put time-outs \
         inside the layer, around the service, or set `dropped_after`",
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (engine, dropped);
}
