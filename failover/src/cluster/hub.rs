//! A node of the cluster: its failovers, and what it sends and receives for them.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{AnyClock, Clock, CoarseClock, Moment};
use crate::cluster::bus::Port;
use crate::cluster::config::{ClusterBuilder, ClusterError};
use crate::cluster::label::is_name;
use crate::cluster::member::{Member, Obey, Trip, apply, terms};
use crate::cluster::members::LIVES;
use crate::cluster::node::{Identity, Node};
use crate::cluster::time::millis;
use crate::cluster::view::{BusView, FleetView, GivenOrder, View, no_messages};
use crate::cluster::wake::Wake;
use crate::cluster::wire::{Command, Frame, MOST_POLICY, MOST_TEXT, Message, NodeId, Suspicion};
use crate::event::Event;
use crate::monitor::handle::FailoverHandle;

/// The most failovers of a node.
const MOST_FAILOVERS: usize = 64;
/// The kinds of messages of one failover: its frame, and an order of each register.
const KINDS: u64 = 3;

/// A node of a cluster. Clones are the same node.
///
/// See the [module's documentation](crate::cluster).
pub struct Cluster(pub(super) Arc<Hub>);

pub(super) struct Hub {
    pub(super) settings: ClusterBuilder,
    pub(super) id: NodeId,
    pub(super) clock: AnyClock,
    pub(super) wake: Arc<Wake>,
    state: Mutex<HubState>,
}

pub(super) struct HubState {
    pub(super) members: Vec<Member>,
    port: Option<Port>,
    pub(super) bus: BusView,
    /// Since when the bus has been as it is.
    bus_since: u64,
    messages: BTreeMap<&'static str, u64>,
    last_beat: Option<u64>,
    /// Until when its own beats are too late to trust its evidence.
    late_until: u64,
    is_suspect: bool,
}

impl ClusterBuilder {
    /// The node, on the [`CoarseClock`].
    ///
    /// # Errors
    /// [`ClusterError`] names the setting that is wrong.
    pub fn build(self) -> Result<Cluster, ClusterError> {
        self.build_on(CoarseClock)
    }

    /// The node, on a clock of your own, by which it sends and counts ages. The failovers that join keep
    /// theirs.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_on(self, clock: impl Clock) -> Result<Cluster, ClusterError> {
        Ok(Cluster::new(self.checked()?, AnyClock::new(clock)))
    }
}

impl Cluster {
    /// A node of the cluster of this name: 1 to 64 of `a` to `z`, `0` to `9` and `-`. Nodes of other clusters
    /// on the same bus are not heard.
    pub fn builder(name: &str) -> ClusterBuilder {
        ClusterBuilder::new(name)
    }
}

impl Cluster {
    fn new(settings: ClusterBuilder, clock: AnyClock) -> Self {
        // Random, from the seeds that std draws for its maps.
        let id = NodeId(RandomState::new().build_hasher().finish());
        let state = HubState {
            members: Vec::new(),
            port: None,
            bus: BusView::default(),
            bus_since: millis(clock.now()),
            messages: no_messages(),
            last_beat: None,
            late_until: 0,
            is_suspect: false,
        };
        let wake = Arc::new(Wake::default());
        Self(Arc::new(Hub { settings, id, clock, wake, state: Mutex::new(state) }))
    }

    /// Lets a failover decide with those of the same name on the other nodes. Orders for all nodes are
    /// carried out, except [`Command::Policy`], which needs an application that reads it.
    ///
    /// The cluster keeps a handle, and so the failover's state, as long as it lives.
    ///
    /// # Errors
    /// [`ClusterError`] if the failover has no name that can be published, or one that has joined, or if 64
    /// have.
    pub fn join(&self, handle: &FailoverHandle) -> Result<(), ClusterError> {
        self.join_with(handle, None)
    }

