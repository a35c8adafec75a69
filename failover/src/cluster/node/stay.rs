//! The fleet's epochs: entered by evidence, left at a deadline, never entered again.
//!
//! A higher epoch wins; in the same epoch the earlier deadline does. Nodes verify, they don't obey: a
//! trip is followed if the own view confirms it, or if more than `spare` live domains vouch for it.
//!
//! With probing, one to three nodes probe when the time is over. The others wait: they return when the
//! probes of one succeed, and stay when those of all failed.

use super::probers::elect;
use super::{Change, Node, Own};
use crate::cluster::decision::Pool;
use crate::cluster::label::Scope;
use crate::cluster::wire::{Frame, NodeId};
use crate::state::State;

/// How many nodes probe for the others.
const PROBERS: usize = 3;

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
                // It has begun another time on the fallback.
                stay.deadline = now + own.left;
                self.probes = Some(false);
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

    fn end_stay(&mut self, now: u64) {
        if let Some(stay) = self.stay.take() {
            self.returned = Some(stay.deadline.min(now));
        }
    }

    /// Learns of epochs that ended without this node. They are not entered any more.
    pub(super) fn learn_ended(&mut self) {
        let frames = || self.members.live().map(|slot| &slot.frame);
        let ended = frames().filter(|frame| frame.stay.is_none()).map(|frame| frame.epoch).max();
        let Some(ended) = ended.filter(|ended| *ended > self.epoch) else { return };
        let runs = frames().any(|frame| frame.stay.is_some() && frame.epoch >= ended);
        if self.stay.is_none() && !runs {
            (self.epoch, self.probes) = (ended, None);
        }
    }

    /// The own view says that this node has to leave: it follows an epoch that others have begun, or
    /// begins one.
    pub(super) fn enter_or_follow(
        &mut self,
        scope: &Scope,
        pool: Pool,
        revert_after: u64,
        now: u64,
    ) -> Change {
        if let Some((epoch, scope, deadline)) = self.running(now) {
            return self.enter(epoch, scope, deadline, pool, now);
        }
        let epochs = self.members.live().map(|slot| slot.frame.epoch);
        let epoch = epochs.fold(self.epoch, u64::max) + 1;
        self.enter(epoch, scope.clone(), now + revert_after, pool, now)
    }

    /// The highest epoch that other nodes are in and this one may enter, its scope and its deadline.
    fn running(&self, now: u64) -> Option<(u64, Scope, u64)> {
        let running = self.members.live().filter_map(|slot| {
            let frame = &slot.frame;
            let scope = frame.stay.as_ref().filter(|scope| scope.has(&self.identity.labels))?;
            let deadline = deadline_of(frame, slot.at);
            let may_enter = frame.epoch > self.epoch && deadline > now;
            may_enter.then(|| (frame.epoch, scope.clone(), deadline))
        });
        running.max_by_key(|(epoch, _, deadline)| (*epoch, std::cmp::Reverse(*deadline)))
    }

    fn enter(&mut self, epoch: u64, scope: Scope, deadline: u64, pool: Pool, now: u64) -> Change {
        self.epoch = epoch;
        self.probes = None;
        self.stay = Some(Stay { scope: scope.clone(), deadline, waits: false });
        Change::Enter { scope, left: deadline.saturating_sub(now), pool }
    }

    /// The domains of the live nodes that are on the fallback in an epoch.
    pub(crate) fn vouchers(&self, epoch: u64, scope: &Scope) -> usize {
        let vouch = |frame: &&Frame| {
            frame.epoch == epoch && frame.stay.as_ref() == Some(scope) && frame.suspicion.is_none()
        };
        let frames = self.members.live().map(|slot| &slot.frame).filter(vouch);
        let rules = &self.terms.rules;
        let mut domains: Vec<_> =
            frames.map(|frame| rules.domain_of(scope, frame.node.0, &frame.labels)).collect();
        domains.sort_unstable();
        domains.dedup();
        domains.len()
    }

    /// What the newest frame of a node says that may have to be followed.
    pub(super) fn news_of(&self, node: NodeId, now: u64) -> Option<News> {
        let frame = self.members.live().map(|slot| &slot.frame).find(|frame| frame.node == node)?;
        if frame.epoch > self.epoch {
            let scope = frame.stay.as_ref()?;
            let concerns = frame.left > 0 && scope.has(&self.identity.labels);
            return concerns.then_some(News::Trip);
        }
        let stay = self.stay.as_ref().filter(|_| frame.epoch == self.epoch)?;
        if frame.probes == Some(true) {
            return Some(News::Recovered);
        }
        let deadline = deadline_of(frame, now);
        let sooner = frame.stay.as_ref() == Some(&stay.scope) && frame.left > 0;
        (sooner && deadline < stay.deadline).then_some(News::Sooner { deadline })
    }

    /// Follows another node, if it is right.
    pub(super) fn heed(&mut self, news: News, now: u64) -> Option<Change> {
        match news {
            News::Trip => {
                let (epoch, scope, deadline) = self.running(now)?;
                let (is_confirmed, pool) = match self.decide(now) {
                    Some((_, pool)) => (true, pool),
                    None => (false, Pool::default()),
                };
                let is_vouched = || self.vouchers(epoch, &scope) > self.terms.rules.spare;
                (is_confirmed || is_vouched())
                    .then(|| self.enter(epoch, scope, deadline, pool, now))
            }
            News::Sooner { deadline } => {
                let stay = self.stay.as_mut()?;
                stay.deadline = deadline;
                // Whoever waits for the probers has a deadline of its own.
                (!stay.waits).then_some(Change::Deadline { left: deadline - now })
            }
            News::Recovered if self.probes == Some(false) => {
                // Its own probes failed: it stays by itself, until its own deadline.
                self.stay = None;
                None
            }
            News::Recovered => {
                self.end_stay(now);
                Some(Change::Return)
            }
        }
    }

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
            return Some(Change::Deadline { left: left + patience });
        }
        if left > 0 {
            return None;
        }
        self.follow_probers(now)
    }

    /// The time of the epoch is over, and others probe, or this node's probes failed.
    fn follow_probers(&mut self, now: u64) -> Option<Change> {
        let recovered = |frame: &Frame| frame.epoch == self.epoch && frame.probes == Some(true);
        if self.members.live().any(|slot| recovered(&slot.frame)) {
            return self.heed(News::Recovered, now);
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
        (self.epoch, self.probes) = (self.epoch + 1, None);
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
        let slot = self.members.live().find(|slot| slot.frame.node == prober)?;
        let Frame { epoch, probes, .. } = slot.frame;
        let is_next = epoch > self.epoch && slot.frame.stay.as_ref() == Some(&stay.scope);
        let failed = is_next || epoch == self.epoch && probes == Some(false);
        failed.then(|| deadline_of(&slot.frame, slot.at))
    }

    /// The nodes that probe when the time of the own epoch is over: of those that were in it, in its scope.
    pub(crate) fn probers(&self) -> Vec<NodeId> {
        let Some(Stay { scope, .. }) = &self.stay else { return Vec::new() };
        let can = |frame: &&Frame| {
            frame.epoch >= self.epoch && scope.has(&frame.labels) && frame.suspicion.is_none()
        };
        let others =
            self.members.live().map(|slot| &slot.frame).filter(can).map(|frame| frame.node);
        let own = self.suspicion.is_none().then_some(self.identity.id);
        elect(self.epoch, others.chain(own), PROBERS)
    }
}

/// When the time of a frame's sender is over, on the clock of a node that received it at `at`. Never earlier
/// than on the sender's: both clocks are rounded down, and deadlines that become earlier by rounding would
/// do so again with each frame.
fn deadline_of(frame: &Frame, at: u64) -> u64 {
    at + frame.left + 1
}
