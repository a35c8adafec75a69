//! The page that Prometheus scrapes.
//!
//! Everything is a collector: numbers are read where they are kept when somebody scrapes, and
//! nothing is looked up by name while a request runs.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::process::Process;
use super::{ClientErrors, ProviderCalls};
use crate::histogram::Reading;
use crate::http::Traffic;
use crate::store::Store;
use crate::valuer::Valuer;

/// All that has numbers to show.
#[derive(Debug)]
pub struct Sources {
    /// The failovers, as the library shows them.
    pub failovers: failover::prometheus::Metrics,
    /// Calls to the providers.
    pub calls: Arc<ProviderCalls>,
    /// Streaks of client errors of the providers.
    pub client_errors: Arc<ClientErrors>,
    /// Requests on the public side.
    pub traffic: Arc<Traffic>,
    /// The database and its writer.
    pub store: Store,
    /// Questions to the providers under way.
    pub valuer: Valuer,
}

/// The metrics of a server.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// What [`page`](Self::page) shows: these, and the process.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(sources.failovers.clone()));
        registry.register_collector(Box::new(sources));
        registry.register_collector(Box::new(Process));
        Self(registry)
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// If a number has no text, which none has.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::with_capacity(16 * 1024);
        text::encode(&mut page, &self.0)?;
        Ok(page)
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let help = "1; its label says which version runs.";
        encoder
            .encode_descriptor("valuation_build_info", help, None, MetricType::Gauge)?
            .encode_family(&version)?
            .encode_gauge(&1_i64)?;
        self.http(&mut encoder)?;
        self.providers(&mut encoder)?;
        self.store(&mut encoder)
    }
}

impl Sources {
    #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
    fn http(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "Connections that are open on the public side.";
        gauge(encoder, "http_server_open_connections", help, self.traffic.connections() as f64)?;
        let help =
            "Connections that were turned away, since as many of their kind were open as may be.";
        let refused = self.traffic.refused_connections();
        count(encoder, "http_server_refused_connections", help, refused)?;
        let help = "Requests that were refused before they had a route, as no HTTP/1.1, for their \
                    heads, or as too many over HTTP/2: no part of the durations below.";
        count(encoder, "http_server_refused_requests", help, self.traffic.refused_requests())?;
        let help = "Requests that are being answered on the public side.";
        gauge(encoder, "http_server_active_requests", help, self.traffic.active() as f64)?;
        let help = "Requests that their clients gave up before they were answered.";
        count(encoder, "http_server_abandoned_requests", help, self.traffic.abandoned())?;
        let help = "How long requests on the public side took to be answered; status 0 stands for \
                    those that are not told apart.";
        let (name, unit) = ("http_server_request_duration", Some(&Unit::Seconds));
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for series in self.traffic.series() {
            let status = series.status.to_string();
            let labels = [
                ("http_request_method", series.method),
                ("http_route", series.route),
                ("http_response_status_code", status.as_str()),
            ];
            histogram(&mut family.encode_family(&labels)?, &series.durations, NANOS)?;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
    fn providers(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "Questions to the providers under way, with or without a client that waits.";
        gauge(encoder, "valuation_questions_in_flight", help, self.valuer.in_flight() as f64)?;
        let help = "New vehicles that were turned away, since as many were under way as may be.";
        count(encoder, "valuation_turned_away_questions", help, self.valuer.turned_away())?;
        let help = "How long calls to a provider took, by what came of them.";
        let (name, unit) = ("valuation_provider_call_duration", Some(&Unit::Seconds));
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (provider, result, durations) in self.calls.series() {
            let labels = [("provider", provider), ("result", result.as_str())];
            histogram(&mut family.encode_family(&labels)?, &durations, NANOS)?;
        }
        let streaks = self.client_errors.series();
        let help = "Answers with a client error (4xx but 408 and 429) since the provider's last valuation.";
        let name = "valuation_provider_client_error_streak";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (provider, length, _) in streaks {
            let labels = [("provider", provider.name())];
            family
                .encode_family(&labels)?
                .encode_gauge(&i64::try_from(length).unwrap_or(i64::MAX))?;
        }
        let help =
            "1 while the provider gives nothing but client errors: a wrong path or key in its URL.";
        let name = "valuation_provider_only_client_errors";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (provider, _, reported) in streaks {
            family
                .encode_family(&[("provider", provider.name())])?
                .encode_gauge(&i64::from(reported))?;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
    fn store(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let (stats, commits) = (self.store.stats(), self.store.commits());
        let well = f64::from(u8::from(self.store.can_store()));
        let help = "1 while the database can store, as far as is known, 0 while it can't.";
        gauge(encoder, "valuation_store_up", help, well)?;
        let help = "Places of the writer's queue that are taken.";
        gauge(encoder, "valuation_store_queue_length", help, stats.waiting as f64)?;
        let help = "Places of the writer's queue.";
        gauge(encoder, "valuation_store_queue_capacity", help, stats.capacity as f64)?;
        let help = "Transactions that were committed.";
        count(encoder, "valuation_store_commits", help, stats.transactions)?;
        let help = "Entries that were committed: a question's valuation and log rows.";
        count(encoder, "valuation_store_entries", help, stats.entries)?;
        let help = "Entries that could not be stored when they came.";
        count(encoder, "valuation_store_failed_entries", help, stats.failed)?;
        let help = "Rows of each committed transaction.";
        let mut family = encoder.encode_descriptor(
            "valuation_store_commit_rows",
            help,
            None,
            MetricType::Histogram,
        )?;
        histogram(&mut family, &commits.rows, 1.0)?;
        let help = "How long transactions took, the wait for the disk included.";
        let (name, unit) = ("valuation_store_commit_duration", Some(&Unit::Seconds));
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        histogram(&mut family, &commits.durations, NANOS)
    }
}

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// Divides what was counted by `per` to show it. A division is exact where a product is not: a bound
/// of 50,000 ns is shown as 0.00005.
#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn histogram(family: &mut MetricEncoder, reading: &Reading, per: f64) -> fmt::Result {
    let shown = |number: u64| number as f64 / per;
    let ranges: Vec<_> = reading
        .ranges
        .iter()
        .map(|&(end, count)| (end.map_or(f64::INFINITY, shown), count))
        .collect();
    family.encode_histogram::<NoLabelSet>(shown(reading.sum), reading.count(), &ranges, None)
}

pub(super) fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: f64,
) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

pub(super) fn counter(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: f64,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, f64, u64>(&value, None)
}

fn count(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, u64, u64>(&value, None)
}
