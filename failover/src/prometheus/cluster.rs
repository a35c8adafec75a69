//! The metrics of a node of a cluster.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::collect::{counter, gauge};
use crate::cluster::{Cluster, FleetView, View};
use crate::route::Route;

/// Register a clone of the node as a collector. What it shows is read at each scrape; see the
/// [module](crate::prometheus) for the metrics.
impl Collector for Cluster {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        use MetricType::{Counter, Gauge};
        let view = self.view();
        let mut family = |name, help, unit: Option<&'static Unit>, kind, samples: Samples| {
            samples(&view, &mut encoder.encode_descriptor(name, help, unit, kind)?)
        };
        let help = "1 while the bus to the other nodes is connected.";
        family("failover_cluster_up", help, None, Gauge, |view, family| {
            gauge(family, &[("cluster", &*view.cluster)], &i64::from(view.bus.is_up))
        })?;
        let help = "How often the bus to the other nodes was lost.";
        family("failover_cluster_bus_losses", help, None, Counter, |view, family| {
            counter(family, &[("cluster", &*view.cluster)], view.bus.losses)
        })?;
        let help = "Messages that the bus dropped since they were not taken in time.";
        family("failover_cluster_lagged_messages", help, None, Counter, |view, family| {
            counter(family, &[("cluster", &*view.cluster)], view.bus.lagged)
        })?;
        let help = "Messages received, by what became of them.";
        family("failover_cluster_messages", help, None, Counter, |view, family| {
            view.messages.iter().try_for_each(|(result, messages)| {
                let labels = [("cluster", &*view.cluster), ("result", *result)];
                counter(family, &labels, *messages)
            })
        })?;
        let help = "Live nodes by their route, this one included.";
        family("failover_cluster_nodes", help, None, Gauge, |view, family| {
            each(view, |fleet| {
                [Route::Primary, Route::Fallback].into_iter().try_for_each(|route| {
                    let nodes = fleet.nodes.iter().filter(|node| node.state.route() == route);
                    let labels = [("name", &*fleet.failover), ("route", route.as_str())];
                    gauge(family, &labels, &(nodes.count() as u64))
                })
            })
        })?;
        let help = "Live nodes that doubt their own evidence, which then does not count.";
        family("failover_cluster_suspect_nodes", help, None, Gauge, |view, family| {
            each(view, |fleet| {
                let nodes = fleet.nodes.iter().filter(|node| node.suspicion.is_some());
                gauge(family, &[("name", &*fleet.failover)], &(nodes.count() as u64))
            })
        })?;
        let help = "The fleet's epoch, as this node knows it.";
        family("failover_cluster_epoch", help, None, Gauge, |view, family| {
            each(view, |fleet| gauge(family, &[("name", &*fleet.failover)], &fleet.epoch))
        })?;
        let help = "Other failure domains that are on the fallback in this node's epoch.";
        family("failover_cluster_vouchers", help, None, Gauge, |view, family| {
            each(view, |fleet| {
                gauge(family, &[("name", &*fleet.failover)], &(fleet.vouchers as u64))
            })
        })?;
        let help = "The calls of all live nodes to the primary that count in the fleet's decision.";
        family("failover_cluster_window_calls", help, None, Gauge, |view, family| {
            each(view, |fleet| {
                let tally = fleet.tally;
                let counts = [("success", tally.successes), ("failure", tally.failures)];
                counts.into_iter().try_for_each(|(outcome, calls)| {
                    gauge(family, &[("name", &*fleet.failover), ("outcome", outcome)], &calls)
                })
            })
        })?;
        let (help, unit) = ("The age of the oldest news of a live node.", &Unit::Seconds);
        family("failover_cluster_oldest_news", help, Some(unit), Gauge, |view, family| {
            each(view, |fleet| {
                let oldest = fleet.nodes.iter().map(|node| node.age).max().unwrap_or_default();
                gauge(family, &[("name", &*fleet.failover)], &oldest.as_secs_f64())
            })
        })
    }
}

/// Writes the samples of one family.
type Samples = fn(&View, &mut MetricEncoder<'_>) -> fmt::Result;

fn each(view: &View, sample: impl FnMut(&FleetView) -> fmt::Result) -> fmt::Result {
    view.failovers.iter().try_for_each(sample)
}
