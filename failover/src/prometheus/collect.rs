//! What is shown at a scrape.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::cells::{Cells, Ended, ROUTES, Reading};
use super::registry::Metrics;
use super::transitions::Labels;
use crate::clock::Clock;
use crate::outcome::Outcome;
use crate::snapshot::Snapshot;
use crate::state::State;

/// All that is shown of one name, read before anything is written.
struct Seen {
    name: String,
    snapshot: Option<Snapshot>,
    calls: Option<Reading>,
    transitions: Vec<(Labels, u64)>,
}

impl<Clk: Clock + fmt::Debug> Collector for Metrics<Clk> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let shown = self.shown().into_iter();
        let seen: Vec<_> = shown
            .map(|(name, entry)| Seen {
                name,
                snapshot: entry.look(),
                calls: entry.cells.map(Cells::read),
                transitions: entry.transitions.read().into_iter().collect(),
            })
            .collect();
        let snapshots: Vec<_> =
            seen.iter().filter_map(|seen| Some((&*seen.name, seen.snapshot.as_ref()?))).collect();
        let calls: Vec<_> =
            seen.iter().filter_map(|seen| Some((&*seen.name, seen.calls.as_ref()?))).collect();
        states(&mut encoder, &snapshots)?;
        windows(&mut encoder, &snapshots)?;
        reverts(&mut encoder, &snapshots)?;
        transitions(&mut encoder, &seen)?;
        // A family that no failover has a sample of would only be announced.
        if calls.is_empty() {
            return Ok(());
        }
        counters(&mut encoder, &calls)?;
        durations(&mut encoder, &calls, self.bounds())
    }
}

type Snapshots<'a> = [(&'a str, &'a Snapshot)];
type Calls<'a> = [(&'a str, &'a Reading)];

fn states(encoder: &mut DescriptorEncoder, snapshots: &Snapshots) -> fmt::Result {
    let help = "1 for the state that a failover is in, 0 for the others.";
    let mut family = encoder.encode_descriptor("failover_state", help, None, MetricType::Gauge)?;
    for (name, snapshot) in snapshots {
        for state in State::ALL {
            let value = i64::from(state == snapshot.state);
            gauge(&mut family, &[("name", name), ("state", state.as_str())], &value)?;
        }
    }
    Ok(())
}

fn windows(encoder: &mut DescriptorEncoder, snapshots: &Snapshots) -> fmt::Result {
    let help = "The primary's failures among its calls in the window.";
    let mut family =
        encoder.encode_descriptor("failover_failure_ratio", help, None, MetricType::Gauge)?;
    for (name, snapshot) in snapshots {
        if let Some(rate) = snapshot.tally.failure_rate() {
            gauge(&mut family, &[("name", name)], &rate)?;
        }
    }
    let help = "The primary's calls in the window.";
    let mut family =
        encoder.encode_descriptor("failover_window_calls", help, None, MetricType::Gauge)?;
    for (name, snapshot) in snapshots {
        let tally = &snapshot.tally;
        let counts = [(Outcome::Success, tally.successes), (Outcome::Failure, tally.failures)];
        for (outcome, calls) in counts {
            gauge(&mut family, &[("name", name), ("outcome", outcome.as_str())], &calls)?;
        }
    }
    Ok(())
}

fn reverts(encoder: &mut DescriptorEncoder, snapshots: &Snapshots) -> fmt::Result {
    let help = "How long until calls go to the primary again.";
    let (name, unit) = ("failover_revert_in", Some(&Unit::Seconds));
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (name, snapshot) in snapshots {
        if let Some(time) = snapshot.reverts_in {
            gauge(&mut family, &[("name", name)], &time.as_secs_f64())?;
        }
    }
    Ok(())
}

fn transitions(encoder: &mut DescriptorEncoder, seen: &[Seen]) -> fmt::Result {
    let help = "Transitions from one route to another.";
    let mut family =
        encoder.encode_descriptor("failover_transitions", help, None, MetricType::Counter)?;
    for Seen { name, transitions, .. } in seen {
        for ((from, to, cause), count) in transitions {
            let labels = [("name", &**name), ("from", from), ("to", to), ("cause", cause)];
            counter(&mut family, &labels, *count)?;
        }
    }
    Ok(())
}

fn counters(encoder: &mut DescriptorEncoder, calls: &Calls) -> fmt::Result {
    let help = "Calls by the route that they took and by how they ended.";
    let mut family =
        encoder.encode_descriptor("failover_calls", help, None, MetricType::Counter)?;
    for (name, reading) in calls {
        for route in ROUTES {
            for ended in Ended::ALL {
                let labels =
                    [("name", *name), ("route", route.as_str()), ("outcome", ended.as_str())];
                counter(&mut family, &labels, reading.calls(route, ended))?;
            }
        }
    }
    Ok(())
}

fn durations(encoder: &mut DescriptorEncoder, calls: &Calls, bounds: &[u64]) -> fmt::Result {
    let help = "How long calls took, by the route that they took.";
    let (name, unit) = ("failover_call_duration", Some(&Unit::Seconds));
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
    let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
    for (name, reading) in calls {
        for route in ROUTES {
            let ends = bounds.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
            let ranges: Vec<_> = ends.zip(reading.ranges(route)).collect();
            let count = ranges.iter().map(|(_, calls)| calls).sum();
            let labels = [("name", *name), ("route", route.as_str())];
            let sum = seconds(reading.nanos(route));
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &ranges, None)?;
        }
    }
    Ok(())
}

fn gauge<const N: usize>(
    family: &mut MetricEncoder,
    labels: &[(&str, &str); N],
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(value)
}

fn counter<const N: usize>(
    family: &mut MetricEncoder,
    labels: &[(&str, &str); N],
    value: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}
