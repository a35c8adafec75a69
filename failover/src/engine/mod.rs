//! The algorithm: window + phase + policy, with the time as an argument. What was counted is evaluated
//! in `evaluate`.

pub(crate) mod carried;
mod evaluate;
mod look;
pub(crate) mod observers;
mod orders;
pub(crate) mod phase;
pub(crate) mod pool;
pub(crate) mod reconfigure;
mod recover;
pub(crate) mod recovery;
mod restore;
pub(crate) mod rules;
pub(crate) mod saved;
pub(crate) mod streak;
pub(crate) mod sync;
pub(crate) mod thread_id;
pub(crate) mod ticket;
pub(crate) mod waiters;
pub(crate) mod window;

#[cfg(all(test, failover_loom))]
mod loom;

use std::sync::OnceLock;
use std::time::Duration;

use crate::clock::Moment;
use crate::engine::carried::Carried;
use crate::engine::observers::Observers;
use crate::engine::phase::{Epoch, Kind, Phase};
use crate::engine::recovery::Recovery;
use crate::engine::rules::{Options, Rules, nanos};
use crate::engine::streak::Streak;
use crate::engine::sync::{AtomicU64, Ordering, Setting, fence, yield_now};
use crate::engine::waiters::Waiters;
use crate::engine::window::{Flights, Sample, Window, Windows};
use crate::event::{Cause, Event};
use crate::policy::Policy;
use crate::route::Route;

/// What every call reads, apart from all that is written often.
#[derive(Debug)]
#[repr(align(64))]
struct Front {
    phase: AtomicU64,
    options: Setting,
}

/// All that clones of one service share.
#[derive(Debug)]
pub(crate) struct Engine {
    front: Front,
    /// The moment that `at` counts from, in the clock's nanoseconds.
    origin: Setting,
    pub(crate) rules: Rules,
    pub(crate) windows: Windows,
    pub(crate) streak: Streak,
    pub(crate) recovery: Recovery,
    /// Only where the policy asks for stalled calls.
    flights: OnceLock<Flights>,
    threads: usize,
    pub(crate) carried: Carried,
    /// The number of the epoch in which nothing was left of any epoch.
    erased_in: Setting,
    /// Whether the epochs have come round to that one since: 1 if so.
    came_round: Setting,
    pub(crate) waiters: Waiters,
    pub(crate) observers: Observers,
}

/// When a call began, in nanoseconds since the monitor's origin. Unknown where nothing asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Began(u64);

impl Began {
    pub(crate) const UNKNOWN: Self = Self(u64::MAX);
}

impl Engine {
    /// `threads`: how many threads can count before more memory is needed.
    pub(crate) fn new(policy: &Policy, origin: Moment, threads: usize) -> Self {
        let front = Front {
            phase: AtomicU64::new(Phase::FIRST.word()),
            options: Setting::new(Options::new(policy, Windows::FIRST).word()),
        };
        let engine = Self {
            front,
            origin: Setting::new(origin.as_nanos()),
            rules: Rules::new(policy),
            windows: Windows::new(policy, threads),
            streak: Streak::new(),
            recovery: Recovery::new(policy),
            flights: OnceLock::new(),
            threads,
            carried: Carried::default(),
            erased_in: Setting::new(0),
            came_round: Setting::new(0),
            waiters: Waiters::new(),
            observers: Observers::default(),
        };
        engine.watch_flights(policy);
        engine
    }

