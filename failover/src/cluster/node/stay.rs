//! The fleet's epochs: entered by evidence, left at a deadline, never entered again.
//!
//! A higher epoch wins; in the same epoch the earlier deadline does. Nodes verify, they don't obey: a
//! trip is followed if the own view confirms it, or if more than `spare` live domains vouch for it.

use super::{Change, Node, Own};
use crate::cluster::label::Scope;
use crate::cluster::members::Slot;
use crate::cluster::wire::{Frame, LAST_EPOCH, NodeId};
use crate::state::State;
use crate::tally::Tally;

/// By how many milliseconds a deadline has to be earlier to be followed: twice a tick of the coarse clock. A
/// smaller difference may come from the ticks of two clocks, and would come again with each frame.
const TICKS: u64 = 20;

/// The node is on the fallback in the fleet's epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stay {
    pub(crate) scope: Scope,
    /// When the time on the fallback is over.
    pub(crate) deadline: u64,
    /// Others probe: the own failover's deadline is later than this one.
    pub(crate) waits: bool,
}

/// What a frame says that this node may have to follow.
#[derive(Clone, Copy)]
pub(super) enum News {
    /// A node is on the fallback in an epoch that this one is not in.
    Trip,
    /// The time of the own epoch is over earlier on another node.
    Sooner { deadline: u64 },
    /// Another node's probes of the own epoch succeeded.
    Recovered,
}

impl Node {
    /// Compares the stay with what the own failover does.
    pub(super) fn reconcile(&mut self, own: &Own, now: u64) {
        let Some(stay) = &mut self.stay else { return };
        let is_over = now >= stay.deadline;
        match own.state {
            State::Fallback if is_over && !stay.waits && own.left > self.identity.beat => {
                // It has begun another time on the fallback: its probes failed, or it tripped again at once.
                if self.terms.patience.is_some() {
                    stay.deadline = now.saturating_add(own.left);
                    self.probes = Some(false);
                } else {
                    self.end_stay(now);
                }
            }
            State::Fallback => {}
            // If the others' time is over without a word of the probers, it probes as well.
            State::Probing => stay.waits = false,
            State::Primary | State::Ramping => {
                let probed = is_over && !stay.waits && self.terms.patience.is_some();
                self.probes = probed.then_some(true);
                self.end_stay(now);
            }
            State::ForcedPrimary | State::ForcedFallback => self.end_stay(now),
        }
    }

    pub(super) fn end_stay(&mut self, now: u64) {
        if let Some(stay) = self.stay.take() {
            self.returned = Some(stay.deadline.min(now));
        }
    }

    /// Learns of epochs that ended without this node. They are not entered any more.
    pub(super) fn learn_ended(&mut self) {
        let frames = || self.members.live().map(|slot| &slot.frame);
        let ended = frames().filter(|frame| frame.stay.is_none()).map(|frame| frame.epoch).max();
        let Some(ended) = ended.filter(|ended| *ended > self.epoch) else { return };
        let concerns = |scope: &Scope| scope.has(&self.identity.labels);
        let runs =
            frames().any(|frame| frame.epoch >= ended && frame.stay.as_ref().is_some_and(concerns));
        if self.stay.is_none() && !runs {
            (self.epoch, self.probes) = (ended, None);
        }
    }

    /// The own view says that this node has to leave: it follows an epoch that others have begun, or
    /// begins one.
    pub(super) fn enter_or_follow(
        &mut self,
        scope: &Scope,
        tally: Tally,
        revert_after: u64,
        now: u64,
    ) -> Change {
        if let Some((epoch, scope, deadline)) = self.running(Some(revert_after), now) {
            return self.enter(epoch, scope, deadline, tally, now);
        }
        let epochs = self.members.live().map(|slot| slot.frame.epoch);
        let epoch = epochs.fold(self.epoch, u64::max).saturating_add(1).min(LAST_EPOCH);
        self.enter(epoch, scope.clone(), now.saturating_add(revert_after), tally, now)
    }

