//! Runs a policy on the calls of a scenario, in virtual time.

use std::collections::BTreeMap;

use crate::policies::{Pass, Policy};
use crate::world::{CAPACITY, Call, ERROR, Millis, PRICE, SECOND, Scenario};

/// The number of columns in the chart of a run.
pub(crate) const COLUMNS: usize = 240;

/// The result of a run.
#[derive(Clone)]
pub(crate) struct Run {
    /// From the beginning of the first outage until a call is diverted from the primary; `None` if
    /// none was.
    pub(crate) failover: Option<Millis>,
    /// Errors that customers saw.
    pub(crate) errors: u64,
    /// Calls that the fallback answered.
    pub(crate) fallback: u64,
    /// Trips while the primary was healthy.
    pub(crate) false_trips: u64,
    /// Trips in an outage after its first one: calls returned too early.
    pub(crate) flaps: u64,
    /// From the end of the last outage until all calls go to the primary for good; `None` if they
    /// do not before the run ends.
    pub(crate) full_return: Option<Millis>,
    pub(crate) columns: Vec<Column>,
}

/// A column of the chart.
#[derive(Clone, Copy, Default)]
pub(crate) struct Column {
    pub(crate) calls: u32,
    pub(crate) fallback: u32,
    pub(crate) errors: u32,
}

impl Run {
    /// The cost of the fallback, in pence.
    pub(crate) fn price(&self) -> u64 {
        self.fallback * PRICE
    }

    /// The cost of the fallback and of customers' errors together, in pence.
    pub(crate) fn cost(&self) -> u64 {
        self.price() + self.errors * ERROR
    }
}

/// The calls to the primary in flight, ordered by their end, then by admission: each one's pass,
/// and whether it will fail.
type UnderWay = BTreeMap<(Millis, usize), (Pass, bool)>;

struct Player<'a> {
    scenario: &'a Scenario,
    policy: Box<dyn Policy>,
    run: Run,
    /// The trips so far, and those in each outage.
    trips: u64,
    trips_in: Vec<u64>,
    /// The last moment at which calls were diverted.
    diverted: Option<Millis>,
    /// The fallback's current second, and its calls in that second.
    second: (Millis, u32),
}

pub(crate) fn play(scenario: &Scenario, calls: &[Call], policy: Box<dyn Policy>) -> Run {
    let run = Run {
        failover: None,
        errors: 0,
        fallback: 0,
        false_trips: 0,
        flaps: 0,
        full_return: None,
        columns: vec![Column::default(); COLUMNS],
    };
    let trips_in = vec![0; scenario.outages.len()];
    let (trips, diverted, second) = (0, None, (0, 0));
    let mut player = Player { scenario, policy, run, trips, trips_in, diverted, second };
    let mut under_way = UnderWay::new();
    for (number, call) in calls.iter().enumerate() {
        while let Some(next) = under_way.first_entry()
            && next.key().0 <= call.at
        {
            let ((at, _), (pass, failed)) = next.remove_entry();
            player.policy.record(at, pass, failed);
            player.note(at);
        }
        let pass = player.policy.admit(call.at);
        player.note(call.at);
        let failed = match pass {
            Some(pass) => {
                let (end, failed) = scenario.primary(*call);
                under_way.insert((end, number), (pass, failed));
                failed
            }
            None => player.fall_back(call.at),
        };
        player.count(call.at, failed);
    }
    player.finish()
}

impl Player<'_> {
    /// Records the policy's state.
    fn note(&mut self, now: Millis) {
        if self.policy.diverts() {
            self.diverted = Some(now);
            let first = self.scenario.outages.first().map(|(from, _)| *from);
            if let Some(from) = first.filter(|from| *from <= now) {
                self.run.failover.get_or_insert(now - from);
            }
        }
        let trips = self.policy.trips();
        for _ in self.trips..trips {
            match self.scenario.outage(now) {
                Some(outage) => self.trips_in[outage] += 1,
                None => self.run.false_trips += 1,
            }
        }
        self.trips = trips;
    }

    /// A call goes to the fallback. Returns whether it is over capacity.
    fn fall_back(&mut self, now: Millis) -> bool {
        let second = now / SECOND;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        let refused = self.second.1 > CAPACITY;
        if !refused {
            self.run.fallback += 1;
            if let Some(column) = self.column(now) {
                column.fallback += 1;
            }
        }
        refused
    }

    fn column(&mut self, now: Millis) -> Option<&mut Column> {
        let (from, to) = self.scenario.shown();
        let column = now.checked_sub(from)? * COLUMNS as u64 / (to - from);
        self.run.columns.get_mut(usize::try_from(column).ok()?)
    }

    fn count(&mut self, now: Millis, failed: bool) {
        self.run.errors += u64::from(failed);
        if let Some(column) = self.column(now) {
            column.calls += 1;
            column.errors += u32::from(failed);
        }
    }

    fn finish(mut self) -> Run {
        self.run.flaps = self.trips_in.iter().map(|trips| trips.saturating_sub(1)).sum();
        let end = self.scenario.outages.last().map_or(0, |(_, to)| *to);
        if !self.policy.diverts() {
            self.run.full_return = Some(self.diverted.map_or(0, |at| at.saturating_sub(end)));
        }
        self.run
    }
}
