//! Implements the admin pages' traits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use failover::clock::Clock;
use failover::policy::PolicyError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::configuration::Configured;
use super::history::History;
use super::in_force::Amendment;
use super::policy;
use super::report::Reports;
use super::switch::Providers;
use super::transition::provider;
use super::{cluster_view, vehicles, warnings};
use crate::admin::{
    Check, Cluster, Executed, Failover, Forget, Instruction, Journal, Kind, Operated, PolicyChange,
    Preview, Refusal, ReportRequest, Reporting, Scope, Shown, Vehicle, VehicleError, View, Warning,
};
use crate::config::{Config, ConfigError, Setting};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::web::operator;

/// What the admin pages show and control.
#[derive(Debug)]
pub(super) struct Backstage<Clk: Clock> {
    pub(super) store: Store,
    pub(super) stopping: CancellationToken,
    pub(super) metrics: Metrics,
    pub(super) providers: Arc<Providers<Clk>>,
    pub(super) history: History,
    pub(super) reports: Reports,
    pub(super) configured: Configured<Clk>,
    /// When the server began to serve.
    pub(super) started: Instant,
}

impl<Clk: Clock + fmt::Debug> Operated for Backstage<Clk> {
    fn readiness(&self) -> Vec<Check> {
        let database = self.store.trouble().map(|trouble| trouble.to_string());
        let stopping = self.stopping.is_cancelled();
        vec![
            Check { name: "database", trouble: database },
            Check { name: "accepting", trouble: stopping.then(|| "the server is stopping".into()) },
        ]
    }

    fn warnings(&self) -> Vec<Warning> {
        self.providers.warnings().into_iter().chain(self.configured.warnings()).collect()
    }

    fn configuration(&self) -> operator::Configuration {
        self.configured.shown()
    }

    fn metrics(&self) -> Shown<'_, Result<String, fmt::Error>> {
        Box::pin(self.metrics.page())
    }

    fn failovers(&self) -> Vec<Arc<dyn Failover>> {
        vec![Arc::clone(&self.providers) as Arc<dyn Failover>]
    }

    fn cluster(&self) -> Option<Cluster> {
        self.providers.fleet.as_ref().map(|fleet| cluster_view::of(fleet))
    }

    fn overview(&self) -> Shown<'_, operator::Overview> {
        Box::pin(self.shown())
    }

    fn history(&self) -> Shown<'_, Vec<operator::History>> {
        Box::pin(self.histories())
    }

    fn report(&self, request: ReportRequest) -> Reporting {
        self.reports.make(request, self.providers.config().fallback_price)
    }

    fn vehicle<'a>(
        &'a self,
        segment: &'a str,
        calls: u32,
    ) -> Shown<'a, Result<Vehicle, VehicleError>> {
        Box::pin(vehicles::look(&self.store, segment, calls))
    }

    fn forget(&self, segment: &str, operator: String) -> Result<Forget, VehicleError> {
        let attempts = Arc::clone(&self.providers.attempts);
        vehicles::forget(self.store.clone(), attempts, segment, operator)
    }
}

impl<Clk: Clock + fmt::Debug> Failover for Providers<Clk> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn view(&self) -> View {
        let snapshot = self.status();
        View {
            name: Self::NAME.to_owned(),
            state: snapshot.state.as_str(),
            route: snapshot.route.as_str(),
            provider: provider(snapshot.route).name(),
            forced: snapshot.forced,
            order: self.orders.order(),
            window: cluster_view::window(snapshot.tally),
            reverts_in: snapshot.reverts_in,
            epoch: snapshot.epoch,
            policy: shown(&self.config()),
        }
    }

    fn journal(&self) -> &Journal {
        &self.attempts.journal
    }

    fn has_fleet(&self) -> bool {
        self.fleet.is_some()
    }

    fn execute(&self, instruction: &Instruction) -> Result<Executed, Refusal> {
        if instruction.scope == Scope::Fleet && self.fleet.is_some() {
            // Comes back, to be executed here as on the other nodes.
            self.send(instruction)?;
            return Ok(self.stored(instruction));
        }
        Ok(self.carry_out(instruction))
    }

    fn reconfigure(&self, change: &PolicyChange) -> Result<Executed, Refusal> {
        if change.scope == Scope::Fleet && self.fleet.is_some() {
            self.preview(change)?;
            // Comes back, to be made here as on the other nodes.
            self.send_policy(change)?;
        } else {
            self.change_policy(change)?;
        }
        let saved_policy = Arc::clone(&self.saved_policy);
        Ok(Box::pin(async move {
            if !saved_policy.is_stored_soon().await {
                tracing::warn!(
                    failover = Self::NAME,
                    command = "policy",
                    "{}",
                    warnings::NOT_STORED
                );
            }
        }))
    }

    fn preview(&self, change: &PolicyChange) -> Result<Preview, Refusal> {
        let (config, would_trip, because) = self.preview_policy(&amendment(change)?)?;
        Ok(Preview { policy: shown(&config), would_trip, because })
    }
}

