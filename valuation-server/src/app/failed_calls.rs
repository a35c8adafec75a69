//! The latest calls that a provider failed or refused.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::domain::{Provider, ProviderCall};
use crate::store::{LoggedCall, Store};
use crate::web::operator::{FailedCall, ROWS};

/// How many of the log's newest rows are looked through at the start.
const RECALLED: u32 = 1_000;

/// The latest failed calls, newest first, in memory: the log has no index by them. A vehicle that a
/// provider does not know is no failed call.
#[derive(Debug, Default)]
pub(super) struct FailedCalls(Mutex<VecDeque<FailedCall>>);

impl FailedCalls {
    /// Takes a call if it failed. A call that succeeded costs nothing.
    pub(super) fn note(&self, call: &ProviderCall) {
        if let Some((code, _)) = &call.error
            && call.response_code != Some(404)
        {
            self.push(FailedCall {
                at: call.requested_at,
                provider: call.provider,
                vrm: call.vrm.to_string(),
                code: code.as_str().to_owned(),
                status: call.response_code,
                duration: call.duration,
            });
        }
    }

    /// Takes those from before the start, as far as the newest rows of the log have them.
    pub(super) async fn recall(&self, store: &Store) {
        match store.calls(None, RECALLED).await {
            Ok(rows) => rows.into_iter().filter_map(failed).for_each(|call| self.push(call)),
            Err(error) => tracing::debug!(%error, "the log's failed calls cannot be read"),
        }
    }

    /// All that are kept, newest first.
    pub(super) fn latest(&self) -> Vec<FailedCall> {
        self.lock().iter().cloned().collect()
    }

    fn push(&self, call: FailedCall) {
        let mut calls = self.lock();
        calls.truncate(ROWS - 1);
        calls.push_front(call);
    }

    // No panic can leave the list half-changed, so poison is ignored.
    fn lock(&self) -> MutexGuard<'_, VecDeque<FailedCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row of the log, if its call failed.
fn failed(row: LoggedCall) -> Option<FailedCall> {
    let code = row.error_code.filter(|_| row.response_code != Some(404))?;
    Some(FailedCall {
        at: SystemTime::from(row.requested_at.parse::<Timestamp>().ok()?),
        provider: Provider::from_name(&row.provider_name)?,
        vrm: row.vrm,
        code,
        status: row.response_code,
        duration: Duration::from_millis(u64::try_from(row.request_duration_ms).unwrap_or(0)),
    })
}
