//! The counts: the window, the streak and the calls in flight; and the rules that evaluate them.

use std::sync::OnceLock;

use crate::clock::nanos;
use crate::engine::rules::{Options, Rules};
use crate::engine::streak::Streak;
use crate::engine::thread_id;
use crate::engine::time::{Epoch, When};
use crate::engine::window::{Flights, Kept, Window, Windows};
use crate::policy::Policy;

#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) rules: Rules,
    pub(super) streak: Streak,
    windows: Windows,
    /// Empty unless a policy limits stalled calls.
    flights: OnceLock<Flights>,
    threads: usize,
}

impl Evidence {
    /// `threads`: how many threads can count before more memory is needed.
    pub(super) fn new(policy: &Policy, threads: usize) -> Self {
        let evidence = Self {
            rules: Rules::new(policy),
            streak: Streak::new(),
            windows: Windows::new(policy, threads),
            flights: OnceLock::new(),
            threads,
        };
        evidence.watch_flights(policy);
        evidence
    }

    fn watch_flights(&self, policy: &Policy) {
        if let Some((after, _)) = policy.stalled_calls() {
            let after = nanos(after);
            self.flights.get_or_init(|| Flights::new(after, self.threads)).cut(after);
        }
    }

    /// The options of a policy, with the slot of the window that it is to have.
    pub(super) fn options(&self, policy: &Policy) -> Options {
        Options::new(policy, self.windows.slot(policy))
    }

    /// Counts by another policy. The caller begins a new epoch before and after this.
    pub(super) fn adopt(&self, policy: &Policy, options: Options) {
        self.windows.adopt(options.slot(), policy);
        self.watch_flights(policy);
        self.rules.set(policy);
    }

    /// The window of the policy in force.
    #[inline]
    pub(super) fn window(&self, options: Options) -> &Window {
        self.windows.at(options.slot())
    }

    /// The calls in flight, if the policy in force limits stalled calls.
    #[inline]
    pub(super) fn flights(&self, options: Options) -> Option<&Flights> {
        if options.stalls() { self.flights.get() } else { None }
    }

    /// The length of the streak in `epoch`; 0 if the policy does not limit it.
    pub(super) fn streak(&self, options: Options, epoch: Epoch) -> u64 {
        if options.consecutive() { self.streak.length(epoch) } else { 0 }
    }

    /// Counts a call if one addition suffices. Returns whether it has to be evaluated, or `None` if
    /// it was not counted: another condition, a new bucket, or a thread's first call.
    #[inline]
    pub(super) fn try_count(&self, options: Options, when: When, failed: bool) -> Option<bool> {
        if !options.plain() {
            return None;
        }
        self.windows.first.try_count(thread_id::number()?, when, failed)
    }

    /// Puts what a window held into an epoch that has not begun. The window of a policy that does not
    /// count slow calls never holds one.
    pub(super) fn seed(&self, options: Options, when: When, kept: Kept) {
        let kept = if options.slow() { kept } else { kept.without_slow() };
        thread_id::with(|thread| self.window(options).seed(thread, when, &kept));
    }

    /// Erases the counts of all epochs of a retired engine.
    pub(super) fn erase(&self, epoch: Epoch) {
        self.windows.erase();
        self.streak.begin(epoch, 0);
        if let Some(flights) = self.flights.get() {
            flights.erase();
        }
    }

    /// The allocated memory in bytes, without `self`.
    pub(super) fn bytes(&self) -> usize {
        self.windows.bytes() + self.flights.get().map_or(0, Flights::bytes)
    }
}