impl<Clk: Clock> Providers<Clk> {
    /// Executes a command on this node, and records it.
    pub(super) fn carry_out(&self, instruction: &Instruction) -> Executed {
        let Instruction { by, until, reason, .. } = instruction;
        let order = instruction.order();
        let since = order.as_ref().and_then(|order| self.orders.extended_by(order));
        let extended = since.map_or(String::new(), |since| {
            format!(" (extended: forced since {})", since.strftime("%Y-%m-%d %H:%M:%S UTC"))
        });
        tracing::warn!(failover = Self::NAME, peer = %by, "an operator ordered: {instruction}{extended}");
        let kind = Kind::Command { from: by.clone(), until: *until, reason: reason.clone() };
        self.attempts.journal.note(kind, format!("{instruction}{extended}"));
        self.orders.execute(&self.handle(), instruction);
        self.stored(instruction)
    }

    /// Changes the policy of this node, and records it.
    pub(super) fn change_policy(&self, change: &PolicyChange) -> Result<(), Refusal> {
        self.amend_policy(&amendment(change)?)?;
        let PolicyChange { by, .. } = change;
        tracing::warn!(failover = Self::NAME, peer = %by, "an operator ordered: {change}");
        self.attempts.journal.note(Kind::command(by.clone()), change.to_string());
        Ok(())
    }

    /// Ready when the order in force is stored, or after a second with a warning.
    fn stored(&self, instruction: &Instruction) -> Executed {
        let (orders, command) = (Arc::clone(&self.orders), instruction.command.name());
        Box::pin(async move {
            if !orders.is_stored_soon().await {
                tracing::warn!(failover = Self::NAME, command, "{}", warnings::NOT_STORED);
            }
        })
    }
}

/// The settings of a policy by their names.
fn amendment(change: &PolicyChange) -> Result<Amendment, Refusal> {
    let PolicyChange { settings, persist, by, at, .. } = change;
    let setting = |(name, value): (&String, &Option<String>)| {
        let setting = Setting::from_key(name).filter(|setting| setting.is_live());
        Ok((setting.ok_or_else(|| unknown(name))?, value.clone()))
    };
    let settings = settings.iter().map(setting).collect::<Result<_, Refusal>>()?;
    Ok(Amendment { settings, persist: *persist, by: by.clone(), at: *at })
}

/// The settings of the policy in a configuration.
fn shown(config: &Config) -> BTreeMap<&'static str, String> {
    let shown = |setting: Setting| Some((setting.key(), config.shown(setting)?));
    Setting::live().filter_map(shown).collect()
}

fn unknown(name: &str) -> Refusal {
    let known: Vec<_> = Setting::live().map(Setting::key).collect();
    let known = known.join(", ");
    let message = format!("{name:?} is no setting of the policy; there are {known}");
    Refusal { field: name.to_owned(), message }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        let field = match &error {
            ConfigError::Value { setting, .. } => setting.key(),
            // Changes that are given as texts have no other errors.
            _ => "policy",
        };
        Self { field: field.to_owned(), message: error.to_string() }
    }
}

impl From<PolicyError> for Refusal {
    fn from(error: PolicyError) -> Self {
        Self { field: policy::field(&error).to_owned(), message: policy::message(&error) }
    }
}
