//! A monitor in the simplest form: lists of events, searched at every step.

mod back;
mod dropped;

use std::time::Duration;

use failover::event::{Cause, Condition};
use failover::monitor::Tally;
use failover::policy::StallLimit;
use failover::{Outcome, Policy, Ratio, Route, State};

use back::{Back, Dealt};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Primary,
    Fallback { deadline: u128 },
    Probing,
    Ramping { deadline: u128 },
    Forced(Route),
}

/// A call that was counted.
#[derive(Clone, Copy)]
struct Ended {
    /// Negative if it was restored from before the monitor's time.
    tick: i128,
    failed: bool,
    slow: bool,
}

/// A call that was admitted, and may still be in flight.
struct Admitted {
    tick: u128,
    ended: bool,
}

/// The right to record.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    epoch: u64,
    /// Unknown if the policy did not need it when the call was admitted.
    began: Option<u128>,
    /// The place in `Naive::admitted`; none of a probe.
    number: Option<usize>,
    /// Of a probe: the index and the lease of its permit.
    probe: Option<(usize, back::Lease)>,
}

pub(crate) struct Naive {
    policy: Policy,
    pub(crate) now: u128,
    pub(crate) phase: Phase,
    pub(crate) epoch: u64,
    /// The calls that counted in this epoch, in the order in which they ended.
    ended: Vec<Ended>,
    /// The neutral calls that were dropped in this epoch: when, and after how many that ended.
    dropped: Vec<(i128, usize)>,
    /// The calls admitted in this epoch.
    admitted: Vec<Admitted>,
    /// The latest tick in which an admission of this epoch evaluated stalled calls, on either route.
    looked: u128,
    back: Back,
    /// After a swap of the policy: the calls kept from before, the streak that they ended with, and
    /// the bucket that the swap opened.
    before: (usize, u64, i128),
    /// Earlier epochs that only swaps of the policy separate from this one.
    carried: Vec<u64>,
    /// The observed events.
    pub(crate) told: Vec<(Route, Cause)>,
}

fn tick_of(policy: &Policy, moment: i128) -> i128 {
    let length = i128::try_from(policy.window().as_nanos()).unwrap();
    (moment * i128::from(policy.buckets())).div_euclid(length)
}

/// The first moment of a bucket.
fn start(policy: &Policy, tick: i128) -> i128 {
    let length = i128::try_from(policy.window().as_nanos()).unwrap();
    -(-tick * length).div_euclid(i128::from(policy.buckets()))
}

fn exceeds(ratio: Ratio, part: u64, whole: u64) -> bool {
    u128::from(part) * u128::from(ratio.denominator())
        > u128::from(whole) * u128::from(ratio.numerator())
}

