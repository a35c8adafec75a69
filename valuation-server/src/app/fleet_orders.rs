//! Orders for all nodes of the cluster: they are sent, and carried out as those for this node.
//!
//! A node that starts gets the newest from the others. One that it knew before the restart changes nothing:
//! it is continued from the database, and may have been released since.

use std::collections::BTreeMap;
use std::time::Duration;

use failover::Route;
use failover::clock::Clock;
use failover::cluster::{ClusterError, Command, GivenOrder};
use jiff::Timestamp;

use super::switch::Providers;
use crate::admin::{self, Instruction, Kind, Refusal, Scope};
use crate::config::Setting;

/// The settings that an order changes, by name.
type Settings = BTreeMap<String, String>;

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
            Command::Policy(text) => return self.obey_policy(text, &by),
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

    fn obey_policy(&self, text: &str, by: &str) {
        let refused = |message: String| {
            tracing::warn!(peer = %by, "cluster: an order for the policy can't be followed: {message}");
            let message = format!("policy for the whole fleet: not followed: {message}");
            self.attempts.journal.note(Kind::command(by.to_owned()), message);
        };
        let settings: Settings = match serde_json::from_str(text) {
            Ok(settings) => settings,
            Err(error) => return refused(error.to_string()),
        };
        // The others are in force already: earlier orders are sent along.
        let config = self.config();
        let differs = |name: &str, value: &str| {
            let shown = Setting::from_key(name).and_then(|setting| config.shown(setting));
            shown.as_deref() != Some(value)
        };
        let changed: Settings =
            settings.into_iter().filter(|(name, value)| differs(name, value)).collect();
        if changed.is_empty() {
            return;
        }
        if let Err(refusal) = self.change_policy(&changed, by, Scope::Fleet) {
            refused(refusal.message);
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
    pub(super) fn send_policy(&self, changes: &Settings, by: &str) -> Result<(), Refusal> {
        let orders = self.cluster().into_iter().flat_map(|view| view.failovers);
        let earlier = orders.flat_map(|fleet| fleet.orders).find_map(|order| match order.command {
            Command::Policy(text) => serde_json::from_str::<Settings>(&text).ok(),
            _ => None,
        });
        let mut settings = earlier.unwrap_or_default();
        settings.extend(changes.clone());
        let text = serde_json::to_string(&settings).expect("texts have a JSON form");
        self.order(Command::Policy(text), by, "")
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
