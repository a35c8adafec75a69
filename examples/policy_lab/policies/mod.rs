//! The policies under test.

mod known;
mod ours;

use failover::monitor::Ticket;

use crate::world::Millis;

/// Allows to record the outcome of a call to the primary.
pub(crate) enum Pass {
    /// From a monitor of this library.
    Ours(Ticket),
    /// From a reimplementation: the epoch of the call's admission.
    Theirs(u64),
}

/// Decides the route of calls.
pub(crate) trait Policy {
    /// A call begins. Returns a pass if it goes to the primary, `None` for the fallback.
    fn admit(&mut self, now: Millis) -> Option<Pass>;

    /// A call to the primary ended.
    fn record(&mut self, now: Millis, pass: Pass, failed: bool);

    /// Whether some or all calls are diverted from the primary.
    fn diverts(&self) -> bool;

    /// How often it went from the primary to the fallback. A failed probe is not a trip.
    fn trips(&self) -> u64;
}

/// A policy's name and constructor.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) ours: bool,
    pub(crate) begin: Box<dyn Fn() -> Box<dyn Policy>>,
}

/// All policies. The library's default is the first.
pub(crate) fn all() -> Vec<Candidate> {
    let mut all = ours::all();
    all.extend(known::all());
    all
}

/// The default, and variants with one number changed.
pub(crate) fn neighbours() -> Vec<Candidate> {
    ours::neighbours()
}
