//! The end of an epoch with probing: one to three nodes probe when the time is over. The others wait: they
//! return when the probes of one succeed, and stay when those of all failed.

use super::probers::elect;
use super::stay::{Stay, deadline_of};
use super::{Change, Node};
use crate::cluster::wire::{Frame, LAST_EPOCH, NodeId};

/// How many nodes probe for the others.
const PROBERS: usize = 3;

impl Node {
    /// What to do during a stay.
    pub(super) fn go_on(&mut self, now: u64) -> Option<Change> {
        let patience = self.terms.patience?;
        let stay = self.stay.as_ref()?;
        let left = stay.deadline.saturating_sub(now);
        if self.probes == Some(false) {
            return self.follow_probers(now);
        }
        if !stay.waits {
            let is_near = left > 0 && left <= 2 * self.identity.beat;
            if !is_near || self.probers().contains(&self.identity.id) {
                return None;
            }
            self.stay.as_mut()?.waits = true;
            return Some(Change::Deadline { left: left.saturating_add(patience) });
        }
        if left > 0 {
            return None;
        }
        self.follow_probers(now)
    }

    /// Whether the probes of a node of the own epoch and scope succeeded.
    pub(super) fn has_recovered(&self, frame: &Frame, now: u64) -> bool {
        let Some(stay) = &self.stay else { return false };
        // Its clock may be a little ahead.
        let is_over = now + 2 * self.identity.beat >= stay.deadline;
        let succeeded = frame.epoch == self.epoch && frame.probes == Some(true);
        succeeded && is_over && stay.scope.has(&frame.labels) && self.trust()(frame.suspicion)
    }

    /// The probes of another node succeeded.
    pub(super) fn recover(&mut self, now: u64) -> Option<Change> {
        if self.probes == Some(false) {
            // Its own failed: it stays by itself, until its own deadline.
            self.stay = None;
            return None;
        }
        self.end_stay(now);
        Some(Change::Return)
    }

    /// The time of the epoch is over, and others probe, or this node's probes failed.
    fn follow_probers(&mut self, now: u64) -> Option<Change> {
        if self.members.live().any(|slot| self.has_recovered(&slot.frame, now)) {
            return self.recover(now);
        }
        let probers = self.probers();
        let stay = self.stay.as_mut()?;
        if stay.waits && probers.contains(&self.identity.id) {
            // The one that should have probed is gone.
            stay.waits = false;
            return Some(Change::Deadline { left: 0 });
        }
        // The probes of all failed: a new epoch, as long as the shortest of their times.
        let deadlines = probers.iter().map(|prober| self.failed_until(*prober));
        let deadline = deadlines.collect::<Option<Vec<_>>>()?.into_iter().min()?;
        (self.epoch, self.probes) = ((self.epoch + 1).min(LAST_EPOCH), None);
        let stay = self.stay.as_mut()?;
        (stay.deadline, stay.waits) = (deadline, false);
        Some(Change::Deadline { left: deadline.saturating_sub(now) })
    }

    /// Until when a prober stays, if its probes failed.
    fn failed_until(&self, prober: NodeId) -> Option<u64> {
        let stay = self.stay.as_ref()?;
        if prober == self.identity.id {
            return (self.probes == Some(false)).then_some(stay.deadline);
        }
        let slot = self.members.get(prober)?;
        let Frame { epoch, probes, .. } = slot.frame;
        let is_next = epoch > self.epoch && slot.frame.stay.as_ref() == Some(&stay.scope);
        let failed = is_next || epoch == self.epoch && probes == Some(false);
        failed.then(|| deadline_of(&slot.frame, slot.at))
    }

    /// The nodes that probe when the time of the own epoch is over: of those that were in it, in its scope.
    pub(crate) fn probers(&self) -> Vec<NodeId> {
        let Some(Stay { scope, .. }) = &self.stay else { return Vec::new() };
        let is_trusted = self.trust();
        // One that returned without probing, by an operator's command, never will.
        let can = |frame: &&Frame| {
            let was_in = frame.stay.is_some() || frame.probes.is_some();
            let concerns = frame.epoch >= self.epoch && was_in && scope.has(&frame.labels);
            concerns && is_trusted(frame.suspicion)
        };
        let others =
            self.members.live().map(|slot| &slot.frame).filter(can).map(|frame| frame.node);
        let own = is_trusted(self.suspicion).then_some(self.identity.id);
        elect(self.epoch, others.chain(own), PROBERS)
    }
}
