//! The algorithm: window + phase + policy, with the time as an argument.
//!
//! # Why no trip is missed
//! A call counts first and is judged afterwards; between the two stands a `SeqCst` fence. Of two
//! calls that are judged at the same time at least one therefore sees the other's count.
//!
//! Not every call needs to be judged. A success can't raise the failure rate; it can only make up
//! the minimum of calls in a window whose rate exceeds the threshold already. Such a window is
//! marked uneasy in the phase, which every call reads anyway, and while it is, every call is
//! judged. A call that opens a bucket is judged too, since the window slid and may have lost
//! successes. So it costs a healthy window nothing, and:
//!
//! - if the window at rest exceeds the threshold and holds the minimum, the route is the
//!   fallback, or the phase is uneasy and the very next call trips;
//! - unease is set and taken away by whoever judged, and judged once more afterwards: two calls
//!   that judged differently can't leave the wrong mark behind.
//!
//! # Why no trip is made twice
//! A trip is a compare-and-swap of the phase, from the one that was judged to one of the next
//! epoch. One thread wins it, and tells the observers.

use std::time::Duration;

use crate::clock::Moment;
use crate::event::{Cause, Event, Observers};
use crate::phase::{Epoch, Kind, Phase};
use crate::slot;
use crate::sync::{AtomicU64, Ordering, fence};
use crate::waiters::Waiters;
use crate::window::{Span, TimeWindow};
use crate::{Policy, Ratio, Route, Snapshot, Tally};

/// Apart from all that is written often: every call reads this line.
#[derive(Debug)]
#[repr(align(64))]
struct Line<T>(T);

/// All that clones of one service share.
#[derive(Debug)]
pub(crate) struct Shared {
    phase: Line<AtomicU64>,
    /// The moment that `at` counts from, in the clock's nanoseconds.
    origin: AtomicU64,
    rules: Rules,
    window: TimeWindow,
    pub(crate) waiters: Waiters,
    pub(crate) observers: Observers,
}

/// The policy's numbers as atomics: it is used again for another policy (see `pool`). A
/// thread that reads a mixture is of an epoch that has passed, and its decision changes nothing.
#[derive(Debug)]
struct Rules {
    numerator: AtomicU64,
    denominator: AtomicU64,
    minimum_calls: AtomicU64,
    revert_nanos: AtomicU64,
}

impl Rules {
    fn new(policy: &Policy) -> Self {
        let rules = Self {
            numerator: AtomicU64::new(0),
            denominator: AtomicU64::new(1),
            minimum_calls: AtomicU64::new(1),
            revert_nanos: AtomicU64::new(0),
        };
        rules.set(policy);
        rules
    }

    fn set(&self, policy: &Policy) {
        // Ordering: Release pairs with the Acquire in the readers: whoever sees a new number also
        // sees that the old epoch is over, so that its compare-and-swap fails.
        let rate = policy.failure_rate();
        self.numerator.store(u64::from(rate.numerator()), Ordering::Release);
        self.denominator.store(u64::from(rate.denominator()), Ordering::Release);
        self.minimum_calls.store(policy.minimum_calls(), Ordering::Release);
        let revert = u64::try_from(policy.revert_after().as_nanos()).unwrap_or(u64::MAX);
        self.revert_nanos.store(revert, Ordering::Release);
    }

    fn failure_rate(&self) -> Ratio {
        let part = |number: &AtomicU64| u32::try_from(number.load(Ordering::Acquire)).unwrap_or(1);
        // The denominator is never zero, mixture or not.
        Ratio::new(part(&self.numerator), part(&self.denominator)).unwrap_or(Ratio::HALF)
    }

    fn revert_after(&self) -> Duration {
        Duration::from_nanos(self.revert_nanos.load(Ordering::Acquire))
    }