    /// As [`join`](Self::join), with an application that carries out the orders: all of them, and their ends.
    /// `obey` is called for each new order, on the task that runs the cluster or gives the order, and must
    /// not block.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_obeying(
        &self,
        handle: &FailoverHandle,
        obey: impl Fn(&GivenOrder) + Send + Sync + 'static,
    ) -> Result<(), ClusterError> {
        self.join_with(handle, Some(Arc::new(obey)))
    }

    fn join_with(&self, handle: &FailoverHandle, obey: Option<Obey>) -> Result<(), ClusterError> {
        let name = handle.name().filter(|name| is_name(name));
        let name = name.ok_or(ClusterError::FailoverName(handle.name().map(str::to_owned)))?;
        let settings = &self.0.settings;
        let (beat, failover) = (settings.beat_millis(), Arc::<str>::from(name));
        let mut state = self.lock();
        if state.member(name).is_some() {
            return Err(ClusterError::Joined(name.to_owned()));
        }
        if state.members.len() >= MOST_FAILOVERS {
            return Err(ClusterError::TooManyFailovers);
        }
        let identity = Identity { id: self.0.id, failover, labels: settings.labels(), beat };
        let terms = terms(&handle.policy(), beat, settings.spare, settings.domain.as_deref());
        let (trip, wake) = (Arc::new(Trip::default()), Arc::clone(&self.0.wake));
        let (noted, clock) = (Arc::clone(&trip), self.0.clock.clone());
        handle.observe(move |event: &Event| {
            noted.note(event, clock.now());
            // The others hear of it at once.
            wake.wake();
        });
        let node = Node::new(identity, terms);
        state.members.push(Member::new(handle.clone(), node, trip, obey));
        Ok(())
    }

    /// Says that this node's evidence can't be trusted, or that it can be again: its fallback fails too, or
    /// its DNS. Its calls then weigh nothing in the fleet's decisions; it still follows them, and decides for
    /// itself.
    pub fn suspect_itself(&self, is_suspect: bool) {
        self.lock().is_suspect = is_suspect;
    }

    /// Gives an order to all nodes, this one included; to those that are not connected, or start later, as
    /// soon as they are. `by` and `reason` are shown to operators. A later order for the route, or for the
    /// policy, replaces an earlier one.
    ///
    /// # Errors
    /// [`ClusterError::Unknown`] for a failover that has not joined, [`ClusterError::TooLong`] for `by` or
    /// `reason` of more than 120 bytes or a policy of more than 600.
    pub fn order(
        &self,
        failover: &str,
        command: Command,
        by: &str,
        reason: &str,
    ) -> Result<(), ClusterError> {
        let policy = match &command {
            Command::Policy(text) => text.as_str(),
            _ => "",
        };
        let texts = [("policy", policy, MOST_POLICY), ("sender", by, MOST_TEXT)];
        let texts = texts.into_iter().chain([("reason", reason, MOST_TEXT)]);
        for (text, given, longest) in texts {
            if given.len() > longest {
                return Err(ClusterError::TooLong { text, longest });
            }
        }
        let now = millis(self.0.clock.now());
        let mut state = self.lock();
        let index = state.member(failover).ok_or(ClusterError::Unknown(failover.to_owned()))?;
        let node = &mut state.members[index].node;
        let order = node.give(command, by.to_owned(), reason.to_owned(), now);
        self.publish(&state, index, &Message::Order(order.clone()));
        drop(state);
        self.obey(index, order);
        Ok(())
    }

    /// What this node knows.
    #[must_use]
    pub fn view(&self) -> View {
        let moment = self.0.clock.now();
        let now = millis(moment);
        let mut state = self.lock();
        let mut failovers = Vec::new();
        for index in 0..state.members.len() {
            let suspicion = state.suspicion(index, now);
            let member = &mut state.members[index];
            let own = member.own(suspicion);
            let own = member.node.look(&own, now);
            failovers.push(FleetView::new(&member.node, own, now));
        }
        let settings = &self.0.settings;
        View {
            cluster: settings.name.as_str().into(),
            node: self.node(),
            beat: settings.beat,
            bus: state.bus_view(now),
            messages: state.messages.clone(),
            failovers,
        }
    }

    /// The connection to the other nodes: [`View::bus`] by itself.
    #[must_use]
    pub fn bus(&self) -> BusView {
        let now = millis(self.0.clock.now());
        self.lock().bus_view(now)
    }

    /// This node's id: [`View::node`] by itself.
    #[must_use]
    pub fn node(&self) -> String {
        self.0.id.to_string()
    }

    /// The port for a bus. The cluster publishes to the last one that was asked for.
    ///
    /// [`run`](Self::run) calls this and [`beat`](Self::beat). For those that drive the node themselves.
    #[must_use]
    pub fn port(&self) -> Port {
        let hub = Arc::downgrade(&self.0);
        let port = Port::new(self.0.settings.name.as_str(), move |delivery| {
            if let Some(hub) = hub.upgrade() {
                Self(hub).receive(delivery);
            }
        });
        self.lock().port = Some(port.clone());
        port
    }

    /// Looks at each failover and at what the others say, makes the transitions that follow, and publishes.
    /// Never waits.
    pub fn beat(&self) {
        let (moment, length) = (self.0.clock.now(), self.0.settings.beat_millis());
        let now = millis(moment);
        let mut state = self.lock();
        // Later than the beat that it should have been, and the one after it.
        let is_late =
            state.last_beat.replace(now).is_some_and(|last| now > last + 2 * length + length / 2);
        if is_late {
            state.late_until = now + LIVES * length;
        }
        let failovers = state.members.len();
        drop(state);
        for index in 0..failovers {
            self.beat_of(index, moment);
        }
    }

    fn beat_of(&self, index: usize, moment: Moment) {
        let now = millis(moment);
        let mut state = self.lock();
        let suspicion = state.suspicion(index, now);
        let member = &mut state.members[index];
        let (change, handle) = (member.beat(suspicion, moment), member.handle.clone());
        let is_over = member.is_forced_too_long(now);
        // Transitions call observers, which may look at the cluster.
        drop(state);
        if let Some(change) = change {
            apply(&handle, change);
        }
        if is_over {
            handle.release();
        }
        let mut state = self.lock();
        let member = &mut state.members[index];
        let own = member.own(suspicion);
        let frame = Message::Frame(member.frame(&own, now));
        let orders = member.node.orders_to_send(now);
        self.publish(&state, index, &frame);
        for order in orders {
            self.publish(&state, index, &Message::Order(order));
        }
    }

    /// Tells the others that this node stops: they forget it at once.
    pub(super) fn leave(&self) {
        let moment = self.0.clock.now();
        let mut state = self.lock();
        for index in 0..state.members.len() {
            let member = &mut state.members[index];
            let own = member.own(None);
            let frame = Frame { leaving: true, ..member.frame(&own, millis(moment)) };
            self.publish(&state, index, &Message::Frame(frame));
        }
    }

    fn publish(&self, state: &HubState, index: usize, message: &Message) {
        let Some(port) = &state.port else { return };
        let kind = match message {
            Message::Frame(_) => 0,
            Message::Order(order) => 1 + order.command.register() as u64,
        };
        let settings = &self.0.settings;
        port.publish(
            index as u64 * KINDS + kind,
            message.encode(settings.secret.as_ref(), &settings.name),
        );
    }

    // Each change is whole before any code that can panic, so poisoning is ignored.
    pub(super) fn lock(&self) -> MutexGuard<'_, HubState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HubState {
    pub(super) fn member(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| *member.node.identity().failover == *name)
    }

    pub(super) fn note(&mut self, what: &'static str) {
        *self.messages.entry(what).or_default() += 1;
    }

    fn bus_view(&self, now: u64) -> BusView {
        let since = Duration::from_millis(now.saturating_sub(self.bus_since));
        BusView { since, ..self.bus.clone() }
    }

    /// Returns whether the bus has changed.
    pub(super) fn set_bus(&mut self, is_up: bool, reason: &str, now: u64) -> bool {
        let changes = self.bus.is_up != is_up;
        if changes {
            self.bus.losses += u64::from(!is_up);
            self.bus_since = now;
        }
        self.bus.is_up = is_up;
        reason.clone_into(&mut self.bus.reason);
        changes
    }

    pub(super) fn suspicion(&self, index: usize, now: u64) -> Option<Suspicion> {
        let mut others = self.members.iter().enumerate().filter(|(other, _)| *other != index);
        if now < self.late_until {
            Some(Suspicion::LateBeats)
        } else if self.is_suspect {
            Some(Suspicion::Reported)
        } else if others.any(|(_, member)| member.tripped_alone()) {
            Some(Suspicion::OtherFailovers)
        } else {
            None
        }
    }
}

impl Clone for Cluster {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