    pub(crate) fn watch_flights(&self, policy: &Policy) {
        if let Some((after, _)) = policy.stalled_calls() {
            let after = nanos(after);
            self.flights.get_or_init(|| Flights::new(after, self.threads)).cut(after);
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        // Ordering: Acquire, so that who sees an epoch sees what was set up before it began.
        Phase::from_word(self.front.phase.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn options(&self) -> Options {
        // Ordering: Acquire, as with the rules.
        Options::from_word(self.front.options.load(Ordering::Acquire))
    }

    pub(crate) fn set_options(&self, options: Options) {
        // Ordering: Release pairs with the Acquire above.
        self.front.options.store(options.word(), Ordering::Release);
    }

    /// The window of the policy in force.
    #[inline]
    pub(crate) fn window(&self) -> &Window {
        self.windows.at(self.options().slot())
    }

    /// The phase, once no other policy is being put in force: for those who are no calls.
    pub(crate) fn settled(&self) -> Phase {
        loop {
            let phase = self.phase();
            if phase.kind() != Kind::Frozen {
                return phase;
            }
            yield_now();
        }
    }

    /// Where a call goes in a phase whose deadline has not passed.
    pub(crate) fn route(&self, phase: Phase) -> Route {
        let rehearsed = phase.kind() == Kind::Fallback && self.options().dry_run();
        if rehearsed { Route::Primary } else { phase.route() }
    }

    /// Ordering: `AcqRel`, so that what was read before a transition is not read after it, and
    /// what was set up is seen by those who see the transition.
    pub(crate) fn swap(&self, from: Phase, to: Phase) -> bool {
        let (before, after) = (from.word(), to.word());
        let phase = &self.front.phase;
        let swapped = phase.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed);
        if self.age(to) < self.age(from) && swapped.is_ok() {
            // Ordering: Relaxed: the pool asks when nobody else uses it any more.
            self.came_round.store(1, Ordering::Relaxed);
        }
        swapped.is_ok()
    }

    #[inline]
    pub(crate) fn at(&self, now: Moment) -> u64 {
        // Ordering: Relaxed: it was set before the epoch began that the caller has seen.
        now.nanos_since(Moment::from_nanos(self.origin.load(Ordering::Relaxed)))
    }

    /// The moment of [`at`](Self::at).
    pub(crate) fn moment(&self, at: u64) -> Moment {
        Moment::from_nanos(self.origin.load(Ordering::Relaxed).saturating_add(at))
    }

    /// The epoch of a call that starts now, if it goes to the primary whatever the time is.
    #[inline]
    pub(crate) fn admit_at_once(&self) -> Option<Epoch> {
        let phase = self.phase();
        (phase.is_timeless_primary() && !self.options().stalls()).then(|| phase.epoch())
    }

    /// A call of that epoch begins at the primary now: when, and whether it is counted as in
    /// flight, so that [`land`](Self::land) has to be told of its end. Only for policies that ask
    /// when a call began.
    #[inline(never)]
    pub(crate) fn begin(&self, epoch: Epoch, now: Moment) -> (Began, bool) {
        let at = self.at(now);
        match self.flights() {
            Some(flights) if self.counts(epoch) => {
                (Began(thread_id::with(|thread| flights.admit(thread, epoch, at))), true)
            }
            _ => (Began(at), false),
        }
    }

    /// A call that was in flight is no longer.
    #[inline(never)]
    pub(crate) fn land(&self, epoch: Epoch, began: Began) {
        if let Some(flights) = self.flights()
            && self.counts(epoch)
        {
            thread_id::with(|thread| flights.end(thread, epoch, began.0));
        }
    }

    pub(crate) fn flights(&self) -> Option<&Flights> {
        if self.options().stalls() { self.flights.get() } else { None }
    }

    /// Whether a call that began then and is dropped now is a failure.
    pub(crate) fn is_failure_when_dropped(&self, began: Began, now: Moment) -> bool {
        let ran = self.at(now).saturating_sub(began.0);
        began != Began::UNKNOWN && self.rules.is_failure_when_dropped(ran)
    }

    /// Whether a call of that epoch still counts. Only a call to the primary has an epoch to ask
    /// with, so that its phase, if it still runs, is one that counts.
    #[inline]
    pub(crate) fn counts(&self, epoch: Epoch) -> bool {
        self.phase().epoch() == epoch
    }

    /// The epoch in which the result of a call counts that was admitted in that one: the same while
    /// it runs, or the running one if only swaps of the policy lie between.
    #[inline]
    pub(crate) fn counting(&self, epoch: Epoch) -> Option<Epoch> {
        if self.counts(epoch) { Some(epoch) } else { self.carry(epoch) }
    }

    /// Counts a call of that epoch that ended now, and trips if what was counted says so.
    #[inline]
    pub(crate) fn count(&self, epoch: Epoch, now: Moment, began: Began, failed: bool) {
        let at = self.at(now);
        match self.count_at_once(epoch, at, failed) {
            // The phase is read after counting: see `evaluate`.
            Some(false) if !self.phase().is_armed() => {}
            Some(_) => self.evaluate(epoch, at, 0),
            None => self.count_by_options(epoch, at, began, failed),
        }
    }

    /// Counts a call where no more than that is asked for, and whether it has to be evaluated. None,
    /// and nothing counted, where it takes more: another condition, a new bucket, a thread's first.
    #[inline]
    fn count_at_once(&self, epoch: Epoch, at: u64, failed: bool) -> Option<bool> {
        if !self.options().plain() {
            return None;
        }
        self.windows.first.count_at_once(thread_id::number()?, epoch, at, failed)
    }

    // Not inlined, here and below: what is not asked for takes no room in what every call runs.
    #[inline(never)]
    fn count_by_options(&self, epoch: Epoch, at: u64, began: Began, failed: bool) {
        let slow = began != Began::UNKNOWN && self.rules.is_slow(at.saturating_sub(began.0));
        let sample = Sample { failed, slow };
        let due = match thread_id::number() {
            Some(thread) => self.put(thread, epoch, at, sample),
            None => self.put_first(epoch, at, sample),
        };
        let streak =
            if self.options().consecutive() { self.count_streak(epoch, failed) } else { 0 };
        // As above.
        if due || (streak > 0 && self.rules.is_too_long(streak)) || self.phase().is_armed() {
            self.evaluate(epoch, at, streak);
        }
    }

    fn put(&self, thread: usize, epoch: Epoch, at: u64, sample: Sample) -> bool {
        self.window().count(thread, epoch, at, sample, |epoch| self.counts(epoch))
    }

    /// A thread's first call.
    #[cold]
    #[inline(never)]
    fn put_first(&self, epoch: Epoch, at: u64, sample: Sample) -> bool {
        thread_id::with(|thread| self.put(thread, epoch, at, sample))
    }

    /// A call of that epoch failed, and the primary wants to be left alone for a while.
    #[inline(never)]
    pub(crate) fn note_retry_after(&self, epoch: Epoch, now: Moment, retry_after: Duration) {
        self.recovery.intervals.note_retry_after(epoch, self.at(now), retry_after);
    }

    /// How many failures in a row the call has made up; 0 after a success.
    #[inline(never)]
    fn count_streak(&self, epoch: Epoch, failed: bool) -> u64 {
        if failed {
            self.streak.extend(epoch, || self.counts(epoch))
        } else {
            self.streak.end(epoch);
            0
        }
    }

    pub(crate) fn announce(&self, from: Phase, phase: Phase, cause: Cause) {
        if cause != Cause::PolicySwapped {
            // Nothing lives on in an epoch that a transition began.
            self.carried.forget();
        }
        self.waiters.wake_all();
        let (from, to) = (from.kind().state(), phase.kind().state());
        let epoch = phase.epoch().number();
        self.observers.notify(&Event { epoch, from, to, route: self.route(phase), cause });
    }

    /// Ends its use: what is still under way will count for nothing, and nobody is told any more.
    pub(crate) fn retire(&self) {
        loop {
            let phase = self.phase();
            if self.swap(phase, phase.next(Kind::Retired)) {
                break;
            }
        }
        self.observers.clear();
        self.waiters.wake_all();
    }

    /// How many epochs have begun since all was erased, modulo all.
    fn age(&self, phase: Phase) -> u32 {
        let erased_in = Epoch::from_number(self.erased_in.load(Ordering::Relaxed));
        phase.epoch().epochs_after(erased_in)
    }

    /// Whether so many epochs have been that the next use could meet one that it had before, with
    /// what a thread that idles since then has counted in it.
    pub(crate) fn is_worn_out(&self) -> bool {
        self.came_round.load(Ordering::Relaxed) != 0
            || self.age(self.phase()) >= 1 << (Epoch::BITS - 1)
    }

    /// Erases all that was counted in any epoch, of a retired state. What a call that began before
    /// still counts at this moment is of an epoch that is over, and erased before the epochs have come
    /// round to it.
    pub(crate) fn erase(&self) {
        self.windows.erase();
        self.streak.begin(self.phase().epoch(), 0);
        self.recovery.erase();
        if let Some(flights) = self.flights.get() {
            flights.erase();
        }
        // Ordering: Relaxed, as in `swap`: the pool's lock orders it before the next use.
        self.erased_in.store(self.phase().epoch().number().into(), Ordering::Relaxed);
        self.came_round.store(0, Ordering::Relaxed);
    }

    /// Begins a new use of a retired state, by a policy of the shape that it was made for.
    pub(crate) fn renew(&self, policy: &Policy, origin: Moment) {
        // Ordering: who sees anything of the new rules also sees that the old epoch is over.
        fence(Ordering::Release);
        self.set_options(Options::new(policy, Windows::FIRST));
        self.rules.set(policy);
        self.carried.forget();
        self.windows.adopt(Windows::FIRST, policy);
        self.watch_flights(policy);
        self.recovery.renew(policy);
        self.origin.store(origin.as_nanos(), Ordering::Release);
        let phase = self.phase();
        // Nobody else changes a retired phase.
        self.front.phase.store(phase.next(Kind::Primary).word(), Ordering::Release);
    }

    /// The memory that it holds, in bytes, the observers and waiting tasks not included.
    pub(crate) fn bytes(&self) -> usize {
        let flights = self.flights.get().map_or(0, Flights::bytes);
        size_of::<Self>() + self.windows.bytes() + self.recovery.bytes() + flights
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::policy::{Probing, StallLimit};

    #[test]
    fn the_default_policy_needs_less_than_8_kib_for_16_threads() {
        let engine = Engine::new(&Policy::default(), Moment::default(), 16);
        assert!(engine.bytes() < 8 * 1024, "{} bytes", engine.bytes());
    }

    fn stalling() -> Policy {
        let (after, limit) = (Duration::from_secs(1), StallLimit::Calls(5));
        Policy::builder().stalled_calls(after, limit).build().expect("a sound policy")
    }

    #[test]
    fn its_memory_is_that_of_its_parts() {
        let policy = Policy::builder().probing(Probing::new(4)).build().unwrap();
        let (plain, probing) = (Policy::default(), policy);
        let bytes = |policy: &Policy| Engine::new(policy, Moment::default(), 2).bytes();
        assert_eq!(bytes(&probing), bytes(&plain) + 4 * 8);
        let flights = Flights::new(1, 2).bytes();
        assert_eq!(bytes(&stalling()), bytes(&plain) + flights);
        assert!(bytes(&plain) > size_of::<Engine>() + 2 * 10 * 32);
    }

    #[test]
    fn it_is_worn_out_after_half_of_all_epochs_or_when_they_came_round() {
        let engine = Engine::new(&Policy::default(), Moment::default(), 1);
        let half = 1 << 19;
        for (epoch, worn) in
            [(1, false), (half - 1, false), (half, true), (2 * half - 1, true), (7, true)]
        {
            let phase = engine.phase();
            // To the same epoch, as arming does: that is no coming round.
            assert!(engine.swap(phase, phase.with_armed(true)));
            assert!(engine.swap(engine.phase(), Phase::of_epoch(epoch)));
            assert_eq!(engine.is_worn_out(), worn, "{epoch}");
        }
        engine.erase();
        for (epoch, worn) in [(8, false), (half + 6, false), (half + 7, true), (6, true), (8, true)]
        {
            assert!(engine.swap(engine.phase(), Phase::of_epoch(epoch)));
            assert_eq!(engine.is_worn_out(), worn, "{epoch}");
        }
    }

    #[test]
    fn a_call_that_begins_after_its_epoch_is_not_in_flight() {
        let engine = Engine::new(&stalling(), Moment::default(), 1);
        let running = engine.phase().epoch();
        assert!(engine.begin(running, Moment::default()).1);
        assert!(!engine.begin(Epoch::from_number(9), Moment::default()).1);
        let ages = Moment::from_nanos(10_000_000_000);
        assert_eq!(engine.flights().unwrap().stalled(running, engine.at(ages)).calls, 1);
    }
}