impl Naive {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: 0,
            phase: Phase::Primary,
            epoch: 0,
            ended: Vec::new(),
            dropped: Vec::new(),
            admitted: Vec::new(),
            looked: 0,
            back: Back::default(),
            before: (0, 0, 0),
            carried: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, phase: Phase, cause: Cause) {
        self.phase = phase;
        self.epoch += 1;
        self.ended.clear();
        self.dropped.clear();
        self.admitted.clear();
        self.looked = 0;
        self.before = (0, 0, 0);
        self.carried.clear();
        self.told.push((self.route_in_phase(), cause));
    }

    /// The current bucket. A step back of the clock does not close the open one.
    fn tick(&self) -> i128 {
        let tick = tick_of(&self.policy, i128::try_from(self.now).unwrap());
        self.ended
            .iter()
            .map(|e| e.tick)
            .max()
            .unwrap_or(self.before.2)
            .max(tick)
            .max(self.before.2)
    }

    fn inside(&self) -> Vec<Ended> {
        let (tick, buckets) = (self.tick(), i128::from(self.policy.buckets()));
        let ended = self.ended.iter().copied();
        match self.policy.last_calls() {
            Some(calls) => ended.skip(self.ended.len().saturating_sub(calls as usize)).collect(),
            None => ended.filter(|e| e.tick + buckets > tick).collect(),
        }
    }

    fn window(&self) -> Tally {
        let inside = self.inside();
        let mut tally = Tally::default();
        tally.failures = inside.iter().filter(|e| e.failed).count() as u64;
        tally.successes = inside.iter().filter(|e| !e.failed).count() as u64;
        tally.slow = inside.iter().filter(|e| e.slow).count() as u64;
        tally.dropped = self.dropped_inside();
        tally
    }

    fn run(&self) -> u64 {
        let (left, run, _) = self.before;
        let since = &self.ended[left..];
        let failures = since.iter().rev().take_while(|e| e.failed).count();
        failures as u64 + if failures == since.len() { run } else { 0 }
    }

    /// Saves, and restores this many nanoseconds later.
    pub(crate) fn restore(&mut self, elapsed: u128) {
        let is_back = matches!(self.phase, Phase::Primary | Phase::Ramping { .. });
        let counting = self.route_in_phase() == Route::Primary && !self.is_due();
        let (mut ended, run) = match counting {
            true => (self.inside(), self.policy.consecutive_failures().map_or(0, |_| self.run())),
            false => (Vec::new(), 0),
        };
        let at = i128::try_from(self.now).unwrap();
        for call in &mut ended {
            let age = (at - start(&self.policy, call.tick)).max(0);
            let elapsed = i128::try_from(elapsed).unwrap();
            call.tick = tick_of(&self.policy, at - age - elapsed);
        }
        self.phase = self.phase_after_restart(elapsed);
        if self.route_in_phase() == Route::Fallback {
            ended.clear();
        }
        self.before = (ended.len(), run, 0);
        self.ended = ended;
        self.before.2 = self.tick();
        self.dropped.clear();
        self.admitted.clear();
        self.looked = 0;
        self.carried.clear();
        self.restore_intervals(is_back, elapsed);
        self.epoch += 2;
        self.told.push((self.route_in_phase(), Cause::Restored));
        if let Some(condition) = self.condition(self.run() > 0) {
            self.trip(condition);
        }
    }

    /// Swaps the policy.
    pub(crate) fn swap(&mut self, policy: Policy) {
        if policy == self.policy {
            return;
        }
        let (mut ended, run) = (self.inside(), self.run());
        let old = std::mem::replace(&mut self.policy, policy);
        let new = &self.policy;
        if old.last_calls().is_some() != new.last_calls().is_some() {
            ended.clear();
        }
        for call in &mut ended {
            call.tick = tick_of(new, start(&old, call.tick));
            call.slow &= new.slow_calls().is_some();
        }
        if let Some(calls) = new.last_calls() {
            ended.drain(..ended.len().saturating_sub(calls as usize));
        }
        let counted = old.consecutive_failures().and(new.consecutive_failures());
        let returns = new.ramp_up().is_some() && !new.is_dry_run();
        let rehearsal_ends = old.is_dry_run() && !new.is_dry_run();
        self.phase = match self.phase {
            Phase::Fallback { .. } if rehearsal_ends => Phase::Primary,
            Phase::Probing => Phase::Fallback { deadline: self.now / 1_000_000 * 1_000_000 },
            Phase::Ramping { .. } if !returns => Phase::Primary,
            phase => phase,
        };
        self.before = (ended.len(), counted.map_or(0, |_| run), 0);
        self.ended = ended;
        self.before.2 = self.tick();
        self.dropped.clear();
        self.admitted.clear();
        self.looked = 0;
        self.back.swapped(self.epoch, self.epoch + 2);
        self.carried.push(self.epoch);
        // Two: the monitor is frozen in between.
        self.epoch += 2;
        self.told.push((self.route_in_phase(), Cause::PolicySwapped));
        if let Some(condition) = self.condition(self.run() > 0) {
            self.trip(condition);
        }
    }

    fn stall_width(&self) -> u128 {
        self.policy.stalled_calls().map_or(1, |(after, _)| after.as_nanos().div_ceil(4))
    }

    fn stall_tick(&self) -> u128 {
        let tick = self.now / self.stall_width();
        self.admitted.iter().map(|a| a.tick).max().unwrap_or(0).max(tick).max(self.looked)
    }

    /// All stalled calls; those in the four buckets of a share; and all calls admitted in these.
    fn stalled(&self) -> (u64, u64, u64) {
        let tick = self.stall_tick();
        let old = || self.admitted.iter().filter(|a| a.tick + 5 <= tick);
        let recent = || old().filter(|a| a.tick + 8 >= tick);
        let calls = old().filter(|a| !a.ended).count();
        let (hang, all) = (recent().filter(|a| !a.ended).count(), recent().count());
        (calls as u64, hang as u64, all as u64)
    }

    pub(crate) fn is_due(&self) -> bool {
        match self.phase {
            Phase::Fallback { deadline } | Phase::Ramping { deadline } => self.now >= deadline,
            _ => false,
        }
    }

    /// The state, after a transition that the next admission will make.
    pub(crate) fn state(&self) -> State {
        let policy = &self.policy;
        match self.phase {
            Phase::Primary => State::Primary,
            Phase::Forced(Route::Primary) => State::ForcedPrimary,
            Phase::Forced(Route::Fallback) => State::ForcedFallback,
            Phase::Probing => State::Probing,
            Phase::Fallback { .. } if !self.is_due() => State::Fallback,
            Phase::Fallback { .. } if policy.is_dry_run() => State::Primary,
            Phase::Fallback { .. } if policy.probing().is_some() => State::Probing,
            Phase::Fallback { .. } if policy.ramp_up().is_some() => State::Ramping,
            Phase::Ramping { .. } if !self.is_due() => State::Ramping,
            Phase::Fallback { .. } | Phase::Ramping { .. } => State::Primary,
        }
    }

    fn route_in_phase(&self) -> Route {
        match self.phase {
            Phase::Primary => Route::Primary,
            Phase::Fallback { .. } if self.policy.is_dry_run() => Route::Primary,
            Phase::Fallback { .. } | Phase::Probing => Route::Fallback,
            Phase::Ramping { .. } => Route::Primary,
            Phase::Forced(route) => route,
        }
    }

    pub(crate) fn route(&self) -> Route {
        match self.state() {
            State::Probing => Route::Fallback,
            _ if self.is_due() => Route::Primary,
            _ => self.route_in_phase(),
        }
    }

    pub(crate) fn advised(&self) -> Route {
        match self.phase {
            Phase::Fallback { .. } if !self.is_due() => Route::Fallback,
            _ => self.route(),
        }
    }

    /// The tally, the streak and the stalled calls of a snapshot.
    pub(crate) fn counts(&self) -> (Tally, u64, u64) {
        if self.route() == Route::Fallback || self.is_due() {
            return (Tally::default(), 0, 0);
        }
        let run = self.policy.consecutive_failures().map_or(0, |_| self.run());
        let stalled = self.policy.stalled_calls().map_or(0, |_| self.stalled().0);
        (self.window(), run, stalled)
    }

    /// `dealt`: whether the call took the primary, if the share alone does not decide it.
    pub(crate) fn admit(&mut self, dealt: bool) -> Option<Pass> {
        if self.is_due() {
            self.end_of_time();
            // After a step of the clock the ramp may be over too.
            if self.is_due() {
                self.end_of_time();
            }
        }
        let probe = match self.phase {
            Phase::Probing => Some(self.take_place()?),
            _ => None,
        };
        if matches!(self.phase, Phase::Primary | Phase::Ramping { .. }) {
            self.looked = self.stall_tick();
        }
        if let Some(condition) = self.too_many_stalled() {
            self.trip(condition);
        }
        let dealt = match self.phase {
            Phase::Ramping { deadline } => self.deal(deadline, dealt),
            _ if probe.is_none() && self.route() == Route::Fallback => Dealt::Fallback,
            _ => Dealt::Primary,
        };
        if dealt == Dealt::Fallback {
            return None;
        }
        // A probe is never a stalled call: its epoch is not evaluated.
        let tick = self.stall_tick();
        let number = probe.is_none().then(|| {
            self.admitted.push(Admitted { tick, ended: false });
            self.admitted.len() - 1
        });
        let policy = &self.policy;
        let began = match policy.stalled_calls() {
            Some(_) if probe.is_none() => Some(self.now.max(tick * self.stall_width())),
            Some(_) => Some(self.now),
            None => policy
                .slow_calls()
                .map(drop)
                .or(policy.dropped_after().map(drop))
                .map(|()| self.now),
        };
        Some(Pass { epoch: self.epoch, began, number, probe })
    }

    fn too_many_stalled(&self) -> Option<Condition> {
        let (_, limit) = self.policy.stalled_calls()?;
        let (calls, recent, all) = self.stalled();
        let (stalled, admitted, too_many) = match limit {
            StallLimit::Calls(limit) => (calls, None, calls >= limit),
            StallLimit::Share(share) => {
                let enough = all >= self.policy.minimum_calls();
                (recent, Some(all), enough && exceeds(share, recent, all))
            }
        };
        too_many.then_some(Condition::StalledCalls { stalled, admitted })
    }

    /// Ends the call of a pass; `None` drops it.
    pub(crate) fn record(&mut self, pass: Pass, outcome: Option<Outcome>) {
        let carried = pass.epoch != self.epoch;
        if !carried {
            if let Some(number) = pass.number {
                self.admitted[number].ended = true;
            }
        } else if !self.carried.contains(&pass.epoch)
            || pass.probe.is_some()
            || self.route_in_phase() == Route::Fallback
        {
            return;
        }
        let took = pass.began.map_or(0, |began| self.now.saturating_sub(began));
        let was_dropped = outcome.is_none();
        let outcome = match outcome {
            Some(outcome) => outcome,
            None if self.policy.dropped_after().is_some_and(|time| took > time.as_nanos()) => {
                Outcome::Failure
            }
            None => Outcome::Ignored,
        };
        if let Some(place) = pass.probe {
            return self.record_probe(place, outcome);
        }
        if outcome == Outcome::Ignored {
            if was_dropped {
                self.drop_neutral();
            }
            return;
        }
        self.hint(outcome);
        let failed = outcome.is_failure();
        let slow = self.policy.slow_calls().is_some_and(|slow| took > slow.longer_than.as_nanos());
        self.ended.push(Ended { tick: self.tick(), failed, slow });
        if let Some(condition) = self.condition(failed) {
            self.trip(condition);
        }
    }

    /// Drops a pass: its call is no longer in flight.
    pub(crate) fn drop(&mut self, pass: Pass) {
        self.record(pass, Some(Outcome::Ignored));
    }

    fn condition(&self, failed: bool) -> Option<Condition> {
        let (tally, run) = (self.window(), self.run());
        let calls = tally.successes + tally.failures;
        let enough = calls >= self.policy.minimum_calls();
        if self.policy.failure_rate().is_some_and(|rate| exceeds(rate, tally.failures, calls))
            && enough
        {
            return Some(Condition::FailureRate);
        }
        if failed && self.policy.consecutive_failures().is_some_and(|k| run >= u64::from(k)) {
            return Some(Condition::ConsecutiveFailures { failures: run });
        }
        let slow = self.policy.slow_calls()?;
        let minimum = slow.minimum_calls.unwrap_or(self.policy.minimum_calls());
        let slow = exceeds(slow.more_than, tally.slow, calls) && calls >= minimum;
        slow.then_some(Condition::SlowCalls)
    }

    fn trip(&mut self, condition: Condition) {
        if !matches!(self.phase, Phase::Primary | Phase::Ramping { .. }) {
            return;
        }
        let (tally, revert_after) = (self.window(), self.next_interval(true));
        let deadline = self.deadline(revert_after);
        let cause = match self.policy.is_dry_run() {
            true => Cause::WouldTrip { condition, tally, revert_after },
            false => Cause::Tripped { condition, tally, revert_after },
        };
        self.begin(Phase::Fallback { deadline }, cause);
    }

    pub(crate) fn reverts_in(&self) -> Option<Duration> {
        match self.phase {
            Phase::Fallback { deadline } | Phase::Ramping { deadline } if deadline > self.now => {
                Some(Duration::from_nanos(u64::try_from(deadline - self.now).unwrap()))
            }
            _ => None,
        }
    }
}
