//! Keeps an operator's changes of the policy over a restart, if they are to be.
//!
//! The changes are in force at once. A task saves them, and tries again each second.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use failover::clock::Clock;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::in_force::{OperatorChange, OperatorChanges};
use super::switch::Providers;
use crate::admin::Refusal;
use crate::config::Setting;
use crate::store::Store;

/// The key of the note.
const NAME: &str = "valuations policy";
/// How often what could not be saved is tried again.
const EVERY: Duration = Duration::from_secs(1);

/// A saved change. Its setting is the key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saved {
    value: String,
    by: String,
    /// In milliseconds since 1970.
    at_ms: i64,
}

/// Puts the saved changes in force, at a start. One that makes no sense now is logged and left out; the note
/// has it until the next change is saved.
pub(super) async fn recall<Clk: Clock>(providers: &Providers<Clk>, store: &Store) {
    let note = match store.noted(NAME).await {
        Ok(Some(note)) => note,
        Ok(None) => return,
        Err(error) => {
            return tracing::warn!(%error, "the saved changes of the policy cannot be read");
        }
    };
    let saved: BTreeMap<String, Saved> = match serde_json::from_str(&note.text) {
        Ok(saved) => saved,
        Err(error) => {
            return tracing::warn!(%error, "the saved changes of the policy cannot be understood");
        }
    };
    let mut changes = OperatorChanges::new();
    for (name, Saved { value, by, at_ms }) in saved {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        match Setting::from_key(&name).filter(|setting| setting.is_live()) {
            Some(setting) => drop(changes.insert(setting, OperatorChange { value, by, at })),
            None => left_out(&name, "it is no setting of the policy"),
        }
    }
    while !changes.is_empty() {
        let Err(Refusal { field, message }) = providers.recall_policy(changes.clone()) else {
            tracing::info!(settings = keys(&changes), "policy: as an operator saved it");
            break;
        };
        match Setting::from_key(&field).filter(|setting| changes.contains_key(setting)) {
            Some(setting) => {
                changes.remove(&setting);
                left_out(&field, &message);
            }
            None => {
                left_out(&keys(&changes), &message);
                changes.clear();
            }
        }
    }
    // Not what the note has, if something was left out: nothing is to be written now.
    providers.saved_policy.recall(changes);
}

fn left_out(settings: &str, because: &str) {
    tracing::warn!(settings, "policy: an operator's saved change is left out: {because}");
}

fn keys(changes: &OperatorChanges) -> String {
    changes.keys().map(|setting| setting.key()).collect::<Vec<_>>().join(", ")
}

/// Saves what is wanted until `stop`, and once more then.
pub(super) async fn keep<Clk: Clock>(
    providers: Providers<Clk>,
    store: Store,
    stop: CancellationToken,
) {
    let policy = &providers.saved_policy;
    let mut wanted = policy.changes();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            Ok(()) = wanted.changed() => false,
            _ = ticks.tick() => false,
        };
        if let Some(changes) = policy.to_store() {
            // The store has logged its cause.
            match store.note(NAME, text(&changes), SystemTime::now()).await {
                Ok(()) => policy.stored(changes),
                Err(error) => tracing::debug!(%error, "the policy cannot be saved now"),
            }
        }
        if stopping {
            return;
        }
    }
}

fn text(changes: &OperatorChanges) -> String {
    let saved = |change: &OperatorChange| Saved {
        value: change.value.clone(),
        by: change.by.clone(),
        at_ms: change.at.as_millisecond(),
    };
    let saved: BTreeMap<_, _> =
        changes.iter().map(|(setting, change)| (setting.key(), saved(change))).collect();
    serde_json::to_string(&saved).expect("texts and numbers have a JSON form")
}
