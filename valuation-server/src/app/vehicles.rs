//! What operators see of a vehicle, and how its valuation is forgotten.

use std::sync::Arc;

use failover::clock::Clock;
use serde_json::value::RawValue;
use tracing::Instrument;

use super::attempts::Attempts;
use super::switch::Providers;
use crate::admin::{Forget, Kind, LoggedCall, Vehicle, VehicleError};
use crate::domain::{Provider, Vrm};
use crate::http::router::decode_vrm;
use crate::http::wire::valuation_json;
use crate::store::{self, Store, StoreError};

/// What is stored about the vehicle in a path's segment, with its newest `calls`.
pub(super) async fn look(
    store: &Store,
    segment: &str,
    calls: u32,
) -> Result<Vehicle, VehicleError> {
    let vrm = decode(segment)?;
    let (valuation, problem) = match store.find(&vrm).await {
        Ok(found) => (found.map(|found| raw(valuation_json(&found))), None),
        Err(error @ StoreError::Corrupt { .. }) => (None, Some(error.to_string())),
        Err(error) => return Err(unavailable(&error)),
    };
    let calls = store.calls(Some(&vrm), calls).await.map_err(|error| unavailable(&error))?;
    let calls = calls.into_iter().rev().map(logged).collect();
    Ok(Vehicle { valuation, problem, calls })
}

/// Forgets the valuation of the vehicle in a path's segment, in a task of its own: an operator who goes
/// away leaves no deletion without its log line and its event.
pub(super) fn forget<Clk: Clock>(
    store: Store,
    attempts: Arc<Attempts<Clk>>,
    segment: &str,
    operator: String,
) -> Result<Forget, VehicleError> {
    let vrm = decode(segment)?;
    let forgetting = async move {
        let command = format!("FORGET {vrm}: {}", shown(&store, &vrm).await);
        let forgotten = store.forget(vrm).await.map_err(|error| unavailable(&error))?;
        if forgotten {
            tracing::warn!(
                failover = Providers::<Clk>::NAME,
                peer = operator,
                "an operator ordered: {command}"
            );
            attempts.journal.note(Kind::command(operator), command);
        }
        Ok(forgotten)
    };
    let forgetting = tokio::spawn(forgetting.in_current_span());
    Ok(Box::pin(async {
        // It ends early only if the runtime does.
        let stopping = |_| VehicleError::Unavailable("the server is stopping".to_owned());
        forgetting.await.map_err(stopping)?
    }))
}

fn decode(segment: &str) -> Result<Vrm, VehicleError> {
    decode_vrm(segment).map_err(|error| VehicleError::Vrm(error.to_string()))
}

/// The stored valuation, for the log.
async fn shown(store: &Store, vrm: &Vrm) -> String {
    match store.find(vrm).await {
        Ok(Some(found)) => {
            let provider = found.provider.map_or("an unknown provider", Provider::name);
            format!("{} to {} of {provider}", found.lowest, found.highest)
        }
        Ok(None) => "stored a moment ago".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn raw(json: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(json).expect("texts and numbers are UTF-8");
    RawValue::from_string(text).expect("a valuation is written as JSON")
}

fn unavailable(error: &StoreError) -> VehicleError {
    VehicleError::Unavailable(error.to_string())
}

fn logged(row: store::LoggedCall) -> LoggedCall {
    LoggedCall {
        id: row.id,
        vrm: row.vrm,
        provider_name: row.provider_name,
        requested_at: row.requested_at,
        request_duration_ms: row.request_duration_ms,
        request_url: row.request_url,
        response_code: row.response_code,
        error_code: row.error_code,
        error_message: row.error_message,
        outcome: row.outcome,
        rescue: row.rescue,
    }
}
