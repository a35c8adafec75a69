//! The operator's side: see what is, and change it by hand.

use crate::snapshot::Snapshot;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, CoarseClock};
use crate::engine::pool::Lease;
use crate::engine::saved::Saved;
use crate::event::Cause;
use crate::event::Observe;
use crate::monitor::events::{Attached, Events};
use crate::policy::Policy;
use crate::route::Route;

/// Sees and changes a failover by hand. Cheap to clone; outlives the services.
///
/// ```
/// use failover::{FailoverLayer, Policy, Route};
/// # use tower::service_fn;
/// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
///
/// let layer = FailoverLayer::new(fallback, Policy::default());
/// let handle = layer.handle();
/// handle.force(Route::Fallback);
/// assert!(handle.snapshot().forced);
/// handle.release();
/// assert_eq!(handle.snapshot().route, Route::Primary);
/// ```
#[derive(Clone, Debug)]
pub struct FailoverHandle<Clk = CoarseClock> {
    lease: Arc<Lease>,
    clock: Clk,
}

impl<Clk: Clock> FailoverHandle<Clk> {
    pub(crate) fn new(lease: Arc<Lease>, clock: Clk) -> Self {
        Self { lease, clock }
    }

    /// A way to the state that does not keep it in use.
    pub(crate) fn weak(&self) -> (std::sync::Weak<Lease>, Clk) {
        (Arc::downgrade(&self.lease), self.clock.clone())
    }

    pub(crate) fn clock(&self) -> &Clk {
        &self.clock
    }

