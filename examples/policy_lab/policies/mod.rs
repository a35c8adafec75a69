//! The policies that are tried.

mod known;
mod ours;

use failover::monitor::Ticket;

use crate::world::Millis;

/// The right to say how a call to the primary ended.
pub(crate) enum Pass {
    /// A monitor's.
    Ours(Ticket),
    /// A reimplementation's: the epoch that the call was admitted in.
    Theirs(u64),
}

/// Decides where calls go.
pub(crate) trait Policy {
    /// A call begins: the pass of one that goes to the primary, or none for the fallback.
    fn admit(&mut self, now: Millis) -> Option<Pass>;

    /// A call to the primary ended.
    fn record(&mut self, now: Millis, pass: Pass, failed: bool);

    /// Whether calls are kept from the primary, all or some of them.
    fn diverts(&self) -> bool;

    /// How often it went from the primary to the fallback. A probe that fails is no trip.
    fn trips(&self) -> u64;
}

/// A policy by its name, and how to begin with it.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) ours: bool,
    pub(crate) begin: Box<dyn Fn() -> Box<dyn Policy>>,
}

/// All of them. The library's default is the first.
pub(crate) fn all() -> Vec<Candidate> {
    let mut all = ours::all();
    all.extend(known::all());
    all
}

/// The default, and what it would be with one of its numbers changed.
pub(crate) fn neighbours() -> Vec<Candidate> {
    ours::neighbours()
}
