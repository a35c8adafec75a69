//! Encodes all families at a scrape.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::cells::{Cells, OUTCOMES, ROUTES, Reading};
use super::registry::Metrics;
use super::transitions::Labels;
use crate::clock::Clock;
use crate::outcome::Outcome;
use crate::snapshot::Snapshot;
use crate::state::State;

/// The label of a call that was dropped before its outcome was known.
const DROPPED: &str = "dropped";

/// Everything about one name, read before anything is written.
struct Seen {
    name: String,
    /// `None` if the failover is gone.
    snapshot: Option<Snapshot>,
    /// `None` if no call was ever metered.
    calls: Option<Reading>,
    transitions: Vec<(Labels, u64)>,
}

impl<Clk: Clock + fmt::Debug> Collector for Metrics<Clk> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        use MetricType::{Counter, Gauge, Histogram};
        let shown = self.shown().into_iter();
        let seen: Vec<_> = shown
            .map(|(name, entry)| Seen {
                name,
                snapshot: entry.look(),
                calls: entry.cells.map(Cells::read),
                transitions: entry.transitions.read().into_iter().collect(),
            })
            .collect();
        let mut family = |name, help, unit: Option<&'static Unit>, kind, samples: Samples| {
            let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
            seen.iter().try_for_each(|seen| samples(seen, &mut family))
        };
        let help = "1 for the state that a failover is in, 0 for the others.";
        family("failover_state", help, None, Gauge, Seen::states)?;
        let help = "The primary's failures among its calls in the window.";
        family("failover_failure_ratio", help, None, Gauge, Seen::failure_ratio)?;
        let help = "The primary's calls in the window; those that were dropped count as nothing.";
        family("failover_window_calls", help, None, Gauge, Seen::window_calls)?;
        let help = "How long until calls go to the primary again.";
        family("failover_revert_in", help, Some(&Unit::Seconds), Gauge, Seen::revert_in)?;
        let help = "Transitions from one route to another.";
        family("failover_transitions", help, None, Counter, Seen::transitions)?;
        // A family without a sample would only be announced.
        if seen.iter().all(|seen| seen.calls.is_none()) {
            return Ok(());
        }
        let help = "Calls by the route that they took and by how they ended.";
        family("failover_calls", help, None, Counter, Seen::calls)?;
        let (help, unit) = ("How long calls took, by the route that they took.", &Unit::Seconds);
        family("failover_call_duration", help, Some(unit), Histogram, Seen::durations)
    }
}

/// Writes the samples of one name.
type Samples = fn(&Seen, &mut MetricEncoder<'_>) -> fmt::Result;

impl Seen {
    fn states(&self, family: &mut MetricEncoder) -> fmt::Result {
        let Some(snapshot) = &self.snapshot else { return Ok(()) };
        State::ALL.into_iter().try_for_each(|state| {
            let labels = [("name", &*self.name), ("state", state.as_str())];
            gauge(family, &labels, &i64::from(state == snapshot.state))
        })
    }

    fn failure_ratio(&self, family: &mut MetricEncoder) -> fmt::Result {
        let rate = self.snapshot.and_then(|snapshot| snapshot.tally.failure_rate());
        rate.map_or(Ok(()), |rate| gauge(family, &[("name", &self.name)], &rate))
    }

    fn window_calls(&self, family: &mut MetricEncoder) -> fmt::Result {
        let Some(Snapshot { tally, .. }) = self.snapshot else { return Ok(()) };
        let (success, failure) = (Outcome::Success.as_str(), Outcome::Failure.as_str());
        let counts =
            [(success, tally.successes), (failure, tally.failures), (DROPPED, tally.dropped)];
        counts.into_iter().try_for_each(|(outcome, calls)| {
            gauge(family, &[("name", &*self.name), ("outcome", outcome)], &calls)
        })
    }

    fn revert_in(&self, family: &mut MetricEncoder) -> fmt::Result {
        let time = self.snapshot.and_then(|snapshot| snapshot.reverts_in);
        time.map_or(Ok(()), |time| gauge(family, &[("name", &self.name)], &time.as_secs_f64()))
    }

    fn transitions(&self, family: &mut MetricEncoder) -> fmt::Result {
        self.transitions.iter().try_for_each(|&((from, to, cause), count)| {
            let labels = [("name", &*self.name), ("from", from), ("to", to), ("cause", cause)];
            counter(family, &labels, count)
        })
    }

    fn calls(&self, family: &mut MetricEncoder) -> fmt::Result {
        let Some(calls) = &self.calls else { return Ok(()) };
        let mut samples = ROUTES.into_iter().flat_map(|route| OUTCOMES.map(|end| (route, end)));
        samples.try_for_each(|(route, outcome)| {
            let ended = outcome.map_or(DROPPED, Outcome::as_str);
            let labels = [("name", &*self.name), ("route", route.as_str()), ("outcome", ended)];
            counter(family, &labels, calls.calls(route, outcome))
        })
    }

    fn durations(&self, family: &mut MetricEncoder) -> fmt::Result {
        let Some(calls) = &self.calls else { return Ok(()) };
        let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
        ROUTES.into_iter().try_for_each(|route| {
            let ends = calls.bounds.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
            let ranges: Vec<_> = ends.zip(calls.ranges(route)).collect();
            let count = ranges.iter().map(|(_, calls)| calls).sum();
            let sum = seconds(calls.nanos(route));
            family
                .encode_family(&[("name", &*self.name), ("route", route.as_str())])?
                .encode_histogram::<NoLabelSet>(sum, count, &ranges, None)
        })
    }
}

pub(super) fn gauge<const N: usize>(
    family: &mut MetricEncoder,
    labels: &[(&str, &str); N],
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(value)
}

pub(super) fn counter<const N: usize>(
    family: &mut MetricEncoder,
    labels: &[(&str, &str); N],
    value: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}