    /// The epoch that this node follows, its scope and its deadline: the highest that more than `spare` domains
    /// vouch for. If there is none and the own view says that this node has to leave, the highest that any
    /// node is in; but not one that is soon over, which a node may have begun by mistake.
    fn running(&self, revert_after: Option<u64>, now: u64) -> Option<(u64, Scope, u64)> {
        let running = self.members.live().filter(|slot| self.may_follow(slot, now));
        let (mut vouched, mut any) = (None, None);
        let mut epochs: Vec<_> = running.map(|slot| slot.frame.epoch).collect();
        epochs.sort_unstable();
        epochs.dedup();
        for epoch in epochs {
            let (scope, deadline) = self.earliest(epoch, now)?;
            let followed = Some((epoch, scope, deadline));
            if self.vouchers(epoch) > self.terms.rules.spare {
                vouched = followed;
            } else if revert_after.is_some_and(|time| deadline - now >= time / 2) {
                any = followed;
            }
        }
        vouched.or(any)
    }

    /// Whether the sender is on the fallback in an epoch that this node may enter.
    fn may_follow(&self, slot: &Slot, now: u64) -> bool {
        let frame = &slot.frame;
        let concerns = frame.stay.as_ref().is_some_and(|scope| scope.has(&self.identity.labels));
        concerns && frame.epoch > self.epoch && deadline_of(frame, slot.at) > now
    }

    /// The scope and the deadline of an epoch: of all nodes that are in it, those with the earliest deadline.
    fn earliest(&self, epoch: u64, now: u64) -> Option<(Scope, u64)> {
        let slots = self.members.live().filter(|slot| slot.frame.epoch == epoch);
        let slots = slots.filter(|slot| self.may_follow(slot, now));
        let stays = slots
            .filter_map(|slot| Some((slot.frame.stay.clone()?, deadline_of(&slot.frame, slot.at))));
        stays.min_by_key(|(_, deadline)| *deadline)
    }

    fn enter(&mut self, epoch: u64, scope: Scope, deadline: u64, tally: Tally, now: u64) -> Change {
        self.epoch = epoch;
        self.probes = None;
        self.stay = Some(Stay { scope: scope.clone(), deadline, waits: false });
        Change::Enter { scope, left: deadline.saturating_sub(now), tally }
    }

    /// The number of domains whose nodes are on the fallback in an epoch, in a scope that this node is in.
    pub(crate) fn vouchers(&self, epoch: u64) -> usize {
        let frames = self.members.live().map(|slot| &slot.frame);
        let is_trusted = self.trust();
        let frames = frames.filter(|frame| frame.epoch == epoch && is_trusted(frame.suspicion));
        let domains = frames.filter_map(|frame| {
            let scope = frame.stay.as_ref().filter(|scope| scope.has(&self.identity.labels))?;
            Some(self.terms.rules.domain_of(scope, frame.node.0, &frame.labels))
        });
        let mut domains: Vec<_> = domains.collect();
        domains.sort_unstable();
        domains.dedup();
        domains.len()
    }

    /// What the newest frame of a node says that may have to be followed.
    pub(super) fn news_of(&self, node: NodeId, now: u64) -> Option<News> {
        let frame = &self.members.get(node)?.frame;
        let concerns = frame.stay.as_ref().is_some_and(|scope| scope.has(&self.identity.labels));
        let runs = concerns && frame.left > 0;
        if frame.epoch > self.epoch {
            return runs.then_some(News::Trip);
        }
        let stay = self.stay.as_ref().filter(|_| frame.epoch == self.epoch)?;
        if self.has_recovered(frame, now) {
            return Some(News::Recovered);
        }
        let deadline = deadline_of(frame, now);
        let is_sooner = deadline + TICKS < stay.deadline;
        (runs && is_sooner).then_some(News::Sooner { deadline })
    }

    /// Follows another node, if it is right. `revert_after`: the time that a trip would have now.
    pub(super) fn heed(&mut self, news: News, revert_after: u64, now: u64) -> Option<Change> {
        match news {
            News::Trip => {
                let decided = self.decide(now);
                let confirmed = decided.is_some().then_some(revert_after);
                let (epoch, scope, deadline) = self.running(confirmed, now)?;
                let tally = decided.map_or(Tally::default(), |(_, tally)| tally);
                Some(self.enter(epoch, scope, deadline, tally, now))
            }
            News::Sooner { deadline } => {
                let stay = self.stay.as_mut()?;
                stay.deadline = deadline;
                // Whoever waits for the probers has a deadline of its own.
                (!stay.waits).then_some(Change::Deadline { left: deadline - now })
            }
            News::Recovered => self.recover(now),
        }
    }
}

/// When the time of a frame's sender is over, on the clock of a node that received it at `at`. Both clocks are
/// rounded down to the millisecond.
pub(super) fn deadline_of(frame: &Frame, at: u64) -> u64 {
    at + frame.left + 1
}
