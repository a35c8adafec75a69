//! The engines that no monitor uses, for the next monitors.
//!
//! The future of a call needs the engine until it ends, and may outlive the service. A reference
//! count would cost each call two atomic read-modify-writes: 11 ns on one thread, more than the rest
//! of a call, and far more if threads share the count. So an engine is allocated once and never
//! freed, and a future holds it by a plain `&'static`. When its last service, handle and monitor are
//! gone, it returns to the pool and serves the next monitor.
//!
//! Memory is bounded by the greatest number of monitors of each shape that were alive at once. After
//! half a million transitions all counts of an engine are erased, so no later epoch with the same
//! number meets them. A call that ends after its engine returned has an epoch that is over, and
//! changes nothing for the next user. One case remains: a thread that made a transition, and is
//! suspended before it announces it until the engine has a next user, notifies that user's observers.

use std::collections::BTreeMap;
use std::mem;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock::{AnyClock, Clock, Moment};
use crate::engine::Engine;
use crate::engine::saved::Saved;
use crate::engine::transitions::advanced::Advanced;
use crate::policy::Policy;
use crate::snapshot::Snapshot;

static RETURNED: Mutex<Returned> = Mutex::new(Returned::new());

/// By shape, so that an engine for a policy is found without a search.
type Returned = BTreeMap<Shape, Vec<&'static Engine>>;

/// What decides how much memory an engine is made with. After a swap of the policy it may have more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    buckets: u32,
    last_calls: u32,
    probes: u32,
    stalled_calls: bool,
}

impl Shape {
    fn of(policy: &Policy) -> Self {
        let last_calls = policy.last_calls().map_or(0, u32::next_power_of_two);
        Self {
            buckets: if last_calls == 0 { policy.buckets() } else { 0 },
            last_calls,
            probes: policy.probing().map_or(0, |probing| probing.max_in_flight),
            stalled_calls: policy.stalled_calls().is_some(),
        }
    }
}

/// The use of an engine. Services, handles and monitors share it; futures do not hold it.
#[derive(Debug)]
pub(crate) struct Lease {
    engine: &'static Engine,
    /// The shape of the policy that the engine was made for.
    shape: Shape,
    /// For operators. Calls have their own, of a type that is known.
    clock: AnyClock,
    policy: Mutex<Policy>,
    advanced: Mutex<Advanced>,
    name: OnceLock<Arc<str>>,
}

impl Lease {
    /// An engine for a policy, from the pool or new.
    pub(crate) fn take(policy: Policy, clock: impl Clock) -> Self {
        let (shape, origin) = (Shape::of(&policy), clock.now());
        let returned = returned().get_mut(&shape).and_then(Vec::pop);
        let engine = match returned {
            Some(engine) => {
                engine.renew(&policy, origin);
                engine
            }
            None => Box::leak(Box::new(Engine::new(&policy, origin, counting_threads()))),
        };
        let (clock, policy) = (AnyClock::new(clock), Mutex::new(policy));
        let advanced = Mutex::default();
        Self { engine, shape, clock, policy, advanced, name: OnceLock::new() }
    }

    pub(crate) fn engine(&self) -> &'static Engine {
        self.engine
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn now_precise(&self) -> Moment {
        self.clock.now_precise()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.engine.snapshot(self.now())
    }

    /// Names it.
    ///
    /// # Panics
    /// If it has another name already.
    pub(crate) fn name(&self, name: Arc<str>) {
        let given = self.name.get_or_init(|| Arc::clone(&name));
        assert!(*given == name, "a failover named {given:?} can't be {name:?} as well");
        self.engine.transitions.observers.set_name(name);
    }

    pub(crate) fn given_name(&self) -> Option<&str> {
        self.name.get().map(AsRef::as_ref)
    }

    pub(crate) fn policy(&self) -> Policy {
        self.lock().clone()
    }

    /// Replaces the policy, and returns the old one. Does nothing if they are equal.
    pub(crate) fn swap_policy(&self, policy: Policy) -> Policy {
        let mut running = self.lock();
        if *running == policy {
            return policy;
        }
        // The lock admits one swap at a time, in the order that `policy` shows.
        let swapped = self.engine.swap_policy(&policy, self.now());
        let old = mem::replace(&mut *running, policy);
        drop(running);
        self.engine.thawed(swapped);
        old
    }

    pub(crate) fn restore(&self, saved: &Saved, elapsed: Duration) {
        // The lock admits one freeze at a time.
        let policy = self.lock();
        let restored = self.engine.restore(saved, elapsed, self.now());
        drop(policy);
        self.engine.thawed(restored);
    }

