//! The operator's handle.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::Moment;
use crate::engine::pool::Lease;
use crate::engine::saved::Saved;
use crate::event::{Cause, Observe};
use crate::policy::Policy;
use crate::route::Route;
use crate::snapshot::Snapshot;
#[cfg(feature = "cluster")]
use crate::tally::Tally;

/// Inspects a failover and changes it by hand. Cheap to clone; outlives the services.
///
/// ```
/// use failover::{FailoverLayer, Policy, Route};
/// # use tower::service_fn;
/// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
///
/// let layer = FailoverLayer::with_fallback(fallback, Policy::default());
/// let handle = layer.handle();
/// handle.force(Route::Fallback);
/// assert!(handle.snapshot().forced);
/// handle.release();
/// assert_eq!(handle.snapshot().route, Route::Primary);
/// ```
#[derive(Clone, Debug)]
pub struct FailoverHandle {
    lease: Arc<Lease>,
}

impl FailoverHandle {
    pub(crate) fn new(lease: Arc<Lease>) -> Self {
        Self { lease }
    }

    /// Does not keep the state in use.
    pub(crate) fn weak(&self) -> Weak<Lease> {
        Arc::downgrade(&self.lease)
    }

    /// The precise time of the monitor's clock.
    pub(crate) fn now_precise(&self) -> Moment {
        self.lease.now_precise()
    }

