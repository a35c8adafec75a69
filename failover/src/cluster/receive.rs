//! What a node does with what comes from the others.

use crate::clock::{Clock, Moment};
use crate::cluster::bus::Delivery;
use crate::cluster::hub::Cluster;
use crate::cluster::member::{Member, apply};
use crate::cluster::members::Received;
use crate::cluster::time::millis;
use crate::cluster::view::GivenOrder;
use crate::cluster::wire::{Command, Frame, Invalid, Message, Order};

impl<Clk: Clock> Cluster<Clk> {
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
        let own = || Member::<Clk>::own_of(&handle, suspicion, moment);
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

    pub(super) fn obey(&self, index: usize, order: Order) {
        let (order, now) = (GivenOrder::from(order), millis(self.0.clock.now()));
        let mut state = self.lock();
        let member = &mut state.members[index];
        if let Some(obey) = member.obey.clone() {
            drop(state);
            return obey(&order);
        }
        let (lasts, handle) = (member.lasts(&order, now), member.handle.clone());
        drop(state);
        match order.command {
            Command::Force { route, .. } if lasts => {
                handle.force(route);
            }
            Command::Release => {
                handle.release();
            }
            Command::Force { .. } | Command::Policy(_) => {}
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
