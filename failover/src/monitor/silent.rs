//! Reports that calls are dropped and none ends.
//!
//! Unlike transitions this needs no observer: it is a mistake in how a failover is used.

use crate::engine::Engine;
use crate::engine::observers::Subject;

/// The last calls, this many, were all dropped. Logged with feature `tracing`.
pub(super) fn report(engine: &Engine, dropped: u64) {
    let Some(Subject { name, service }) = engine.transitions.observers.subject() else { return };
    let advice = if engine.transitions.options().dropped() {
        "set `dropped_after` below them"
    } else {
        "set `dropped_after`"
    };
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "failover",
        name = name.as_deref(),
        service,
        dropped,
        "the last calls were all dropped before they ended, and none was counted; if these are \
         time-outs, put them inside the layer, around the service, or {advice}",
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (name, service, dropped, advice);
}