    /// The current state, read-only. After a trip's deadline it shows the primary and an empty
    /// window, even if no call has made the revert yet.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lease.snapshot()
    }

    /// The name set by [`FailoverLayer::named`](crate::service::layer::FailoverLayer::named) or
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

    /// Replaces the policy while calls go on, and returns the old one. An equal policy changes
    /// nothing.
    ///
    /// The policy changes at once: nothing is evaluated by a mixture of both. A new epoch begins
    /// (the number goes up by two), but unlike after a transition calls in flight still count.
    /// Observers receive [`Cause::PolicySwapped`](crate::event::Cause::PolicySwapped); then the new
    /// policy evaluates the window, and may trip.
    ///
    /// # Kept
    /// - The route, forced or not, and the current time on the fallback. How that ends is up to the
    ///   new policy.
    /// - The window's counts, as far as the new one can hold them: each bucket's go to the new
    ///   bucket in which the old one began. Between windows of last calls, the latest calls, in
    ///   order.
    /// - The streak, and slow calls by the old time, if both policies use them; the number of
    ///   repeated trips; the last `Retry-After`.
    ///
    /// # Reset
    /// - The window, if only one of the two is of last calls.
    /// - Stalled calls: those that hang already are no longer seen.
    /// - The count of [dropped calls](crate::monitor::Tally::dropped).
    /// - Probing: outcomes are discarded, and the next admission begins the way back by the new
    ///   policy. Probes in flight do not hold its permits.
    /// - The trip of a [dry run](crate::policy::PolicyBuilder::dry_run) that ends: the window since
    ///   then is evaluated instead. If a dry run begins, calls return to the primary.
    /// - A ramp, if the new policy has none: all calls go to the primary. Otherwise it continues
    ///   with the new shares for the time left.
    ///
    /// # Cost
    /// None per call, but calls that end during the swap, which takes microseconds, may not be
    /// counted. Other commands and snapshots wait for it. Additional memory is allocated by the
    /// swap, or for buckets by each thread's next call, and kept.
    ///
    /// ```
    /// use failover::{Monitor, Outcome, Policy, Route};
    ///
    /// let monitor = Monitor::new(Policy::default());
    /// for _ in 0..5 {
    ///     monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    /// }
    /// assert_eq!(monitor.route(), Route::Primary);
    /// // Five failures trip the new policy.
    /// let old = monitor.handle().swap_policy(Policy::builder().minimum_calls(5).build()?);
    /// assert_eq!(old, Policy::default());
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn swap_policy(&self, policy: Policy) -> Policy {
        self.lease.swap_policy(policy)
    }

    /// The state from which another process, or this one after a restart, can continue: the route,
    /// the time until the revert, the window's counts with their ages, the streak, and the number
    /// of repeated trips. Contains no absolute time. Changes nothing.
    ///
    /// Serializable with the feature `serde`. Not saved: the policy, outcomes of probes, calls in
    /// flight, dropped calls, a `Retry-After`, and the primary's counts at the trip, so a
    /// [watched fallback](crate::service::watched::FallbackFailing) that compares itself with them
    /// stays.
    #[must_use]
    pub fn save(&self) -> Saved {
        self.lease.engine().save(self.lease.now())
    }

    /// Continues from a state saved `elapsed` ago, as far as the caller knows. The time until the
    /// revert is rounded up by less than a millisecond.
    ///
    /// - A forced route stays forced until it is released.
    /// - On the fallback, calls stay for the time left. If none is left, or if the primary was
    ///   being probed, the next admission begins the way back by the policy in force.
    /// - A ramp continues if the policy in force has one; otherwise all calls go to the primary.
    /// - On the primary, counts that fit a window of the same kind are restored, each bucket's into
    ///   the one in which it began, so they may expire up to one bucket's width early. They are
    ///   evaluated at once, and may trip.
    /// - The trip of a [dry run](crate::policy::PolicyBuilder::dry_run) diverts no call under a
    ///   policy that is not one.
    /// - The [backoff](crate::policy::PolicyBuilder::backoff) is restored, less the whole steps
    ///   that `elapsed` takes back.
    ///
    /// A new epoch begins (the number goes up by two), and calls in flight are not counted.
    /// Observers receive [`Cause::Restored`](crate::event::Cause::Restored).
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
    /// // … a restart, ten seconds later: calls stay on the fallback …
    /// let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
    /// monitor.handle().restore(&saved, Duration::from_secs(10));
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// assert_eq!(monitor.handle().snapshot().reverts_in, Some(Duration::from_secs(290)));
    /// ```
    pub fn restore(&self, saved: &Saved, elapsed: Duration) {
        self.lease.restore(saved, elapsed);
    }

    /// Continues as if `elapsed` had passed. Deadlines are rounded up to a millisecond, so the time may
    /// move on by up to a millisecond more, but not more than that between two transitions, however
    /// many steps it takes: a deadline at the distance of their sum has passed. For tests of code that
    /// holds a failover on the default clock.
    ///
    /// All that depends on time sees it: the revert and other deadlines, the window, calls in flight,
    /// the backoff. No new epoch begins, and calls in flight still count. Waiting calls are woken and
    /// look at the time; otherwise the next call or snapshot does.
    ///
    /// Only this failover's time moves: not another key's, not that of a
    /// [watched fallback](crate::service::layer::FailoverLayer::fallback_handle), and not the clock, by
    /// which meters and a cluster go. It stops 34 years after the failover was made.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Failover, Policy, Route};
    /// use tower::{Service, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let down = service_fn(async |_: ()| Err::<(), _>("down"));
    /// let fallback = service_fn(async |_: ()| Ok::<_, &str>(()));
    /// let mut service = Failover::new(down, fallback, Policy::default());
    /// for _ in 0..10 {
    ///     let _ = service.ready().await.unwrap().call(()).await;
    /// }
    /// assert_eq!(service.handle().snapshot().route, Route::Fallback);
    /// service.handle().advance(Duration::from_secs(5 * 60));
    /// assert_eq!(service.handle().snapshot().route, Route::Primary);
    /// # }
    /// ```
    pub fn advance(&self, elapsed: Duration) {
        self.lease.advance(elapsed);
    }

    /// Sends all calls to one route until [`release`](Self::release) or [`reset`](Self::reset); no
    /// trip or timer ends it. The window starts empty and counts for display. Returns false if the
    /// route was already forced so.
    pub fn force(&self, route: Route) -> bool {
        self.lease.engine().transitions.force(route)
    }

    /// Ends a forced route: calls go to the primary, with an empty window. Returns false if no
    /// route was forced.
    pub fn release(&self) -> bool {
        self.lease.engine().transitions.release(self.lease.now())
    }

    /// Ends the time on the fallback, or the probing, as if the time were over or the probes had
    /// succeeded. Returns false, and changes nothing, in other states.
    pub fn revert(&self) -> bool {
        self.lease.engine().transitions.revert_now(None, None, self.lease.now())
    }

    /// As [`revert`](Self::revert), with another cause.
    pub(crate) fn revert_for(&self, cause: Cause) -> bool {
        self.lease.engine().transitions.revert_now(None, Some(cause), self.lease.now())
    }

    /// Like [`revert`](Self::revert), only if this is the current [epoch](Snapshot::epoch): a slow
    /// decision cannot end a later stay on the fallback.
    pub fn revert_if(&self, epoch: u32) -> bool {
        self.lease.engine().transitions.revert_now(Some(epoch), None, self.lease.now())
    }

    /// Returns to the primary from any state, with an empty window and no forced route.
    pub fn reset(&self) {
        self.lease.engine().transitions.reset();
    }

    /// Adds an observer of transitions for the lifetime of the failover.
    pub fn observe(&self, observer: impl Observe) {
        self.lease.engine().transitions.observers.add(Arc::new(observer));
    }

    /// The time that a trip would have now.
    #[cfg(feature = "cluster")]
    pub(crate) fn next_interval(&self) -> Duration {
        self.lease.engine().transitions.next_interval(self.lease.now())
    }

    /// Sends calls to the fallback for `left`, since the fleet does.
    #[cfg(feature = "cluster")]
    pub(crate) fn enter(&self, left: Duration, tally: Tally, scope: Option<Arc<str>>) -> bool {
        self.lease.engine().transitions.enter(self.lease.now(), left, tally, scope)
    }

    /// Ends the time on the fallback `left` from now.
    #[cfg(feature = "cluster")]
    pub(crate) fn set_deadline(&self, left: Duration) -> bool {
        self.lease.engine().transitions.set_deadline(self.lease.now(), left)
    }
}