    /// Lets time pass at once.
    pub(crate) fn advance(&self, elapsed: Duration) {
        // No panic can leave it half-changed, so poisoning is ignored.
        let mut advanced = self.advanced.lock().unwrap_or_else(PoisonError::into_inner);
        self.engine.transitions.advance(&mut advanced, elapsed, self.now());
        drop(advanced);
        self.engine.transitions.waiters.wake_all();
    }

    // The policy is replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.engine.transitions.retire();
        if self.engine.transitions.is_worn_out() {
            self.engine.erase();
        }
        returned().entry(self.shape).or_default().push(self.engine);
    }
}

// No panic can leave the pool half-changed, so poisoning is ignored.
fn returned() -> MutexGuard<'static, Returned> {
    RETURNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many threads get a shard from the start: a runtime has one worker per processor as a rule, and a
/// few other threads call too. More threads add their own.
fn counting_threads() -> usize {
    // Cached: the call reads files and takes 30 us.
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let asked = || thread::available_parallelism().map_or(2, NonZero::get);
    PROCESSORS.get_or_init(asked).next_power_of_two().clamp(2, 8) * 2
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::ManualClock;
    use crate::engine::phase::{Kind, Phase};
    use crate::engine::time::{Began, Epoch};
    use crate::policy::{Probing, StallLimit};

    const NOW: Moment = Moment::from_nanos(0);

    fn take(policy: &Policy) -> Lease {
        Lease::take(policy.clone(), ManualClock::new())
    }

    fn address(lease: &Lease) -> usize {
        std::ptr::from_ref(lease.engine()) as usize
    }

    #[test]
    fn a_state_whose_policy_was_swapped_is_used_again() {
        // A size that no other test of this process uses.
        let cut =
            |buckets| Policy::builder().window(Duration::from_secs(60), buckets).build().unwrap();
        // Miri is slow.
        let (own, wide) = if cfg!(miri) { (cut(19), cut(41)) } else { (cut(1_009), cut(3_400)) };
        let mut states = BTreeSet::new();
        for _ in 0..20 {
            let lease = take(&own);
            states.insert(address(&lease));
            lease.swap_policy(wide.clone());
        }
        assert!(states.len() < 10, "{} states for one monitor at a time", states.len());
    }

    #[test]
    fn a_policy_of_another_shape_gets_another_state() {
        let base = || Policy::builder().window(Duration::from_millis(7_778), 7);
        let (after, share) = (Duration::from_secs(1), StallLimit::Calls(5));
        let policies = [
            base(),
            base().window(Duration::from_millis(7_778), 8),
            base().last_calls(100),
            base().last_calls(129),
            base().probing(Probing::new(4)),
            base().stalled_calls(after, share),
        ]
        .map(|builder| builder.build().unwrap());
        let states = || policies.each_ref().map(|policy| address(&take(policy)));
        let first = states();
        assert_eq!(BTreeSet::from(first).len(), policies.len());
        assert_eq!(Shape::of(&policies[2]), Shape::of(&base().last_calls(128).build().unwrap()));
        assert_eq!(states(), first, "and the same one again");
    }

    /// A worn-out engine is reused, and the counts of an idle thread do not reappear when the epochs have
    /// wrapped around to the same number.
    #[test]
    fn a_worn_out_state_is_used_again_and_shows_nothing_of_its_earlier_epochs() {
        let policy = Policy::builder().window(Duration::from_millis(7_777), 7).build().unwrap();
        let mut running = take(&policy);
        let (state, engine) = (address(&running), running.engine());
        let begun = engine.transitions.phase().epoch();
        let fail = || engine.count(begun, NOW, Began::UNKNOWN, true);
        thread::scope(|scope| scope.spawn(fail).join().unwrap());
        assert_eq!(engine.snapshot(NOW).tally.failures, 1);
        for _ in 0..2 {
            let epoch = engine.transitions.phase().epoch();
            let later = epoch.number() + (1 << (Epoch::BITS - 1)) - 100;
            engine.transitions.jump(Phase::of_epoch(later.into()));
            drop(running);
            running = take(&policy);
            assert_eq!(address(&running), state);
        }
        while engine.transitions.phase().epoch() != begun {
            engine.transitions.jump(engine.transitions.phase().next(Kind::Primary));
        }
        assert_eq!(engine.snapshot(NOW).tally.calls(), 0);
    }
}
