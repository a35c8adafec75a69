//! What is stored about a vehicle: its valuation, and the log of the calls to providers.

use std::pin::Pin;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde::Serialize;
use serde_json::value::RawValue;

use super::answers::{Answer, Problem, empty, json};
use super::{Operated, parameter};

/// The default number of calls in an answer, and the highest.
const CALLS: u32 = 100;
const MOST_CALLS: u32 = 1_000;

/// The future of [`Operated::forget`]: whether there was a valuation.
pub type Forget = Pin<Box<dyn Future<Output = Result<bool, VehicleError>> + Send>>;

/// What is stored about a vehicle.
#[derive(Debug, Serialize)]
pub struct Vehicle {
    /// The valuation, as the public side shows it.
    pub valuation: Option<Box<RawValue>>,
    /// Why the stored valuation can't be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The calls to providers, newest first.
    pub calls: Vec<LoggedCall>,
}

/// A row of the log, under the names of its columns.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "docs/database.md explains the columns")]
pub struct LoggedCall {
    pub id: i64,
    pub vrm: String,
    pub provider_name: String,
    pub requested_at: String,
    pub request_duration_ms: i64,
    pub request_url: String,
    pub response_code: Option<u16>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub outcome: Option<String>,
    pub rescue: Option<bool>,
}

/// Why there is no answer about a vehicle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VehicleError {
    /// The path's segment is not a registration mark.
    #[error("{0}")]
    Vrm(String),
    /// The database can't be read or written now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<VehicleError> for Problem {
    fn from(error: VehicleError) -> Self {
        match error {
            VehicleError::Vrm(message) => Self::field("vrm", message),
            VehicleError::Unavailable(message) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
            }
        }
    }
}

/// Answers a GET.
pub(super) async fn show(
    operated: &dyn Operated,
    segment: &str,
    parts: &Parts,
) -> Result<Answer, Problem> {
    let limit = parameter(parts, "limit").map_or(Ok(CALLS), str::parse);
    let limit = limit.ok().filter(|limit| *limit <= MOST_CALLS).ok_or_else(|| {
        Problem::field("limit", format!("limit must be a whole number up to {MOST_CALLS}"))
    })?;
    let vehicle = operated.vehicle(segment, limit).await?;
    if vehicle.valuation.is_none() && vehicle.problem.is_none() && vehicle.calls.is_empty() {
        let message = "nothing is stored about this vehicle";
        return Err(Problem::new(StatusCode::NOT_FOUND, message));
    }
    Ok(json(&vehicle))
}

/// Answers a DELETE of `operator`.
pub(super) async fn forget(
    operated: &dyn Operated,
    segment: &str,
    operator: String,
) -> Result<Answer, Problem> {
    if operated.forget(segment, operator)?.await? {
        return Ok(empty());
    }
    let message = "there is no valuation of this vehicle";
    Err(Problem::new(StatusCode::NOT_FOUND, message))
}
