//! Reverts early if the fallback is failing too.
//!
//! The fallback has its own monitor, which routes no calls. When its policy's condition is met, the
//! time on the fallback ends early, for the cause [`Cause::FallbackFailing`]. Each transition of the first
//! monitor empties the second one's window.

use std::sync::{Arc, Mutex, PoisonError};

pub use crate::service::observed::{ByResult, Observed, ObservedFuture};

use crate::classify::ErrorsAsFailures;
use crate::clock::{Clock, CoarseClock};
use crate::engine::observers::Subject;
use crate::engine::pool::Lease;
use crate::event::{Cause, Event};
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::policy::Policy;
use crate::route::Route;
use crate::service::layer::FailoverLayer;
use crate::tally::Tally;

/// The reaction to a fallback that is failing too: see [`FailoverLayer::watch_fallback`]. Without
/// it, calls stay on the fallback until their time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FallbackFailing {
    /// Calls return to the primary: with a ramp if the policy has one, and without probing.
    GoBack,
    /// Calls return only if the fallback's share of failures exceeds the primary's at the trip.
    /// Compared in integers.
    TakeLesser,
}

impl<F, C, Clk: Clock> FailoverLayer<F, C, Clk> {
    /// Watches the fallback too, with its own window and conditions; `then` is the reaction when
    /// one of them is met. Every error of the fallback is a failure; see
    /// [`watch_fallback_by`](Self::watch_fallback_by) for another classifier.
    ///
    /// Only the conditions and the window of `policy` apply. The window is empty at the beginning
    /// of each stay on the fallback, and after a condition was met. Rescues by the fallback are
    /// counted too, but change no route while calls are on the primary.
    ///
    /// Cost: a call to the fallback is counted like one to the primary.
    ///
    /// ```
    /// use failover::{FailoverLayer, Policy, Route};
    /// use failover::watched::FallbackFailing;
    /// use tower::{Layer, Service, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let down = service_fn(|_: ()| async { Err::<(), _>(std::io::Error::other("down")) });
    /// let mut service = FailoverLayer::with_fallback(down, Policy::default())
    ///     .watch_fallback(Policy::default(), FallbackFailing::GoBack)
    ///     .layer(down);
    /// for _ in 0..10 {
    ///     let _ = service.ready().await.unwrap().call(()).await;
    /// }
    /// assert_eq!(service.handle().snapshot().route, Route::Fallback);
    /// for _ in 0..10 {
    ///     let _ = service.ready().await.unwrap().call(()).await;
    /// }
    /// assert_eq!(service.handle().snapshot().route, Route::Primary);
    /// # }
    /// ```
    #[must_use]
    pub fn watch_fallback(
        self,
        policy: Policy,
        then: FallbackFailing,
    ) -> FailoverLayer<WatchedFallback<F, ErrorsAsFailures, Clk>, C, Clk> {
        self.watch_fallback_by(policy, then, ErrorsAsFailures)
    }

    /// The same as [`watch_fallback`](Self::watch_fallback), with a classifier for the fallback.
    #[must_use]
    pub fn watch_fallback_by<D>(
        self,
        policy: Policy,
        then: FallbackFailing,
        classify_fallback: D,
    ) -> FailoverLayer<WatchedFallback<F, D, Clk>, C, Clk> {
        let observer = watch(&self.monitor, policy, then);
        let conclude = ByResult(classify_fallback);
        self.map_fallback(|fallback| Observed::new(fallback, observer, conclude, Route::Fallback))
    }
}

impl<F, D, C, Clk: Clock> FailoverLayer<WatchedFallback<F, D, Clk>, C, Clk> {
    /// The handle of the fallback's own window: its policy, which can be swapped, and its counts.
    /// In a [dry run](crate::policy::PolicyBuilder::dry_run) it does not end the time on the fallback.
    #[must_use]
    pub fn fallback_handle(&self) -> FailoverHandle {
        self.fallback.observer.handle()
    }

    /// The same failover with `fallback` as its fallback: the route, both windows, the observers and the name
    /// are shared with this layer. Calls that run at an earlier fallback end there, and count.
    ///
    /// # Examples
    /// ```
    /// use failover::watched::FallbackFailing;
    /// use failover::{FailoverLayer, Policy};
    /// use tower::Layer;
    ///
    /// let (policy, go_back) = (Policy::default(), FallbackFailing::GoBack);
    /// let one = FailoverLayer::with_fallback("one", policy.clone()).watch_fallback(policy, go_back);
    /// let another = one.replace_fallback("another");
    /// another.handle().reset();
    /// let service = another.layer("primary");
    /// # drop(service);
    /// ```
    #[must_use]
    pub fn replace_fallback<G>(
        &self,
        fallback: G,
    ) -> FailoverLayer<WatchedFallback<G, D, Clk>, C, Clk>
    where
        D: Clone,
        C: Clone,
    {
        let Observed { observer, conclude: ByResult(classify), .. } = &self.fallback;
        let conclude = ByResult(classify.clone());
        FailoverLayer {
            fallback: Observed::new(fallback, observer.clone(), conclude, Route::Fallback),
            classify: self.classify.clone(),
            monitor: self.monitor.clone(),
        }
    }
}

/// Makes the fallback's monitor and connects it to the failover's.
fn watch<Clk: Clock>(
    monitor: &Monitor<Clk>,
    policy: Policy,
    then: FallbackFailing,
) -> Monitor<Clk> {
    let handle = monitor.handle();
    let watched = Monitor::with_clock(policy, monitor.engine_ref().clock().clone());
    let failover = handle.weak();
    watched.warn_about(Arc::new(move || {
        let name = failover.upgrade().and_then(|lease| lease.given_name().map(Arc::from));
        Some(Subject { name, service: "fallback" })
    }));
    // The primary's window at the last trip.
    let at_trip = Arc::new(Mutex::new(Tally::default()));
    // The failover keeps the fallback's monitor alive, not the reverse.
    let (seen, own) = (Arc::clone(&at_trip), watched.handle());
    monitor.observe(move |event: &Event| {
        if let Cause::Tripped { tally, .. } = event.cause {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = tally;
        }
        // A swap of the policy says nothing about either service.
        if event.cause != Cause::PolicySwapped {
            own.reset();
        }
    });
    let failover = handle.weak();
    let own = watched.handle().weak();
    watched.observe(move |event: &Event| {
        let Cause::Tripped { condition, tally, .. } = event.cause else { return };
        let primary = *at_trip.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_back = match then {
            FallbackFailing::GoBack => true,
            FallbackFailing::TakeLesser => fails_more(tally, primary),
        };
        let handle = |lease: Arc<Lease>| FailoverHandle::new(lease);
        if goes_back && let Some(lease) = failover.upgrade() {
            handle(lease).revert_for(Cause::FallbackFailing { condition, tally });
        }
        // Start over, even if calls stay or were not on the fallback.
        if let Some(lease) = own.upgrade() {
            handle(lease).reset();
        }
    });
    watched
}

/// Whether `one` has a greater share of failures than `other`.
fn fails_more(one: Tally, other: Tally) -> bool {
    u128::from(one.failures) * u128::from(other.calls())
        > u128::from(other.failures) * u128::from(one.calls())
}

/// A fallback whose calls are counted in its own window. Made by [`FailoverLayer::watch_fallback`].
///
/// A dropped call is only shown as [`Tally::dropped`], unless the fallback's policy sets
/// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after).
pub type WatchedFallback<F, D = ErrorsAsFailures, Clk = CoarseClock> =
    Observed<F, Monitor<Clk>, ByResult<D>>;
