//! The eight standard scenarios, and the healthy days for false trips.

use crate::random::{ALL, Millionths};
use crate::world::{DAY, HOUR, Health, MINUTE, Millis, SECOND, Scenario, Stretch, Traffic};

/// 20 calls a second.
pub(crate) const RATE: Traffic = Traffic::Even(20_000);
/// 12 calls a minute: barely enough for the default's minimum of calls, so chance has the greatest
/// effect.
pub(crate) const FEW: Traffic = Traffic::Even(200);
/// A healthy primary fails one call in 200.
const USUAL: Millionths = 5_000;
const PERCENT: Millionths = ALL / 100;

pub(crate) fn standard() -> Vec<Scenario> {
    vec![
        fault(
            "hard outage",
            "20 calls/s; after 6 good hours the primary refuses every call for 30 min",
            RATE,
            6 * HOUR,
            &[(30 * MINUTE, Health::Failing(ALL))],
        ),
        fault(
            "quiet outage",
            "1 call in 10 s; after 6 good hours the primary refuses every call for 2 h",
            Traffic::Even(100),
            6 * HOUR,
            &[(2 * HOUR, Health::Failing(ALL))],
        ),
        fault(
            "brown-out",
            "20 calls/s; 30 % of the calls fail for 30 min",
            RATE,
            HOUR,
            &[(30 * MINUTE, Health::Failing(30 * PERCENT))],
        ),
        fault(
            "slow hang",
            "20 calls/s; every call hangs until its time-out of 5 s, for 20 min",
            RATE,
            HOUR,
            &[(20 * MINUTE, Health::Hanging)],
        ),
        flapping(),
        fault(
            "partial recovery",
            "20 calls/s; 15 min all calls fail, then 40 % of them for 30 min",
            RATE,
            HOUR,
            &[(15 * MINUTE, Health::Failing(ALL)), (30 * MINUTE, Health::Failing(40 * PERCENT))],
        ),
        fault(
            "bad start",
            "20 calls/s; all calls fail in the first 10 min of the process, then all is well",
            RATE,
            0,
            &[(10 * MINUTE, Health::Failing(ALL))],
        ),
        healthy_day(),
    ]
}

/// Calls fail only by chance: every trip is false.
pub(crate) fn healthy(traffic: Traffic, days: Millis, percent: u32) -> Scenario {
    Scenario {
        name: "healthy",
        what: "calls fail by chance alone",
        length: days * DAY,
        traffic,
        usual: percent * PERCENT,
        stretches: Vec::new(),
        outages: Vec::new(),
    }
}

/// One outage in several phases, followed by an hour and a half without faults.
fn fault(
    name: &'static str,
    what: &'static str,
    traffic: Traffic,
    from: Millis,
    faults: &[(Millis, Health)],
) -> Scenario {
    let mut end = from;
    let mut stretches = Vec::new();
    for (length, health) in faults {
        stretches.push(Stretch { from: end, to: end + length, health: *health });
        end += length;
    }
    let length = end + 90 * MINUTE;
    Scenario { name, what, length, traffic, usual: USUAL, stretches, outages: vec![(from, end)] }
}

fn flapping() -> Scenario {
    let stretches: Vec<_> = (0..12)
        .map(|turn| HOUR + turn * 5 * MINUTE)
        .map(|from| Stretch { from, to: from + 2 * MINUTE, health: Health::Failing(ALL) })
        .collect();
    let end = 2 * HOUR - 3 * MINUTE;
    Scenario {
        name: "flapping",
        what: "20 calls/s; for an hour the primary is down for 2 min of every 5",
        length: end + 90 * MINUTE,
        traffic: RATE,
        usual: USUAL,
        stretches,
        outages: vec![(HOUR, end)],
    }
}

/// A healthy day. Two seconds of failures per hour, as by a restart, are no reason to pay for
/// minutes of the fallback.
fn healthy_day() -> Scenario {
    let stretches = (0..24)
        .map(|hour| hour * HOUR + 30 * MINUTE)
        .map(|from| Stretch { from, to: from + 2 * SECOND, health: Health::Failing(ALL) })
        .collect();
    Scenario {
        name: "healthy day",
        what: "up to 20 calls/s by the time of day, 1 % fail; 2 s of failures each hour",
        length: 24 * HOUR,
        traffic: Traffic::Daily(20_000),
        usual: PERCENT,
        stretches,
        outages: Vec::new(),
    }
}
