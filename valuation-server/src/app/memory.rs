//! Keeps the route across a restart.
//!
//! A server that starts without its counts asks a failing primary until ten more calls have failed, and
//! a crash loop would flood it. So the failover's state is saved at each transition, at the stop, and
//! every few seconds if calls were counted; the next start restores it. A failed save does no harm:
//! the next one follows.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use failover::monitor::{Saved, Tally};
use failover::{Event, FailoverHandle, State};
use humantime::format_duration;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::transition::provider;
use crate::store::Store;

/// The key of the saved state.
const NAME: &str = "valuations";
/// How often changed counts are saved. After a crash the window lacks the calls since the last save.
const EVERY: Duration = Duration::from_secs(10);

/// Saves and restores the state of a failover.
#[derive(Debug)]
pub(super) struct Memory {
    handle: FailoverHandle,
    store: Store,
    /// The epoch and the counts of the last save.
    last: Option<(u32, Tally)>,
}

impl Memory {
    pub(super) fn new(handle: FailoverHandle, store: Store) -> Self {
        Self { handle, store, last: None }
    }

    /// Restores the saved state, if there is one that can be read.
    pub(super) async fn recall(&self) {
        let note = match self.store.noted(NAME).await {
            Ok(Some(note)) => note,
            Ok(None) => return,
            Err(error) => {
                return tracing::warn!(%error, "the route of before the restart cannot be read");
            }
        };
        match serde_json::from_str::<Saved>(&note.text) {
            // The state of a new failover.
            Ok(saved) if saved.state() == State::Primary && saved.tally().calls() == 0 => {}
            Ok(saved) => {
                // After a step back of the wall clock the elapsed time is unknown.
                let elapsed = note.at.and_then(|at| SystemTime::now().duration_since(at).ok());
                self.go_on(&saved, elapsed.unwrap_or_default());
            }
            Err(error) => {
                tracing::warn!(%error, "the route of before the restart cannot be understood");
            }
        }
    }

    fn go_on(&self, saved: &Saved, elapsed: Duration) {
        self.handle.restore(saved, elapsed);
        let now = self.handle.snapshot();
        let ago = format_duration(Duration::from_secs(elapsed.as_secs()));
        let left = now.reverts_in.map(|left| Duration::from_secs(left.as_secs()));
        tracing::info!(
            first = provider(now.route).name(),
            state = now.state.as_str(),
            for_another = left.map(|left| format_duration(left).to_string()),
            "the route is as it was {ago} ago, before the restart"
        );
    }

    /// Saves until `stop`, and once more then.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        // Several transitions between two saves lead to one.
        let transition = Arc::new(Notify::new());
        let observed = Arc::clone(&transition);
        self.handle.observe(move |_: &Event| observed.notify_one());
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = transition.notified() => false,
                _ = ticks.tick() => false,
            };
            self.save(stopping).await;
            if stopping {
                return;
            }
        }
    }

    /// Saves the current state, unless only time has passed since the last save. At the stop it is saved
    /// in any case.
    ///
    /// The epoch is compared instead of the state: a failed probe leads to the same state with another
    /// deadline.
    async fn save(&mut self, always: bool) {
        // Read before the state: a transition in between only causes one more save.
        let snapshot = self.handle.snapshot();
        let current = (snapshot.epoch, snapshot.tally);
        if !always && self.last == Some(current) {
            return;
        }
        let (saved, at) = (self.handle.save(), SystemTime::now());
        let text = match serde_json::to_string(&saved) {
            Ok(text) => text,
            Err(error) => return tracing::warn!(%error, "the route cannot be written down"),
        };
        match self.store.note(NAME, text, at).await {
            Ok(()) => self.last = Some(current),
            // The store has logged its cause.
            Err(error) => tracing::debug!(%error, "the route cannot be saved now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreConfig;
    use failover::clock::ManualClock;
    use failover::policy::Probing;
    use failover::{Monitor, Outcome, Policy};

    const ON_THE_FALLBACK: Duration = Duration::from_secs(300);

    fn fail(monitor: &Monitor<ManualClock>, calls: usize) {
        for _ in 0..calls {
            let ticket = monitor.admit().ticket().unwrap();
            monitor.record(ticket, Outcome::Failure);
        }
    }

    #[tokio::test]
    async fn a_new_time_on_the_fallback_is_saved_though_state_and_counts_are_as_before() {
        let policy = || Policy::builder().minimum_calls(2).revert_after(ON_THE_FALLBACK);
        // A probe that fails; a revert and another trip.
        for (policy, failures) in [(policy().probing(Probing::new(1)), 1), (policy(), 2)] {
            let folder = tempfile::tempdir().unwrap();
            let store =
                Store::open(&StoreConfig::new(folder.path().join("v.sqlite"))).await.unwrap();
            let clock = ManualClock::new();
            let monitor = Monitor::with_clock(policy.build().unwrap(), clock.clone());
            let mut memory = Memory::new(monitor.handle(), store.clone());
            let saved = async || -> (String, Option<Duration>) {
                let text = store.noted(NAME).await.unwrap().unwrap().text;
                let saved: Saved = serde_json::from_str(&text).unwrap();
                (text, saved.reverts_in())
            };
            fail(&monitor, 2);
            clock.advance(ON_THE_FALLBACK / 3);
            memory.save(false).await;
            assert_eq!(saved().await.1, Some(ON_THE_FALLBACK / 3 * 2));

            // Both transitions between two wake-ups of the task.
            clock.advance(ON_THE_FALLBACK / 3 * 2);
            fail(&monitor, failures);
            assert_eq!(monitor.handle().snapshot().state, State::Fallback);
            memory.save(false).await;
            assert_eq!(saved().await.1, Some(ON_THE_FALLBACK));

            // Time that goes by is no reason to write.
            let before = saved().await;
            clock.advance(Duration::from_secs(1));
            memory.save(false).await;
            assert_eq!(saved().await, before);
        }
    }
}