    /// What is true now. After the deadline of a trip that is the primary and an empty window,
    /// whether or not a call has made the revert yet. Changes nothing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lease.engine().snapshot(self.clock.now())
    }

    /// The name that it was given by [`FailoverLayer::named`](crate::service::layer::FailoverLayer::named) or
    /// [`Monitor::named`](crate::monitor::Monitor::named).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.lease.given_name()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.lease.policy()
    }

    /// Puts another policy in force while calls go on, and returns the one that was. An equal one
    /// changes nothing, and nobody is told.
    ///
    /// All of the policy changes at once, and nothing is evaluated by a mixture. A new epoch begins
    /// (the number goes up by two), but, other than after a transition, calls under way count when
    /// they end. Observers are told [`Cause::PolicySwapped`](crate::event::Cause::PolicySwapped); then
    /// the window is evaluated by the new policy, and may trip.
    ///
    /// # What stays
    /// - The route, forced or not, and a time on the fallback that is running: the new one begins
    ///   with the next trip. How it ends is the new policy's.
    /// - What the window held at that moment, where the new one can hold it. The counts of each
    ///   bucket go to the bucket of the new cut in which the old one began: a shorter window
    ///   forgets the older ones, a longer one keeps all for longer. Of windows of the last so many
    ///   calls, the latest calls stay, in their order.
    /// - The run of consecutive failures, and which calls were slow by the old time, if both
    ///   policies ask for it. How often it tripped, and a provider's hint.
    ///
    /// # What begins anew
    /// - The window, where the one is over time and the other over the last so many calls.
    /// - Looking for stalled calls: those that hang already are not seen any more.
    /// - Probing: what the probes have said so far is forgotten, and the next admission begins the
    ///   way back by the new policy. Probes that are still out do not take any of its places.
    /// - A trip that was only rehearsed, where a [dry run](crate::policy::PolicyBuilder::dry_run) ends: what
    ///   was counted since is evaluated instead. Where one begins, calls on the fallback come back.
    /// - Where calls were returning gradually and the new policy knows no such thing, all go to the
    ///   primary at once. Where it does, the share is what it says for the time that is left.
    ///
    /// # Cost
    /// Calls pay nothing. Those that end during the swap, which takes microseconds, may count for
    /// nothing; nothing waits for it but other orders by hand, and snapshots. Memory that the new
    /// policy needs beside that of the first one is added by the swap, or for more buckets by each
    /// thread's next call, and stays.
    ///
    /// ```
    /// use failover::{Monitor, Outcome, Policy, Route};
    ///
    /// let monitor = Monitor::new(Policy::default());
    /// for _ in 0..5 {
    ///     monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    /// }
    /// assert_eq!(monitor.route(), Route::Primary);
    /// // Five failures are enough for the new policy.
    /// let old = monitor.handle().swap_policy(Policy::builder().minimum_calls(5).build()?);
    /// assert_eq!(old, Policy::default());
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn swap_policy(&self, policy: Policy) -> Policy {
        self.lease.swap_policy(policy, self.clock.now())
    }

    /// What another process, or this one after a restart, needs to go on from here: how calls are
    /// routed, the time until the revert, what the window holds with its ages, the run of
    /// consecutive failures, and how often it tripped. No moment in it depends on a clock. Changes
    /// nothing.
    ///
    /// With the feature `serde` it can be written down. What the probes have said so far, calls
    /// under way, and a provider's hint for the next trip are not saved, nor is the policy, nor what
    /// the primary's window held at the trip: a [watched fallback](crate::service::watched::FallbackFailing) that is
    /// compared to it then stays.
    #[must_use]
    pub fn save(&self) -> Saved {
        self.lease.engine().save(self.clock.now())
    }

    /// Goes on from a saved state, `elapsed` after it was saved, as well as the caller knows. With
    /// zero, the time until the revert is what it was, or less than a millisecond longer.
    ///
    /// - A forced route is forced again, until it is released.
    /// - On the fallback, calls stay there for the time that is left. If none is left, or if the
    ///   primary was being probed, the next admission begins the way back by the policy in force.
    /// - While calls were returning, they go on to, if the policy in force knows it; else all go to
    ///   the primary.
    /// - On the primary, the counts come back that are young enough for the window in force, if it
    ///   is of the same kind. A bucket's counts go to the one that it began in, so that they may
    ///   leave up to a bucket's width before they would have. They are evaluated at once, and may trip.
    /// - A trip that was only rehearsed diverts nobody if the policy in force is no
    ///   [dry run](crate::policy::PolicyBuilder::dry_run).
    /// - How far the time on the fallback [has grown](crate::policy::PolicyBuilder::growing) comes back,
    ///   less what `elapsed` makes forgotten, to the whole step.
    ///
    /// Whatever was before is over: this begins an epoch (the number goes up by two), so calls
    /// under way change nothing afterwards. Observers are told
    /// [`Cause::Restored`](crate::event::Cause::Restored).
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Outcome, Policy, Route};
    /// use failover::clock::ManualClock;
    ///
    /// let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
    /// while let Some(ticket) = monitor.admit().ticket() {
    ///     monitor.record(ticket, Outcome::Failure);
    /// }
    /// let saved = monitor.handle().save();
    ///
    /// // … a restart, ten seconds later: the broken primary is not hammered …
    /// let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
    /// monitor.handle().restore(&saved, Duration::from_secs(10));
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// assert_eq!(monitor.handle().snapshot().reverts_in, Some(Duration::from_secs(290)));
    /// ```
    pub fn restore(&self, saved: &Saved, elapsed: Duration) {
        self.lease.restore(saved, elapsed, self.clock.now());
    }

    /// Sends all calls to one route until [`release`](Self::release) or [`reset`](Self::reset): no
    /// rate trips it and no timer ends it. Begins with an empty window; calls to a forced primary
    /// are counted to be seen. True if the route was not forced so before.
    pub fn force(&self, route: Route) -> bool {
        self.lease.engine().force(route)
    }

    /// Ends a forced route: calls go to the primary, and the window is empty. False, and nothing
    /// changed, if no route was forced.
    pub fn release(&self) -> bool {
        self.lease.engine().release(self.clock.now())
    }

    /// Ends the time on the fallback now, or the probing, as if the one were over or the other had
    /// succeeded. False, and nothing changed, in every other state. Given the number of an epoch,
    /// it ends that epoch's and no other's.
    pub fn revert(&self, epoch: Option<u32>) -> bool {
        self.lease.engine().revert_now(epoch, None, self.clock.now())
    }

    /// As [`revert`](Self::revert) of any epoch, for a cause of its own.
    pub(crate) fn revert_for(&self, cause: Cause) -> bool {
        self.lease.engine().revert_now(None, Some(cause), self.clock.now())
    }

    /// Back to the primary with an empty window, whatever was before: a trip, a forced route, or
    /// just counts.
    pub fn reset(&self) {
        self.lease.engine().reset();
    }

    /// Adds someone to be told of transitions, as long as the failover lives.
    pub fn observe(&self, observer: impl Observe) {
        self.lease.engine().observers.add(Arc::new(observer));
    }

    /// Adds someone to be told of transitions until the returned value is dropped.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use failover::{Event, Monitor, Policy, Route};
    ///
    /// let handle = Monitor::new(Policy::default()).handle();
    /// let told = Arc::new(AtomicU32::new(0));
    /// let count = Arc::clone(&told);
    /// let attached = handle.attach(move |_: &Event| {
    ///     count.fetch_add(1, Ordering::Relaxed);
    /// });
    /// handle.force(Route::Fallback);
    /// drop(attached);
    /// handle.release();
    /// assert_eq!(told.load(Ordering::Relaxed), 1);
    /// ```
    pub fn attach(&self, observer: impl Observe) -> Attached {
        Attached::new(self.lease.engine(), Arc::new(observer))
    }

    /// The events from now on, to be taken where and when it suits: by a thread or by a task. At
    /// most `capacity` wait to be taken; see [`Events`] for what happens to more.
    #[must_use]
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Events {
        Events::new(self.lease.engine(), capacity)
    }
}
