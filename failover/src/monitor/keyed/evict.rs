//! Which key a full table evicts.

use std::hash::Hash;
use std::sync::atomic::Ordering;

use super::{Entry, KeyedMonitors, PARTS, Part, write};
use crate::clock::Clock;
use crate::monitor::Monitor;
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::state::State;

/// A search that may evict one of this many keys looks at no further ones.
pub(super) const LOOKS: usize = 32;

/// The loss with an evicted key, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// Nothing: the window is empty.
    Nothing,
    /// Successes, or dropped calls, of a key that was not used lately.
    Successes,
    /// Successes of a key that was.
    Recent,
    /// A state that only calls can end.
    Waiting,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, Clk: Clock> KeyedMonitors<K, Clk> {
    /// Evicts a key. The caller adds another one instead of it.
    pub(super) fn evict_one(&self) -> bool {
        let policy = self.policy();
        while let Some((part, key)) = self.find_one(&policy) {
            let evicted = write(&self.table.parts[part]).evict(&key, &policy);
            if let Some(monitor) = evicted {
                // If its time on the fallback is over, this makes the revert and notifies the
                // observers, outside the lock.
                drop(monitor.admit());
                return true;
            }
            // Another thread has begun to use it, or has evicted it.
        }
        false
    }

    /// The part and the key with the least loss: of the first [`LOOKS`] keys, or else the first that
    /// may be evicted at all.
    fn find_one(&self, policy: &Policy) -> Option<(usize, K)> {
        let start = self.table.hand.fetch_add(1, Ordering::Relaxed);
        // Ordering: Relaxed. The length of a search affects only its cost.
        let short = self.table.short_searches.load(Ordering::Relaxed);
        let (mut looks, mut best) = (0, None::<(Loss, usize, K)>);
        'search: for part in (0..PARTS).map(|part| start.wrapping_add(part) % PARTS) {
            let mut keys = write(&self.table.parts[part]);
            for _ in 0..keys.queue.len() {
                if looks >= LOOKS && (best.is_some() || short > 0) {
                    break 'search;
                }
                looks += 1;
                let Some((key, loss)) = keys.next(policy) else { continue };
                if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                    best = Some((loss, part, key));
                }
                if loss == Loss::Nothing {
                    break 'search;
                }
            }
        }
        let short = match best {
            Some(_) => 0,
            None if short > 0 => short - 1,
            None => looks / LOOKS,
        };
        self.table.short_searches.store(short, Ordering::Relaxed);
        best.map(|(_, part, key)| (part, key))
    }
}

impl<K: Hash + Eq + Clone, Clk: Clock> Part<K, Clk> {
    /// Moves the first key of the queue to its end, and returns it if it may be evicted.
    fn next(&mut self, policy: &Policy) -> Option<(K, Loss)> {
        self.queue.rotate_left(1);
        let key = self.queue.back()?;
        let loss = self.entries.get(key)?.loss(policy)?;
        Some((key.clone(), loss))
    }

    /// Evicts a key, among the last of the queue, if that is still allowed.
    fn evict(&mut self, key: &K, policy: &Policy) -> Option<Monitor<Clk>> {
        self.entries.get(key)?.loss(policy)?;
        if let Some(index) = self.queue.iter().rposition(|queued| queued == key) {
            self.queue.remove(index);
        }
        self.entries.remove(key).map(|entry| entry.monitor)
    }
}

impl<Clk: Clock> Entry<Clk> {
    /// The loss with it; `None` if it may not be evicted. The part is locked, so no thread can begin
    /// to use it.
    fn loss(&self, policy: &Policy) -> Option<Loss> {
        let used = self.used.swap(false, Ordering::Relaxed);
        if !self.monitor.is_alone() {
            return None;
        }
        let handle = self.monitor.handle();
        let Snapshot { state, tally, stalled_calls, .. } = handle.snapshot();
        let clean = tally.failures == 0 && tally.slow == 0;
        let loss = match state {
            State::Primary if tally.calls() == 0 && tally.dropped == 0 => Loss::Nothing,
            State::Primary if clean && !used => Loss::Successes,
            State::Primary if clean => Loss::Recent,
            State::Primary if policy.last_calls().is_some() => Loss::Waiting,
            State::Probing | State::Ramping => Loss::Waiting,
            _ => return None,
        };
        (stalled_calls == 0 && handle.policy() == *policy).then_some(loss)
    }
}
