//! Prints what the two libraries have gathered, in the order of the names.

use std::fmt::Display;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, Snapshot};
use opentelemetry::KeyValue;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;

fn print(mut lines: Vec<String>) {
    lines.sort();
    lines.iter().for_each(|line| println!("{line}"));
}

fn line(name: &str, mut labels: Vec<String>, value: impl Display) -> String {
    labels.sort();
    format!("{name}{{{}}} {value}", labels.join(","))
}

pub(crate) fn facade(snapshot: Snapshot) {
    let lines = snapshot.into_vec().into_iter().map(|(key, _, _, value)| {
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => {
                let sum: f64 = values.iter().map(|value| value.0).sum();
                format!("count={} sum={sum}", values.len())
            }
        };
        let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
        line(key.key().name(), labels.collect(), value)
    });
    print(lines.collect());
}

/// An exporter of OpenTelemetry that prints.
#[derive(Debug)]
pub(crate) struct Lines;

impl PushMetricExporter for Lines {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut lines = Vec::new();
        for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    lines.extend(sum.data_points().map(|point| {
                        line(metric.name(), labels(point.attributes()), point.value())
                    }));
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    lines.extend(histogram.data_points().map(|point| {
                        let value = format!("count={} sum={}", point.count(), point.sum());
                        line(metric.name(), labels(point.attributes()), value)
                    }));
                }
                _ => {}
            }
        }
        print(lines);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Vec<String> {
    attributes.map(|attribute| format!("{}={}", attribute.key, attribute.value)).collect()
}
