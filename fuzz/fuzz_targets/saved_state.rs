//! A saved state as a text, from wherever it was kept: never a panic; what is accepted is in range,
//! is written and read again as the same, and a monitor that goes on from it keeps the forced route and
//! the time that is left, and comes back to the primary.
//!
//! An input is the text, a line feed, and bytes for a policy and what happens afterwards.
#![no_main]

use std::str;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use failover::clock::{ManualClock, Moment};
use failover::monitor::Saved;
use failover::{Monitor, Outcome, Policy, Route, State};
use libfuzzer_sys::fuzz_target;

#[path = "support/policy.rs"]
mod policy;
#[path = "support/show.rs"]
mod show;

use show::show;

/// A text may have up to 2^48 calls, and one with a call more is refused: what is near it is not
/// written and read again.
const MANY: u64 = 1 << 47;

#[derive(Arbitrary, Debug)]
enum Operation {
    Call(bool),
    Micros(u32),
    Force(bool),
    Release,
    /// Saves and restores, so many microseconds later.
    Restore(u32),
}

fn read(text: &str) -> Option<Saved> {
    match serde_json::from_str::<Saved>(text) {
        Ok(saved) => Some(saved),
        Err(error) => {
            // A string that is not wanted is shown, each byte of it as six at most.
            let error = error.to_string();
            assert!(!error.is_empty() && error.len() < 400 + 6 * text.len(), "{error}");
            None
        }
    }
}

/// What is accepted is in range, and is the same when it was written and read.
fn check(saved: &Saved) {
    let tally = saved.tally();
    assert!(tally.slow <= tally.calls(), "{tally:?}");
    assert!(saved.reverts_in().is_none_or(|left| left <= 2 * Policy::LONGEST));
    let timed = matches!(saved.state(), State::Fallback | State::Ramping);
    assert_eq!(saved.reverts_in().is_some(), timed);
    if tally.calls() < MANY {
        let text = serde_json::to_string(saved).expect("plain data");
        let again = serde_json::from_str::<Saved>(&text);
        assert_eq!(again.as_ref().ok(), Some(saved), "{text}: {again:?}");
    }
}

struct Process {
    policy: Policy,
    clock: ManualClock,
    monitor: Monitor<ManualClock>,
}

impl Process {
    fn new(policy: Policy, now: Moment) -> Self {
        let clock = ManualClock::new();
        clock.set(now);
        let monitor = Monitor::with_clock(policy.clone(), clock.clone());
        Self { policy, clock, monitor }
    }

    fn restored(policy: Policy, saved: &Saved, elapsed: Duration, now: Moment) -> Self {
        let rehearsed = serde_json::to_value(saved).expect("plain data")["dry_run"] == true;
        let this = Self::new(policy, now);
        this.monitor.handle().restore(saved, elapsed);
        let snapshot = this.monitor.handle().snapshot();
        let forced = matches!(saved.state(), State::ForcedPrimary | State::ForcedFallback);
        assert_eq!(snapshot.forced, forced);
        assert!(snapshot.tally.calls() <= saved.tally().calls(), "{:?}", snapshot.tally);
        // The deadline is at a whole millisecond. A rehearsed time is over where nothing is rehearsed.
        if saved.state() == State::Fallback && (!rehearsed || this.policy.is_dry_run()) {
            let left = saved.reverts_in().unwrap_or_default().saturating_sub(elapsed);
            let expected = |now| left <= now && now < left + Duration::from_millis(1);
            let goes_on = snapshot.reverts_in.is_some_and(expected);
            assert!(
                if left.is_zero() { snapshot.reverts_in.is_none() } else { goes_on },
                "{left:?}"
            );
        }
        this
    }

    fn apply(&mut self, operation: &Operation) {
        let handle = self.monitor.handle();
        match *operation {
            Operation::Call(failed) => {
                if let Some(ticket) = self.monitor.admit().ticket() {
                    let outcome = if failed { Outcome::Failure } else { Outcome::Success };
                    self.monitor.record(ticket, outcome);
                }
            }
            Operation::Micros(by) => self.clock.advance(Duration::from_micros(by.into())),
            Operation::Force(primary) => {
                let route = if primary { Route::Primary } else { Route::Fallback };
                handle.force(route);
                assert_eq!(self.monitor.route(), route);
            }
            Operation::Release => {
                handle.release();
            }
            Operation::Restore(by) => {
                let (saved, now) = (handle.save(), handle.snapshot());
                check(&saved);
                let elapsed = Duration::from_micros(by.into());
                let at = Moment::from_nanos(u64::from(by));
                *self = Self::restored(self.policy.clone(), &saved, elapsed, at);
                assert_eq!(self.monitor.handle().snapshot().forced, now.forced);
            }
        }
    }

    /// Whatever was saved: once no route is forced, calls come back to the primary for good.
    fn comes_back(&self) {
        self.monitor.handle().release();
        for _ in 0..64 {
            self.clock.advance(self.monitor.handle().snapshot().reverts_in.unwrap_or_default());
            if let Some(ticket) = self.monitor.admit().ticket() {
                self.monitor.record(ticket, Outcome::Success);
            }
            if self.monitor.handle().snapshot().state == State::Primary {
                return;
            }
        }
        panic!("{:?}", self.monitor.handle().snapshot());
    }
}

fn go_on(saved: &Saved, bytes: &mut Unstructured<'_>) -> Result<()> {
    let policy = policy::policy(bytes)?;
    let elapsed = match bytes.arbitrary::<Option<u64>>()? {
        Some(nanos) => Duration::from_nanos(nanos),
        None => Duration::MAX,
    };
    let now = Moment::from_nanos(bytes.int_in_range(0..=1 << 62)?);
    show(&(saved, &policy, elapsed, now));
    let mut process = Process::restored(policy, saved, elapsed, now);
    for _ in 0..64 {
        if bytes.is_empty() {
            break;
        }
        let operation = Operation::arbitrary(bytes)?;
        show(&(&operation, process.monitor.handle().snapshot()));
        process.apply(&operation);
        check(&process.monitor.handle().save());
    }
    process.comes_back();
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (text, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some(saved) = str::from_utf8(text).ok().and_then(read) else { return };
    check(&saved);
    let _ = go_on(&saved, &mut Unstructured::new(rest));
});