    fn judge(&self, tally: &Tally) -> Verdict {
        if !tally.exceeds(self.failure_rate()) {
            Verdict::Calm
        } else if tally.calls() < self.minimum_calls.load(Ordering::Acquire) {
            Verdict::Uneasy
        } else {
            Verdict::Trip
        }
    }
}

/// What the window says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The rate does not exceed the threshold: no success can change that.
    Calm,
    /// The rate exceeds the threshold, and calls are missing to the minimum.
    Uneasy,
    /// The rate exceeds the threshold.
    Trip,
}

impl Shared {
    /// `threads`: how many threads can count before more memory is needed.
    pub(crate) fn new(policy: &Policy, origin: Moment, threads: usize) -> Self {
        Self {
            phase: Line(AtomicU64::new(Phase::FIRST.word())),
            origin: AtomicU64::new(origin.as_nanos()),
            rules: Rules::new(policy),
            window: TimeWindow::new(Span::new(policy), threads),
            waiters: Waiters::default(),
            observers: Observers::default(),
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        // Ordering: Acquire, so that who sees an epoch sees what was set up before it began.
        Phase::from_word(self.phase.0.load(Ordering::Acquire))
    }

    /// Ordering: `AcqRel`, so that what was read before a transition is not read after it, and
    /// what was set up is seen by those who see the transition.
    fn swap(&self, from: Phase, to: Phase) -> bool {
        let (from, to) = (from.word(), to.word());
        self.phase.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn at(&self, now: Moment) -> u64 {
        // Ordering: Relaxed: it was set before the epoch began that the caller has seen.
        now.nanos_since(Moment::from_nanos(self.origin.load(Ordering::Relaxed)))
    }

    /// The route of a call that starts now, and its epoch. Reverts if the time on the fallback is
    /// over. `now` is read only where a timer runs.
    #[inline]
    pub(crate) fn admit(&self, now: impl FnOnce() -> Moment) -> (Route, Epoch) {
        let phase = self.phase();
        match phase.kind() {
            Kind::Fallback => self.admit_on_fallback(phase, now()),
            _ => (phase.route(), phase.epoch()),
        }
    }

    fn admit_on_fallback(&self, mut phase: Phase, now: Moment) -> (Route, Epoch) {
        while phase.is_due(self.at(now)) {
            let reverted = phase.next(Kind::Primary);
            if self.swap(phase, reverted) {
                self.announce(phase, reverted, Cause::Reverted);
            }
            phase = self.phase();
        }
        (phase.route(), phase.epoch())
    }

    /// Whether a call of that epoch still counts.
    #[inline]
    pub(crate) fn counts(&self, epoch: Epoch) -> bool {
        let phase = self.phase();
        phase.epoch() == epoch && matches!(phase.kind(), Kind::Primary | Kind::ForcedPrimary)
    }

    /// Counts a call of that epoch that ended now, and trips if the window says so.
    #[inline]
    pub(crate) fn count(&self, epoch: Epoch, now: Moment, failed: bool) {
        let at = self.at(now);
        let opened = slot::with(|slot| self.window.count(slot, epoch, at, failed));
        // The phase is read after counting: see the module's documentation.
        if failed || opened || self.phase().is_uneasy() {
            self.judge(epoch, at);
        }
    }

    #[cold]
    fn judge(&self, epoch: Epoch, at: u64) {
        loop {
            // Ordering: SeqCst. Of two threads that counted, each followed by this fence, at least
            // one sees the other's count; likewise a count and a change of unease.
            fence(Ordering::SeqCst);
            let phase = self.phase();
            if phase.epoch() != epoch || phase.kind() != Kind::Primary {
                return;
            }
            let tally = self.window.latest(epoch);
            match self.rules.judge(&tally) {
                Verdict::Trip => {
                    let revert_after = self.rules.revert_after();
                    let tripped = phase.tripped(at, revert_after);
                    if self.swap(phase, tripped) {
                        let cause = Cause::Tripped { tally, revert_after };
                        return self.announce(phase, tripped, cause);
                    }
                }
                verdict => {
                    let uneasy = verdict == Verdict::Uneasy;
                    if phase.is_uneasy() == uneasy {
                        return;
                    }
                    // Whoever wins or loses this judges once more.
                    self.swap(phase, phase.with_unease(uneasy));
                }
            }
        }
    }

    /// Sends all calls to one route until it is released. True if that changed anything.
    pub(crate) fn force(&self, route: Route) -> bool {
        let kind = match route {
            Route::Primary => Kind::ForcedPrimary,
            Route::Fallback => Kind::ForcedFallback,
        };
        self.transition(Cause::Forced, |phase| (phase.kind() != kind).then(|| phase.next(kind)))
    }

    /// Ends a forced route. True if there was one.
    pub(crate) fn release(&self) -> bool {
        self.transition(Cause::Released, |phase| {
            let forced = matches!(phase.kind(), Kind::ForcedPrimary | Kind::ForcedFallback);
            forced.then(|| phase.next(Kind::Primary))
        })
    }

    /// Back to the primary with an empty window, whatever the phase was.
    pub(crate) fn reset(&self) {
        self.transition(Cause::Released, |phase| Some(phase.next(Kind::Primary)));
    }

    fn transition(&self, cause: Cause, step: impl Fn(Phase) -> Option<Phase>) -> bool {
        loop {
            let phase = self.phase();
            let Some(next) = step(phase) else { return false };
            if self.swap(phase, next) {
                self.announce(phase, next, cause);
                return true;
            }
        }
    }

    fn announce(&self, from: Phase, phase: Phase, cause: Cause) {
        self.waiters.wake_all();
        let epoch = phase.epoch().number();
        self.observers.tell(&Event { epoch, from: from.route(), route: phase.route(), cause });
    }

    /// What is true now. After the deadline that is the primary and an empty window, whether or
    /// not a call has made the revert yet.
    pub(crate) fn snapshot(&self, now: Moment) -> Snapshot {
        loop {
            let (phase, at) = (self.phase(), self.at(now));
            let due = phase.is_due(at);
            let tally = match phase.route() {
                Route::Primary => self.window.tally(phase.epoch(), at),
                Route::Fallback => Tally::default(),
            };
            // The counts belong to the phase only if it still is the same.
            if self.phase().with_unease(false) == phase.with_unease(false) {
                return Snapshot {
                    route: if due { Route::Primary } else { phase.route() },
                    forced: matches!(phase.kind(), Kind::ForcedPrimary | Kind::ForcedFallback),
                    tally,
                    reverts_in: phase.reverts_in(at).filter(|_| !due),
                    epoch: phase.epoch().number(),
                };
            }
        }
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

    /// Begins a new use of a retired state, by a policy that it has room for.
    pub(crate) fn renew(&self, policy: &Policy, origin: Moment) {
        // Ordering: who sees anything of the new rules also sees that the old epoch is over.
        fence(Ordering::Release);
        self.rules.set(policy);
        self.window.cut(Span::new(policy));
        self.origin.store(origin.as_nanos(), Ordering::Release);
        let phase = self.phase();
        // Nobody else changes a retired phase.
        self.phase.0.store(phase.next(Kind::Primary).word(), Ordering::Release);
    }

    /// Whether a policy's window fits, without wasting half of the memory.
    pub(crate) fn fits(&self, policy: &Policy) -> bool {
        let (room, buckets) = (self.window.capacity(), policy.buckets() as usize);
        buckets <= room && room <= buckets.saturating_mul(2)
    }

    /// The memory that it holds, in bytes, the observers and waiting tasks not included.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.window.bytes()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_needs_less_than_8_kib_for_16_threads() {
        let shared = Shared::new(&Policy::default(), Moment::default(), 16);
        assert!(shared.bytes() < 8 * 1024, "{} bytes", shared.bytes());
    }
}
