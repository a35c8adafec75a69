//! The simulated world: customers, the primary with its faults, and the fallback with its price.
//! Every policy gets the same trace of calls.

use crate::random::{ALL, Millionths, Random};

/// Milliseconds since the start of a run.
pub(crate) type Millis = u64;

pub(crate) const SECOND: Millis = 1_000;
pub(crate) const MINUTE: Millis = 60 * SECOND;
pub(crate) const HOUR: Millis = 60 * MINUTE;
pub(crate) const DAY: Millis = 24 * HOUR;

/// How many calls customers make.
#[derive(Clone, Copy)]
pub(crate) enum Traffic {
    /// This many per thousand seconds, all the time.
    Even(u32),
    /// This many per thousand seconds at noon, down to a twentieth in the small hours.
    Daily(u32),
}

impl Traffic {
    /// Calls per thousand seconds, which is the chance of a call in one millisecond, in millionths.
    fn rate(self, now: Millis) -> Millionths {
        match self {
            Self::Even(rate) => rate,
            Self::Daily(noon) => {
                // In hundredths of the rate at noon, interpolated linearly between hours.
                const CURVE: [u64; 25] = [
                    20, 10, 5, 5, 5, 10, 25, 50, 75, 90, 95, 100, 100, 95, 90, 90, 90, 95, 100, 90,
                    75, 60, 45, 30, 20,
                ];
                let (hour, into) = ((now % DAY) / HOUR, (now % HOUR) / MINUTE);
                let hour = usize::try_from(hour).unwrap_or(0);
                let share = CURVE[hour] * (60 - into) + CURVE[hour + 1] * into;
                u32::try_from(u64::from(noon) * share / 6_000).unwrap_or(ALL)
            }
        }
    }
}

/// The primary's behaviour for a while.
#[derive(Clone, Copy)]
pub(crate) enum Health {
    /// Healthy: few calls fail.
    Well,
    /// Fails this share of calls, immediately.
    Failing(Millionths),
    /// Hangs: each call ends with the caller's time-out.
    Hanging,
}

/// One part of a fault.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) from: Millis,
    pub(crate) to: Millis,
    pub(crate) health: Health,
}

#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) length: Millis,
    pub(crate) traffic: Traffic,
    /// The share of calls that fail on a healthy primary.
    pub(crate) usual: Millionths,
    /// In order, without overlap.
    pub(crate) stretches: Vec<Stretch>,
    /// The periods in which a policy should divert. Outside of them the primary is healthy.
    pub(crate) outages: Vec<(Millis, Millis)>,
}

/// The latency of both services: 50 to 149 ms.
const LATENCY: (u32, u32) = (50, 100);
/// The caller's time-out around a call.
pub(crate) const TIME_OUT: Millis = 5 * SECOND;
/// The fallback's capacity in calls per second; customers beyond see an error.
pub(crate) const CAPACITY: u32 = 40;
/// The cost of a call to the fallback, in pence.
pub(crate) const PRICE: u64 = 20;
/// The cost of a customer's error, in pence.
pub(crate) const ERROR: u64 = 100;

/// A call, with its random numbers.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) at: Millis,
    latency: u32,
    /// The call fails if the share of failing calls is above this.
    luck: Millionths,
}

impl Scenario {
    /// The calls that customers make.
    pub(crate) fn calls(&self, seed: u64) -> Vec<Call> {
        let mut random = Random::new(seed);
        let mut calls = Vec::new();
        for at in 0..self.length {
            if random.below(ALL) < self.traffic.rate(at) {
                let latency = LATENCY.0 + random.below(LATENCY.1);
                calls.push(Call { at, latency, luck: random.below(ALL) });
            }
        }
        calls
    }

    /// When the primary ends a call, and whether it fails.
    pub(crate) fn primary(&self, call: Call) -> (Millis, bool) {
        let stretch = self.stretches.partition_point(|stretch| stretch.to <= call.at);
        let stretch = self.stretches.get(stretch).filter(|stretch| stretch.from <= call.at);
        let failing = match stretch.map_or(Health::Well, |stretch| stretch.health) {
            Health::Hanging => return (call.at + TIME_OUT, true),
            Health::Failing(share) => share,
            Health::Well => self.usual,
        };
        (call.at + Millis::from(call.latency), call.luck < failing)
    }

    /// The period shown in the chart: around the outages, or the whole run.
    pub(crate) fn shown(&self) -> (Millis, Millis) {
        match (self.outages.first(), self.outages.last()) {
            (Some((first, _)), Some((_, last))) => {
                (first.saturating_sub(10 * MINUTE), (last + 20 * MINUTE).min(self.length))
            }
            _ => (0, self.length),
        }
    }

    /// The index of the outage at that time.
    pub(crate) fn outage(&self, at: Millis) -> Option<usize> {
        self.outages.iter().position(|(from, to)| (*from..*to).contains(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(traffic: Traffic) -> Scenario {
        let stretch = Stretch { from: HOUR, to: 2 * HOUR, health: Health::Failing(ALL) };
        let (stretches, outages) = (vec![stretch], vec![(HOUR, 2 * HOUR)]);
        let usual = 10_000;
        Scenario { name: "", what: "", length: DAY, traffic, usual, stretches, outages }
    }

    #[test]
    fn the_traffic_is_as_dense_as_it_says() {
        let even = Scenario { length: HOUR, ..scenario(Traffic::Even(20_000)) };
        let calls = even.calls(1).len();
        assert!((71_000..73_000).contains(&calls), "{calls}");
        let daily = Traffic::Daily(20_000);
        assert_eq!([3, 12].map(|hour| daily.rate(hour * HOUR)), [1_000, 20_000]);
        assert_eq!(daily.rate(6 * HOUR + 30 * MINUTE), 7_500);
    }

    #[test]
    fn a_stretch_begins_with_its_first_millisecond_and_ends_before_its_last() {
        let scenario = scenario(Traffic::Even(1));
        let failed = |at| scenario.primary(Call { at, latency: 50, luck: 10_000 }).1;
        assert_eq!(
            [HOUR - 1, HOUR, 2 * HOUR - 1, 2 * HOUR].map(failed),
            [false, true, true, false]
        );
    }
}
