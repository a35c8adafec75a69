//! Policies of this library, run by its own monitor.

use failover::policy::Backoff;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use failover::clock::{ManualClock, Moment};
use failover::event::Cause;
use failover::policy::{PolicyBuilder, Probing, StallLimit};
use failover::{Event, Monitor, Outcome, Ratio, State};

use super::{Candidate, Pass, Policy};
use crate::world::Millis;

struct Ours {
    monitor: Monitor<ManualClock>,
    clock: ManualClock,
    seen: Arc<Seen>,
}

/// The state according to the monitor's events.
#[derive(Default)]
struct Seen {
    diverts: AtomicBool,
    trips: AtomicU64,
}

impl Ours {
    fn new(policy: failover::Policy) -> Self {
        let clock = ManualClock::new();
        let monitor = Monitor::with_clock(policy, clock.clone());
        let seen: Arc<Seen> = Arc::default();
        let noted = Arc::clone(&seen);
        // Ordering: Relaxed, since all runs on one thread.
        monitor.observe(move |event: &Event| {
            noted.diverts.store(event.to != State::Primary, Ordering::Relaxed);
            if let Cause::Tripped { .. } = event.cause {
                noted.trips.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { monitor, clock, seen }
    }

    fn set_time(&self, now: Millis) {
        self.clock.set(Moment::from_nanos(now * 1_000_000));
    }
}

impl Policy for Ours {
    fn admit(&mut self, now: Millis) -> Option<Pass> {
        self.set_time(now);
        self.monitor.admit().ticket().map(Pass::Ours)
    }

    fn record(&mut self, now: Millis, pass: Pass, failed: bool) {
        self.set_time(now);
        if let Pass::Ours(ticket) = pass {
            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            self.monitor.record(ticket, outcome);
        }
    }

    fn diverts(&self) -> bool {
        self.seen.diverts.load(Ordering::Relaxed)
    }

    fn trips(&self) -> u64 {
        self.seen.trips.load(Ordering::Relaxed)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn all() -> Vec<Candidate> {
    let half_minute = |policy: PolicyBuilder| {
        let factor = Ratio::new(2, 1).expect("the denominator is not 0");
        policy
            .revert_after(seconds(30))
            .backoff(Backoff::new(factor).max(seconds(300)).reset_after(seconds(600)))
    };
    let third = Ratio::new(1, 3).expect("the denominator is not 0");
    let fifth = Ratio::new(1, 5).expect("the denominator is not 0");
    let quarter = Ratio::new(1, 4).expect("the denominator is not 0");
    vec![
        default(),
        ours("default + probes", "the same, and 3 good probes before calls return", |p| {
            p.probing(Probing::new(3))
        }),
        ours(
            "default + growing",
            "30 s on the fallback, then probes; twice as long after each trip, up to 5 min",
            move |p| half_minute(p).probing(Probing::new(3)),
        ),
        ours("default + 5 in a row", "the default's, or 5 failures in a row", |p| {
            p.consecutive_failures(5)
        }),
        ours("default + stalls", "the default's, or half of the calls hang for 1 s", |p| {
            p.stalled_calls(seconds(1), StallLimit::Share(Ratio::HALF))
        }),
        ours(
            "sensitive",
            "above 1/5 of at least 20 calls in 60 s; 30 s, growing to 5 min; 20 good probes",
            move |p| {
                half_minute(p)
                    .failure_rate(fifth)
                    .minimum_calls(20)
                    .probing(Probing::new(5).successes(20).failures(5))
            },
        ),
        ours(
            "gradual",
            "above 1/3 of at least 20 calls in 60 s; after 1 min 3 probes, then back over 2 min",
            move |p| {
                p.failure_rate(third)
                    .minimum_calls(20)
                    .revert_after(seconds(60))
                    .probing(Probing::new(3))
                    .ramp_up(quarter, seconds(120))
            },
        ),
        ours("last 100", "above 1/2 of the last 100 calls; all return after 5 min", |p| {
            p.last_calls(100)
        }),
    ]
}

fn default() -> Candidate {
    ours("default", "above 1/2 of at least 10 calls in 60 s; all return after 5 min", |p| p)
}

/// The default, and variants with one number changed.
pub(super) fn neighbours() -> Vec<Candidate> {
    let third = Ratio::new(1, 3).expect("the denominator is not 0");
    let two_thirds = Ratio::new(2, 3).expect("the denominator is not 0");
    vec![
        default(),
        ours("above 1/3", "the rate", move |p| p.failure_rate(third)),
        ours("above 2/3", "the rate", move |p| p.failure_rate(two_thirds)),
        ours("at least 5 calls", "the minimum", |p| p.minimum_calls(5)),
        ours("at least 20 calls", "the minimum", |p| p.minimum_calls(20)),
        ours("in 10 s", "the window", |p| p.window(seconds(10), 10)),
        ours("in 30 s", "the window", |p| p.window(seconds(30), 10)),
        ours("in 2 min", "the window", |p| p.window(seconds(120), 10)),
        ours("return after 1 min", "the time", |p| p.revert_after(seconds(60))),
        ours("return after 2 min", "the time", |p| p.revert_after(seconds(120))),
        ours("return after 10 min", "the time", |p| p.revert_after(seconds(600))),
    ]
}

fn ours(
    name: &'static str,
    what: &'static str,
    change: impl Fn(PolicyBuilder) -> PolicyBuilder + 'static,
) -> Candidate {
    let begin = move || -> Box<dyn Policy> {
        let policy = change(failover::Policy::builder()).build().expect("a policy of the lab");
        Box::new(Ours::new(policy))
    };
    Candidate { name, what, ours: true, begin: Box::new(begin) }
}
