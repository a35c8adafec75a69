//! What a node does with what comes from the others.

use std::time::Duration;

use crate::clock::Moment;
use crate::cluster::bus::Delivery;
use crate::cluster::hub::Cluster;
use crate::cluster::member::{Member, apply};
use crate::cluster::members::Received;
use crate::cluster::time::{millis, millis_of};
use crate::cluster::view::GivenOrder;
use crate::cluster::wire::{Command, Frame, Invalid, Message, Order};

impl Cluster {
    pub(super) fn receive(&self, delivery: Delivery<'_>) {
        let moment = self.0.clock.now();
        match delivery {
            Delivery::Message(bytes) => {
                let settings = &self.0.settings;
                match Message::decode(bytes, settings.secret.as_ref(), &settings.name) {
                    Ok(Message::Frame(frame)) => self.merge(frame, moment),
                    Ok(Message::Order(order)) => self.take(order, moment),
                    Err(invalid) => self.lock().note(invalid.as_str()),
                }
            }
            Delivery::Up => {
                if self.lock().set_bus(true, "", millis(moment)) {
                    // The others hear of this node at once.
                    self.0.wake.wake();
                }
            }
            Delivery::Down(reason) => {
                self.lock().set_bus(false, reason, millis(moment));
            }
            Delivery::Lagged(messages) => self.lock().bus.lagged += messages,
        }
    }

    fn merge(&self, frame: Frame, moment: Moment) {
        let now = millis(moment);
        let mut state = self.lock();
        let Some(index) = state.member(&frame.failover) else {
            return state.note("other_failover");
        };
        let suspicion = state.suspicion(index, now);
        let member = &mut state.members[index];
        let handle = member.handle.clone();
        let own = || Member::own_of(&handle, suspicion);
        let (received, change) = member.node.receive(frame, now, own);
        state.note(received.as_str());
        drop(state);
        if let Some(change) = change {
            apply(&handle, change);
        }
    }

    fn take(&self, order: Order, moment: Moment) {
        let mut state = self.lock();
        if order.node == self.0.id {
            return state.note(Received::Own.as_str());
        }
        let Some(index) = state.member(&order.failover) else {
            return state.note("other_failover");
        };
        let is_new = state.members[index].node.take(order.clone(), millis(moment));
        state.note(if is_new { "order" } else { Received::Stale.as_str() });
        drop(state);
        if is_new {
            self.obey(index, order);
        }
    }

    /// Carries out an order, and what has replaced it meanwhile: two threads may be here at once, and the one
    /// that ends last must have carried out the newest.
    pub(super) fn obey(&self, index: usize, mut order: Order) {
        loop {
            let register = order.command.register();
            self.obey_once(index, order.clone());
            let state = self.lock();
            let node = &state.members[index].node;
            if node.is_newest(&order) {
                return;
            }
            let mut newest = node.orders().newest(millis(self.0.clock.now()));
            let Some(newer) = newest.find(|newer| newer.command.register() == register) else {
                return;
            };
            drop(newest);
            drop(state);
            order = newer;
        }
    }

    fn obey_once(&self, index: usize, order: Order) {
        let (order, now) = (GivenOrder::from(order), millis(self.0.clock.now()));
        let mut state = self.lock();
        let member = &mut state.members[index];
        if let Some(obey) = member.obey.clone() {
            drop(state);
            return obey(&order);
        }
        let handle = member.handle.clone();
        drop(state);
        match order.command {
            Command::Force { route, lasts } => {
                let left = lasts.map(|lasts| lasts.saturating_sub(order.age));
                if left == Some(Duration::ZERO) {
                    return;
                }
                handle.force(route);
                let epoch = handle.snapshot().epoch;
                let until = left.map(|left| (now.saturating_add(millis_of(left)), epoch));
                self.lock().members[index].forced_until = until;
            }
            Command::Release => {
                handle.release();
            }
            Command::Policy(_) => {}
        }
    }
}

impl Received {
    fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Stale => "stale",
            Self::Own => "own",
            Self::Full => "full",
        }
    }
}

impl Invalid {
    fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Version => "version",
            Self::Tag => "tag",
            Self::Malformed => "malformed",
        }
    }
}
