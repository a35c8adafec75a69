//! Probing: a limited number of calls at once go to the primary, to see whether it has recovered.
//!
//! A permit is a word: the lease of the probe that holds it, or free. A probe returns its permit by a
//! compare-and-swap from its own lease, and its outcome counts only if that succeeds: after its lease
//! another probe may have taken the permit. So probes never outnumber permits, and a probe that hangs
//! does not block recovery.

use std::time::Duration;

use crate::engine::sync::{AtomicU64, Ordering};
use crate::engine::time::{Elapsed, Epoch, When};

/// The numbers of probing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeRules {
    /// The most probes in flight.
    pub(crate) permits: u32,
    /// The successes that recover.
    pub(crate) successes: u32,
    /// The failures that return to the fallback.
    pub(crate) failures: u32,
    /// How long a probe keeps its permit.
    pub(crate) lease: Duration,
}

/// A probe's permit, and the lease that proves that the probe still holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeLease {
    permit: u32,
    word: u64,
}

impl ProbeLease {
    /// When it is over.
    pub(crate) fn ends(self) -> Elapsed {
        Elapsed::from_millis(self.word & MILLIS)
    }
}

/// A lease, and whether it took the permit from another probe of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) lease: ProbeLease,
    pub(crate) from_another: bool,
}

/// The verdict on the probes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// None yet.
    Open,
    /// Enough succeeded.
    Recovered,
    /// Too many failed.
    StillFailing,
}

const FREE: u64 = 0;
const MILLIS: u64 = Elapsed::LAST_MILLI;

/// The permits, and the counts of one epoch.
#[derive(Debug)]
pub(crate) struct Probes {
    permits: Box<[AtomicU64]>,
    /// From the lowest bit, 20 bits of failures, 20 of successes, and their epoch.
    counts: AtomicU64,
}

impl Probes {
    /// The most permits, and the most successes or failures, that a policy may ask for.
    pub(crate) const MOST: u32 = 1_000;

    pub(crate) fn new(permits: u32) -> Self {
        Self {
            permits: (0..permits).map(|_| AtomicU64::new(FREE)).collect(),
            counts: AtomicU64::new(0),
        }
    }

    /// Takes a permit, if one is free, is held by a probe of an earlier epoch, or has a lease that is
    /// over.
    pub(crate) fn take(&self, rules: &ProbeRules, when: When) -> Option<Taken> {
        let (tag, now, word) = (when.epoch.tag(), when.at.millis(), word(rules, when));
        for (permit, holder) in (0..rules.permits).zip(&self.permits) {
            // Ordering: Acquire pairs with the release of the permit.
            let held = holder.load(Ordering::Acquire);
            let over = held == FREE || held >> 40 != tag || (held & MILLIS) <= now;
            // Ordering: AcqRel: a permit is taken after it was given back.
            if over
                && holder.compare_exchange(held, word, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                let from_another = held != FREE && held >> 40 == tag;
                return Some(Taken { lease: ProbeLease { permit, word }, from_another });
            }
        }
        None
    }

    /// Whether a permit is free.
    pub(crate) fn has_free(&self, rules: &ProbeRules) -> bool {
        // Ordering: Acquire pairs with the release of the permit.
        let is_free = |permit: &AtomicU64| permit.load(Ordering::Acquire) == FREE;
        self.permits.iter().take(rules.permits as usize).any(is_free)
    }

    /// Whether a probe still holds its permit.
    pub(crate) fn is_held(&self, lease: ProbeLease) -> bool {
        // Ordering: Acquire, as above.
        let is_held = |permit: &AtomicU64| permit.load(Ordering::Acquire) == lease.word;
        self.permits.get(lease.permit as usize).is_some_and(is_held)
    }

    /// Begins the lease of a probe anew. `None` if the probe has lost its permit.
    pub(crate) fn renew(
        &self,
        rules: &ProbeRules,
        lease: ProbeLease,
        when: When,
    ) -> Option<ProbeLease> {
        let word = word(rules, when);
        let permit = self.permits.get(lease.permit as usize)?;
        // Ordering: AcqRel, see `take`.
        permit.compare_exchange(lease.word, word, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(ProbeLease { word, ..lease })
    }

    /// Returns a permit. False if the probe no longer holds it: then its outcome does not count.
    pub(crate) fn give_back(&self, lease: ProbeLease) -> bool {
        let Some(holder) = self.permits.get(lease.permit as usize) else { return false };
        // Ordering: AcqRel, see `take`.
        holder.compare_exchange(lease.word, FREE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Counts a probe of `epoch`, and returns the verdict on all of them.
    pub(crate) fn count(&self, rules: &ProbeRules, epoch: Epoch, failed: bool) -> Finding {
        let unit = if failed { 1 } else { 1 << 20 };
        let begun =
            |counts: u64| if counts >> 40 == epoch.tag() { counts } else { epoch.tag() << 40 };
        // Counts stay below 20 bits: enough of either ends the epoch, and at most one more per permit
        // follows. Ordering: AcqRel: a thread that sees the last count sees what the others saw.
        let counted = |counts| Some(begun(counts) + unit);
        let before = self.counts.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted);
        let counts = before.map_or_else(begun, begun) + unit;
        let (failures, successes) = (counts & 0xf_ffff, counts >> 20 & 0xf_ffff);
        if failures >= u64::from(rules.failures) {
            Finding::StillFailing
        } else if successes >= u64::from(rules.successes) {
            Finding::Recovered
        } else {
            Finding::Open
        }
    }

    /// Frees all permits and erases the counts.
    pub(crate) fn erase(&self) {
        // Ordering: Release, see `give_back`.
        self.permits.iter().for_each(|holder| holder.store(FREE, Ordering::Release));
        self.counts.store(0, Ordering::Release);
    }

    /// The number of permits.
    pub(crate) fn room(&self) -> usize {
        self.permits.len()
    }
}

/// A lease that begins at that moment.
fn word(rules: &ProbeRules, when: When) -> u64 {
    let lease = u64::try_from(rules.lease.as_millis()).unwrap_or(MILLIS);
    // A lease is longer than zero, so the next one in its permit is another word, and none is `FREE`. If
    // the clock steps back, two may be equal: then the first probe that ends counts, not the other.
    let ends = (when.at.millis() + lease.max(1)).min(MILLIS);
    when.epoch.tag() << 40 | ends
}
