//! Orders for all nodes of the cluster: they are sent, and carried out as those for this node.
//!
//! A node that starts gets the newest from the others. One that it knew before the restart changes nothing:
//! it is continued from the database, and may have been released since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use failover::Route;
use failover::clock::Clock;
use failover::cluster::{ClusterError, Command, GivenOrder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::switch::Providers;
use crate::admin::{self, Instruction, Kind, PolicyChange, Refusal, Scope};
use crate::config::Setting;

/// What the orders for the policy say together: a node that joins gets the last one alone.
#[derive(Debug, Default, Serialize, Deserialize)]
struct FleetPolicy {
    /// By name; `null` takes an operator's change back.
    #[serde(flatten)]
    settings: BTreeMap<String, Option<String>>,
    /// The settings that are saved.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    persist: BTreeSet<String>,
}

/// The settings of an order for the policy; `None` if it is of another version.
pub(super) fn policy_settings(text: &str) -> Option<BTreeMap<String, Option<String>>> {
    serde_json::from_str::<FleetPolicy>(text).ok().map(|order| order.settings)
}

/// Joins the cluster, if there is one.
pub(super) fn join<Clk: Clock>(providers: &Providers<Clk>) -> Result<(), ClusterError> {
    let Some(fleet) = &providers.fleet else { return Ok(()) };
    // Without the fleet, so that no order from it is sent again, and the cluster does not keep itself.
    let own = providers.alone();
    fleet.cluster.join_obeying(&providers.handle(), move |order| own.obey(order))
}

impl<Clk: Clock> Providers<Clk> {
    /// Carries out an order for the fleet, of this node or another one.
    fn obey(&self, given: &GivenOrder) {
        let now = Timestamp::now();
        let age = given.age.min(Duration::from_secs(1 << 32));
        let at = now.saturating_sub(age).unwrap_or(now);
        let by = given.by.clone();
        let (command, lasts) = match &given.command {
            Command::Force { route: Route::Primary, lasts } => {
                (admin::Command::ForcePrimary, *lasts)
            }
            Command::Force { route: Route::Fallback, lasts } => {
                (admin::Command::ForceFallback, *lasts)
            }
            Command::Release => (admin::Command::Auto, None),
            Command::Policy(text) => return self.obey_policy(text, &by, at),
            other => return tracing::warn!(?other, "cluster: an order of a later version"),
        };
        let until = lasts.map(|lasts| at.saturating_add(lasts).unwrap_or(Timestamp::MAX));
        let reason = Some(given.reason.clone()).filter(|reason| !reason.is_empty());
        let (scope, is_over) = (Scope::Fleet, until.is_some_and(|until| until <= now));
        let mut instruction = Instruction { command, by, at, until, reason, scope };
        if self.orders.is_known(&instruction) {
            return tracing::debug!(%instruction, "cluster: an order of before the restart");
        }
        if is_over {
            // What it replaced has ended as well.
            if self.orders.order().is_none_or(|order| order.since > at) {
                return;
            }
            instruction.command = admin::Command::Auto;
            instruction.until = None;
        }
        // Nothing of it is for a fleet, so nothing is refused. That it is not stored is a warning as well.
        drop(self.carry_out(&instruction));
    }

    fn obey_policy(&self, text: &str, by: &str, at: Timestamp) {
        let refused = |message: String| {
            tracing::warn!(peer = %by, "cluster: an order for the policy can't be followed: {message}");
            let message = format!("policy for the whole fleet: not followed: {message}");
            self.attempts.journal.note(Kind::command(by.to_owned()), message);
        };
        let order: FleetPolicy = match serde_json::from_str(text) {
            Ok(order) => order,
            Err(error) => return refused(error.to_string()),
        };
        let FleetPolicy { settings, persist } = order;
        // The others are in force already: earlier orders are sent along.
        let now = self.in_force();
        let differs = |name: &str, value: Option<&str>, saved: bool| {
            let Some(setting) = Setting::from_key(name) else { return true };
            match (value, now.change(setting)) {
                (None, change) => change.is_some(),
                (_, Some((_, is_saved))) if is_saved != saved => true,
                (_, None) if saved => true,
                (value, _) => now.config().shown(setting).as_deref() != value,
            }
        };
        for persist_these in [true, false] {
            let changed: BTreeMap<_, _> = settings
                .iter()
                .filter(|(name, _)| persist.contains(*name) == persist_these)
                .filter(|(name, value)| differs(name, value.as_deref(), persist_these))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            if changed.is_empty() {
                continue;
            }
            let (by, scope) = (by.to_owned(), Scope::Fleet);
            let change = PolicyChange { settings: changed, persist: persist_these, by, at, scope };
            if let Err(refusal) = self.change_policy(&change) {
                refused(refusal.message);
            }
        }
    }

    /// Sends a command to all nodes. This one has carried it out when this returns.
    pub(super) fn send(&self, instruction: &Instruction) -> Result<(), Refusal> {
        let Instruction { at, until, reason, by, .. } = instruction;
        let force = |route| {
            let lasts = until.map(|until| Duration::try_from(until.duration_since(*at)));
            Command::Force { route, lasts: lasts.map(Result::unwrap_or_default) }
        };
        let command = match instruction.command {
            admin::Command::ForcePrimary => force(Route::Primary),
            admin::Command::ForceFallback => force(Route::Fallback),
            admin::Command::Auto => Command::Release,
            admin::Command::Reset => {
                let message =
                    "RESET is for one node: send it with scope node, or AUTO to the fleet";
                return Err(Refusal { field: "updateState".into(), message: message.into() });
            }
        };
        self.order(command, by, reason.as_deref().unwrap_or_default())
    }

    /// Sends changes of the policy to all nodes, with those of earlier orders: a node that joins gets the last
    /// order alone.
    pub(super) fn send_policy(&self, change: &PolicyChange) -> Result<(), Refusal> {
        let orders = self.cluster().into_iter().flat_map(|view| view.failovers);
        let earlier = orders.flat_map(|fleet| fleet.orders).find_map(|order| match order.command {
            Command::Policy(text) => serde_json::from_str::<FleetPolicy>(&text).ok(),
            _ => None,
        });
        let mut order = earlier.unwrap_or_default();
        for (name, value) in &change.settings {
            order.settings.insert(name.clone(), value.clone());
            order.persist.remove(name);
            if change.persist && value.is_some() {
                order.persist.insert(name.clone());
            }
        }
        let text = serde_json::to_string(&order).expect("texts have a JSON form");
        self.order(Command::Policy(text), &change.by, "")
    }

    fn order(&self, command: Command, by: &str, reason: &str) -> Result<(), Refusal> {
        let Some(fleet) = &self.fleet else { return Ok(()) };
        let by = format!("{by} at node {}", fleet.cluster.node());
        fleet.cluster.order(Self::NAME, command, &by, reason).map_err(|error| {
            let field = match &error {
                ClusterError::TooLong { text, .. } => text,
                _ => "scope",
            };
            Refusal {
                field: field.to_owned(),
                message: format!("{error}; with scope node it can be"),
            }
        })
    }
}
