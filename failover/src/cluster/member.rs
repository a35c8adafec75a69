//! One failover of this node in the cluster: what it says of itself, and what it is told.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::cluster::decision::Rules;
use crate::cluster::label::Scope;
use crate::cluster::members::LIVES;
use crate::cluster::node::{Change, Node, Own, Terms};
use crate::cluster::time::{millis, millis_of};
use crate::cluster::view::GivenOrder;
use crate::cluster::wire::{Bucket, Frame, Suspicion};
use crate::engine::saved::SavedWindow;
use crate::event::{Cause, Condition, Event};
use crate::monitor::handle::FailoverHandle;
use crate::policy::Policy;
use crate::state::State;
use crate::tally::Tally;

/// What the application does with an order, instead of the cluster.
pub(super) type Obey = Arc<dyn Fn(&GivenOrder) + Send + Sync>;

/// The counts of the last trip that no beat has seen yet.
#[derive(Debug, Default)]
pub(super) struct Trip(Mutex<Option<(Tally, Moment)>>);

pub(super) struct Member {
    pub(super) handle: FailoverHandle,
    pub(super) node: Node,
    trip: Arc<Trip>,
    pub(super) obey: Option<Obey>,
    policy: Policy,
    /// When the cluster releases the route that it forced, and the failover's epoch since then.
    pub(super) forced_until: Option<(u64, u32)>,
}

impl Trip {
    /// Notes a trip of the failover's own.
    pub(super) fn note(&self, event: &Event, now: Moment) {
        let (Cause::Tripped { condition, tally, .. } | Cause::WouldTrip { condition, tally, .. }) =
            event.cause
        else {
            return;
        };
        if condition != Condition::FleetFailureRate {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((tally, now));
        }
    }

    fn take(&self) -> Option<(Tally, Moment)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a policy says to a node.
pub(super) fn terms(policy: &Policy, beat: u64, spare: usize, domain: Option<&str>) -> Terms {
    Terms {
        rules: Rules {
            failure_rate: policy.failure_rate(),
            minimum_calls: policy.minimum_calls(),
            spare,
            domain: domain.map(Into::into),
        },
        window: policy.last_calls().is_none().then(|| millis_of(policy.window())),
        patience: policy.probing().map(|probing| millis_of(probing.lease) + LIVES * beat),
    }
}

impl Member {
    pub(super) fn new(
        handle: FailoverHandle,
        node: Node,
        trip: Arc<Trip>,
        obey: Option<Obey>,
    ) -> Self {
        let policy = handle.policy();
        Self { handle, node, trip, obey, policy, forced_until: None }
    }

    /// What the failover says of itself.
    pub(super) fn own(&self, suspicion: Option<Suspicion>) -> Own {
        Self::own_of(&self.handle, suspicion)
    }

    /// The same of a handle.
    pub(super) fn own_of(handle: &FailoverHandle, suspicion: Option<Suspicion>) -> Own {
        let snapshot = handle.snapshot();
        let mut own = Own {
            state: snapshot.state,
            left: snapshot.reverts_in.map_or(0, millis_of),
            revert_after: millis_of(handle.next_interval()),
            buckets: Vec::new(),
            suspicion,
        };
        if own.counts() {
            own.buckets = buckets(&handle.save().window);
        }
        own
    }

    /// Whether calls go to the fallback by this node's own decision.
    pub(super) fn tripped_alone(&self) -> bool {
        let state = self.handle.snapshot().state;
        self.node.stay().is_none() && matches!(state, State::Fallback | State::Probing)
    }

    /// Looks at the failover and the fleet.
    pub(super) fn beat(&mut self, suspicion: Option<Suspicion>, now: Moment) -> Option<Change> {
        let policy = self.handle.policy();
        if policy != self.policy {
            let (beat, rules) = (self.node.identity().beat, &self.node.terms().rules);
            let terms = terms(&policy, beat, rules.spare, rules.domain.as_deref());
            self.node.adopt(terms);
            self.policy = policy;
        }
        if let Some((tally, at)) = self.trip.take() {
            self.node.tripped(tally, millis(at));
        }
        let own = self.own(suspicion);
        self.node.beat(&own, millis(now))
    }

    /// Whether a route that the cluster forced has to be released now. Not if anything has changed it since.
    pub(super) fn is_forced_too_long(&mut self, now: u64) -> bool {
        let ended = self.forced_until.take_if(|(until, _)| now >= *until);
        ended.is_some_and(|(_, epoch)| self.handle.snapshot().epoch == epoch)
    }

    /// The frame to publish. A dry run diverts no call, so it vouches for nothing and does not probe.
    pub(super) fn frame(&mut self, own: &Own, now: u64) -> Frame {
        let frame = self.node.frame(own, now);
        if self.policy.is_dry_run() {
            return Frame { stay: None, probes: None, ..frame };
        }
        frame
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("handle", &self.handle).finish_non_exhaustive()
    }
}

fn buckets(window: &SavedWindow) -> Vec<Bucket> {
    match window {
        SavedWindow::Buckets(buckets) => {
            let bucket = |(age, tally): &(Duration, Tally)| Bucket {
                age: millis_of(*age),
                calls: tally.calls(),
                failures: tally.failures,
            };
            buckets.iter().map(bucket).collect()
        }
        SavedWindow::Calls(calls) => {
            let failures = calls.iter().filter(|call| call.failed).count() as u64;
            vec![Bucket { age: 0, calls: calls.len() as u64, failures }]
        }
    }
}

/// Makes a change. Calls the failover's observers.
pub(super) fn apply(handle: &FailoverHandle, change: Change) {
    match change {
        Change::Enter { scope, left, tally } => {
            let scope = match scope {
                Scope::Fleet => None,
                Scope::Label(label) => Some(label.to_string().into()),
            };
            handle.enter(Duration::from_millis(left), tally, scope);
        }
        Change::Deadline { left } => {
            handle.set_deadline(Duration::from_millis(left));
        }
        Change::Return => {
            handle.revert_for(Cause::FleetRecovered);
        }
    }
}
