//! This node of the cluster: what it knows of the others, and of its bus.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover::clock::Clock;
use failover::cluster::{BusView, Cluster, ClusterError, View};

use super::doubt::Doubt;
use crate::config::{ClusterUrl, Config};

/// This node, and whether it trusts its own evidence.
pub(super) struct Fleet {
    pub(super) cluster: Cluster,
    url: ClusterUrl,
    doubt: Mutex<Option<Doubt>>,
}

impl Fleet {
    /// The node of a configuration; `None` without a cluster.
    pub(super) fn new(
        config: &Config,
        clock: impl Clock,
    ) -> Result<Option<Arc<Self>>, ClusterError> {
        let Some(url) = config.cluster.clone() else { return Ok(None) };
        let cluster = config.cluster_builder().build_on(clock)?;
        Ok(Some(Arc::new(Self { cluster, url, doubt: Mutex::default() })))
    }

    pub(super) fn view(&self) -> View {
        self.cluster.view()
    }

    /// The bus, shown without credentials.
    pub(super) fn url(&self) -> &ClusterUrl {
        &self.url
    }

    /// How many live nodes there are in a scope: all, or those with a label.
    pub(super) fn nodes(&self, scope: Option<&str>) -> usize {
        let view = self.view();
        let Some(fleet) = view.failovers.first() else { return 0 };
        let has = |labels: &[failover::cluster::Label]| {
            scope.is_none_or(|scope| labels.iter().any(|label| label.to_string() == *scope))
        };
        fleet.nodes.iter().filter(|node| has(&node.labels)).count()
    }

    /// Why this node doubts its own evidence, if it does.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        *self.lock()
    }

    /// Sets why this node doubts its own evidence. Logs it, if that is new.
    pub(super) fn set_doubt(&self, doubt: Option<Doubt>) {
        let before = std::mem::replace(&mut *self.lock(), doubt);
        match (before, doubt) {
            (None, Some(doubt)) => tracing::warn!("cluster: {doubt}"),
            (Some(_), None) => {
                tracing::info!("cluster: this node's calls count in the fleet's decisions again");
            }
            _ => {}
        }
        self.cluster.suspect_itself(doubt.is_some());
    }

    /// That the bus is not connected, in words.
    pub(super) fn lost(&self) -> Option<String> {
        let BusView { is_up, reason, since, .. } = self.cluster.bus();
        // Not yet tried.
        (!is_up && !reason.is_empty()).then(|| {
            let since = humantime::format_duration(Duration::from_secs(since.as_secs()));
            format!(
                "cluster: the bus {} has not been connected for {since}: {reason}. This node decides by \
                 itself, and connects again by itself",
                self.url
            )
        })
    }

    // Only replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Option<Doubt>> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has been logged of the bus.
#[derive(Debug, Default)]
pub(super) struct BusLog {
    is_up: bool,
    is_down: bool,
    losses: u64,
}

impl BusLog {
    /// Logs a loss and a return, each once.
    pub(super) fn look(&mut self, fleet: &Fleet) {
        let bus = fleet.cluster.bus();
        let is_down = !bus.is_up && !bus.reason.is_empty();
        // It may have been down and up again between two looks.
        if (is_down && !self.is_down) || (bus.losses > self.losses && !is_down) {
            let reason = if bus.reason.is_empty() { "for a moment" } else { &bus.reason };
            tracing::warn!(
                "cluster: the bus {} is not connected: {reason}. This node decides by itself, and \
                 connects again by itself",
                fleet.url
            );
        }
        if bus.is_up && (!self.is_up || bus.losses > self.losses) {
            let node = fleet.cluster.node();
            tracing::info!("cluster: the bus {} is connected; this is node {node}", fleet.url);
        }
        *self = Self { is_up: bus.is_up, is_down, losses: bus.losses };
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("url", &self.url).finish_non_exhaustive()
    }
}
