//! What an operator should know although the server works: a good failover hides much.

use std::time::Duration;

use failover::clock::Clock;
use humantime::format_duration;

use super::switch::Providers;
use crate::admin::{ForcedRoute, Order, Warning};
use crate::domain::Provider;
use crate::telemetry::Lasting;

impl<Clk: Clock> Providers<Clk> {
    /// A forced route, an order that is not stored, a long stay on the fallback, a lost bus of the cluster,
    /// doubt of this node's own evidence, and client errors alone of a provider.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut add = |kind, text| warnings.push(Warning { kind, text });
        if let (Some(order), Some(lasted)) = (self.orders.order(), self.orders.forced_for()) {
            add("forced", forced(&order, lasted));
        }
        if self.orders.is_overdue() || self.saved_policy.is_overdue() {
            add("notStored", NOT_STORED.to_owned());
        }
        if let Some(lasted) = self.coverage.too_long(&self.handle()) {
            add("onFallback", on_fallback(lasted));
        }
        if let Some(fleet) = &self.fleet {
            if let Some(text) = fleet.lost() {
                add("clusterBus", text);
            }
            if let Some(doubt) = fleet.doubt() {
                add("clusterDoubt", format!("cluster: {doubt}"));
            }
        }
        for provider in Provider::ALL {
            if let Some(text) = self.attempts.warning(provider) {
                add("clientErrors", text);
            }
        }
        warnings
    }
}

impl<Clk: Clock + std::fmt::Debug> Lasting for Providers<Clk> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn forced(&self) -> Duration {
        self.orders.forced_for().unwrap_or_default()
    }

    fn on_fallback(&self) -> Duration {
        self.coverage.lasted(&self.handle())
    }
}

/// The last command is in force, and not in the database.
pub(super) const NOT_STORED: &str = "the order is not stored: it is in force, and a restart loses it. The \
    database does not store now; it is tried again each second";

fn forced(order: &Order, lasted: Duration) -> String {
    let to = match order.route {
        ForcedRoute::Primary => Provider::SuperCar,
        ForcedRoute::Fallback => Provider::Premium,
    };
    let (lasted, end, by) = (rounded(lasted), order.end(), &order.by);
    let reason = order.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!(
        "forced: all calls have gone first to {} for {lasted}, {end}, by order of {by}{reason}",
        to.name()
    )
}

/// Calls are on the fallback for longer than the setting.
pub(super) fn on_fallback(lasted: Duration) -> String {
    format!(
        "on the fallback: Premium has stood in for SuperCar for {} (--fallback-warning). Customers get \
         valuations at Premium's price: check why SuperCar fails, or release the route if it is forced",
        rounded(lasted)
    )
}

/// Calls are no longer on the fallback, after a long time.
pub(super) fn back(lasted: Duration) -> String {
    format!("on the fallback: SuperCar answers again, after {} with Premium", rounded(lasted))
}

fn rounded(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs())).to_string()
}
