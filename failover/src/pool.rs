//! Where cores come from and go to.
//!
//! The future of a call needs the shared state until it ends, and it may outlive the service. Behind a
//! reference count each call would pay two atomic read-modify-writes, 11 ns alone and far more
//! where threads share one count: more than all the rest of a call together. So it is
//! allocated once and never freed: a future holds it by plain `&'static`. When the last service,
//! handle and monitor that use it are gone it comes back here, and serves the next monitor.
//!
//! Memory is therefore bounded by the greatest number of monitors that were alive at once, as it
//! is with an allocator, except that it does not go back to the system. A state that has been used
//! for half a million transitions is not used again, so that its next user meets no epoch of an
//! earlier one; its few kilobytes are lost. A call that ends after its state came back carries an
//! epoch that is over, and its result changes nothing for the next user. Only one that has made a
//! transition, and is suspended before it tells of it until the state has a next user, tells that
//! user's observers.

use std::borrow::Cow;
use std::mem;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock::Moment;
use crate::shared::Shared;
use crate::{Policy, Saved};

static RETURNED: Mutex<Vec<&'static Shared>> = Mutex::new(Vec::new());

/// The use of a shared state. Services, handles and monitors share it; futures don't hold it.
#[derive(Debug)]
pub(crate) struct Lease {
    shared: &'static Shared,
    policy: Mutex<Policy>,
    name: OnceLock<Cow<'static, str>>,
}

impl Lease {
    /// A state for a policy: one that came back, or a new one.
    pub(crate) fn take(policy: Policy, origin: Moment) -> Self {
        let returned = {
            let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
            let fitting = returned
                .iter()
                .position(|shared| shared.fits(&policy))
                .or_else(|| returned.iter().position(|shared| shared.can_fit(&policy)));
            fitting.map(|place| returned.swap_remove(place))
        };
        let shared = match returned {
            Some(shared) => {
                shared.renew(&policy, origin);
                shared
            }
            None => Box::leak(Box::new(Shared::new(&policy, origin, counting_threads()))),
        };
        Self { shared, policy: Mutex::new(policy), name: OnceLock::new() }
    }

    pub(crate) fn shared(&self) -> &'static Shared {
        self.shared
    }

    /// Names it.
    ///
    /// # Panics
    /// If it has another name already.
    pub(crate) fn name(&self, name: Cow<'static, str>) {
        if let Err(name) = self.name.set(name) {
            let given = self.given_name();
            assert!(given == Some(&*name), "a failover named {given:?} can't be {name:?} as well");
        }
    }

    pub(crate) fn given_name(&self) -> Option<&str> {
        self.name.get().map(AsRef::as_ref)
    }

    pub(crate) fn policy(&self) -> Policy {
        self.lock().clone()
    }

    /// Puts another policy in force, and gives back the one that was. Does nothing if it is the
    /// same.
    pub(crate) fn swap_policy(&self, policy: Policy, now: Moment) -> Policy {
        let mut running = self.lock();
        if *running == policy {
            return policy;
        }
        // The lock makes this one swap at a time, in the order of what `policy` says.
        let swapped = self.shared.swap_policy(&policy, now);
        let old = mem::replace(&mut *running, policy);
        drop(running);
        self.shared.resumed(swapped);
        old
    }

    pub(crate) fn restore(&self, saved: &Saved, elapsed: Duration, now: Moment) {
        // The lock: one at a time is held still.
        let policy = self.lock();
        let restored = self.shared.restore(saved, elapsed, now);
        drop(policy);
        self.shared.resumed(restored);
    }

    // It is replaced as a whole: poison says nothing here.
    fn lock(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.retire();
        if self.shared.is_worn_out() {
            return;
        }
        let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
        returned.push(self.shared);
    }
}

/// How many threads get their shard from the start: as a rule a runtime has a worker a processor,
/// and a few others call as well. More threads add theirs when they come.
fn counting_threads() -> usize {
    thread::available_parallelism().map_or(2, NonZero::get).next_power_of_two().clamp(2, 8) * 2
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::phase::Phase;
    use crate::{Monitor, Outcome, Route};

    #[test]
    fn a_state_whose_policy_was_swapped_is_used_again() {
        // Of a size that no other test of this process uses.
        let cut =
            |buckets| Policy::builder().window(Duration::from_secs(60), buckets).build().unwrap();
        // Miri takes its time for each bucket.
        let (own, wide) = if cfg!(miri) { (cut(19), cut(41)) } else { (cut(1_009), cut(3_400)) };
        let mut states = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let monitor = Monitor::new(own.clone());
            states.insert(std::ptr::from_ref(monitor.watch().shared()) as usize);
            monitor.handle().swap_policy(wide.clone());
        }
        assert!(states.len() < 10, "{} states for one monitor at a time", states.len());
    }

    #[test]
    fn a_state_that_has_seen_half_of_all_epochs_is_not_used_again() {
        let policy = || Policy::builder().window(Duration::from_millis(7_777), 7).build().unwrap();
        let monitor = Monitor::new(policy());
        let shared = monitor.watch().shared();
        let worn = std::ptr::from_ref(shared) as usize;
        let half = 1 << 19;
        // Miri takes its time: there the last hundred of them.
        let begun = if cfg!(miri) { half - 100 } else { 0 };
        assert!(!cfg!(miri) || shared.swap(shared.phase(), Phase::of_epoch(begun)));
        for _ in 0..(half - begun) / 2 {
            monitor.handle().force(Route::Fallback);
            monitor.handle().release();
        }
        drop(monitor);
        for _ in 0..20 {
            let monitor = Monitor::new(policy());
            assert_ne!(std::ptr::from_ref(monitor.watch().shared()) as usize, worn);
            let ticket = monitor.admit().ticket().unwrap();
            monitor.record(ticket, Outcome::Failure);
        }
    }
}
