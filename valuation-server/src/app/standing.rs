//! Keeps time of forced routes and of stays on the fallback, and keeps both, and the reason of a stay, over
//! a restart.
//!
//! The order's note decides at the start whether a route is forced: one write says it, so that no crash
//! between two writes leaves a forced route without its end.

use std::time::{Duration, SystemTime};

use failover::Route;
use failover::clock::{Clock, Moment};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::coverage::Change;
use super::switch::Providers;
use super::warnings;
use crate::admin::{ForcedRoute, Kind, Order};
use crate::store::{Note, Store, StoreError};
use crate::web::operator::Reason;

/// The key of the note.
const NAME: &str = "valuations order";
/// How often the ends of orders and the length of a stay are looked at. The wall clock is read anew, so
/// that a step of it delays no end for longer.
const EVERY: Duration = Duration::from_secs(1);

/// What is saved.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saved {
    order: Option<Order>,
    /// How long the stay on the fallback had lasted when this was saved.
    on_fallback_seconds: Option<u64>,
    /// Why. Notes of earlier versions have none.
    #[serde(default)]
    reason: Option<Reason>,
    /// When the last command was given, also one that released the route: in milliseconds since 1970. Notes
    /// of earlier versions have none.
    #[serde(default)]
    last_command_ms: Option<i64>,
}

/// What makes a save necessary.
type Key = (Option<Order>, Option<(Duration, Moment)>, Reason);

/// Saves and restores what an operator ordered, and since when the fallback is the route.
#[derive(Debug)]
pub(super) struct Standing<Clk: Clock> {
    providers: Providers<Clk>,
    store: Store,
    last: Option<Key>,
}

impl<Clk: Clock> Standing<Clk> {
    pub(super) fn new(providers: Providers<Clk>, store: Store) -> Self {
        Self { providers, store, last: None }
    }

    /// Restores what was saved. To be called after the route was restored.
    pub(super) async fn recall(&self) {
        let note = self.store.noted(NAME).await.inspect_err(|error| {
            tracing::warn!(%error, "the order of before the restart cannot be read");
        });
        if matches!(note, Ok(None)) {
            self.providers.orders.stored(None);
        }
        let note = note.ok().flatten();
        let saved = note.as_ref().and_then(|note| {
            let read = serde_json::from_str::<Saved>(&note.text);
            read.inspect_err(|error| {
                tracing::warn!(%error, "the order of before the restart cannot be understood");
            })
            .ok()
        });
        let handle = self.providers.handle();
        let orders = &self.providers.orders;
        match &saved {
            Some(Saved { order, last_command_ms, .. }) => {
                let last = last_command_ms.and_then(|at| Timestamp::from_millisecond(at).ok());
                orders.recall_given(last);
                orders.stored(order.clone());
                orders.resume(&handle, order.clone());
                orders.release_at_end(&handle);
            }
            // Of a server without such notes, or unreadable: the route stays as it was saved.
            None => orders.resume(&handle, self.unknown_order()),
        }
        if handle.snapshot().route == Route::Fallback {
            self.providers.coverage.resume(covered(saved.as_ref(), note.as_ref()));
            if let Some(reason) = saved.and_then(|saved| saved.reason) {
                self.providers.attempts.last_trip.resume(reason);
            }
        }
    }

    /// The order for a forced route of which only the route is known.
    fn unknown_order(&self) -> Option<Order> {
        let snapshot = self.providers.handle().snapshot();
        snapshot.forced.then(|| Order {
            route: match snapshot.route {
                Route::Primary => ForcedRoute::Primary,
                Route::Fallback => ForcedRoute::Fallback,
            },
            by: "unknown, before the restart".to_owned(),
            since: Timestamp::now(),
            until: None,
            reason: None,
        })
    }

    /// Looks and saves until `stop`, and saves once more then.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let mut orders = self.providers.orders.changes();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // At most one. A database that does not answer must not delay the end of an order.
        let mut saving = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = orders.changed() => {}
                _ = ticks.tick() => {}
                Some(saved) = saving.join_next() => {
                    if !self.concluded(saved) {
                        // The next tick tries again.
                        continue;
                    }
                }
            }
            self.look();
            if saving.is_empty() && self.last.as_ref() != Some(&self.key()) {
                saving.spawn(self.save());
            }
        }
        self.look();
        while let Some(saved) = saving.join_next().await {
            self.concluded(saved);
        }
        // In any case, for the length of the stay by the monotonic clock.
        saving.spawn(self.save());
        while let Some(saved) = saving.join_next().await {
            self.concluded(saved);
        }
    }

    fn look(&self) {
        let (handle, providers) = (self.providers.handle(), &self.providers);
        providers.orders.release_at_end(&handle);
        let Some(change) = providers.coverage.look(&handle) else { return };
        let (ongoing, lasted) = match change {
            Change::Began(lasted) => (true, lasted),
            Change::Ended(lasted) => (false, lasted),
        };
        let message = if ongoing {
            let message = warnings::on_fallback(lasted);
            tracing::warn!("{message}");
            message
        } else {
            let message = warnings::back(lasted);
            tracing::info!("{message}");
            message
        };
        let kind = Kind::LongOnFallback { ongoing, seconds: lasted.as_secs() };
        providers.attempts.journal.note(kind, message);
    }

    fn key(&self) -> Key {
        let Providers { orders, coverage, attempts, .. } = &self.providers;
        (orders.order(), coverage.id(), attempts.last_trip.reason())
    }

    /// Saves the order and the stay as they are now.
    fn save(&mut self) -> impl Future<Output = Result<Key, StoreError>> + Send + 'static {
        // Until it ends, it is not known what is saved.
        self.last = None;
        let order = self.providers.orders.to_store();
        let (_, stay, reason) = self.key();
        let lasted = self.providers.coverage.lasted(&self.providers.handle());
        let on_fallback_seconds = stay.map(|_| lasted.as_secs());
        let last_given = self.providers.orders.last_given();
        let saved = Saved {
            order: order.clone(),
            on_fallback_seconds,
            reason: Some(reason.clone()),
            last_command_ms: last_given.map(Timestamp::as_millisecond),
        };
        let text = serde_json::to_string(&saved).expect("texts and numbers have a JSON form");
        let store = self.store.clone();
        async move {
            store.note(NAME, text, SystemTime::now()).await?;
            Ok((order, stay, reason))
        }
    }

    /// Notes the end of a save, and says whether it succeeded.
    fn concluded(&mut self, saved: Result<Result<Key, StoreError>, JoinError>) -> bool {
        match saved {
            Ok(Ok(key)) => {
                self.providers.orders.stored(key.0.clone());
                self.last = Some(key);
                true
            }
            // The store has logged its cause.
            Ok(Err(error)) => {
                tracing::debug!(%error, "the order cannot be saved now");
                false
            }
            Err(error) => {
                tracing::error!(%error, "saving the order failed");
                false
            }
        }
    }
}

/// How long the stay on the fallback has lasted, with the restart. After a step back of the wall clock
/// the time that the restart took is unknown.
fn covered(saved: Option<&Saved>, note: Option<&Note>) -> Duration {
    let seconds = saved.and_then(|saved| saved.on_fallback_seconds);
    let meanwhile = note.and_then(|note| SystemTime::now().duration_since(note.at?).ok());
    seconds.map_or(Duration::ZERO, |seconds| {
        Duration::from_secs(seconds).saturating_add(meanwhile.unwrap_or_default())
    })
}
