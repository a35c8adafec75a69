//! Which key makes way for another one, where all places are taken.

use std::hash::Hash;
use std::sync::atomic::Ordering;

use super::{Entry, KeyedMonitors, PARTS, Part, write};
use crate::clock::Clock;
use crate::monitor::Monitor;
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::state::State;

/// How many keys are looked at before the best of them is forgotten.
const LOOKS: usize = 32;

/// What is lost with a key that may be forgotten, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// Nothing: the window is empty.
    Nothing,
    /// Successes of a key that was not asked for lately.
    Successes,
    /// Successes of a key that was.
    Recent,
    /// What only calls can change, and no call comes.
    Waiting,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, Clk: Clock> KeyedMonitors<K, Clk> {
    /// Forgets a key for the sake of another one, which has its place then.
    pub(super) fn forget_one(&self) -> bool {
        let policy = self.policy();
        while let Some((part, key)) = self.find_one(&policy) {
            let forgotten = write(&self.table.parts[part]).forget(&key, &policy);
            if let Some(monitor) = forgotten {
                // Its time on the fallback may have run out without a call: then this makes the
                // revert, and tells of it, outside the lock.
                drop(monitor.admit());
                return true;
            }
            // Another thread uses it by now, or has forgotten it.
        }
        false
    }

    /// The key, and its part, with which the least is lost: of the first [`LOOKS`], or else the first
    /// that may be forgotten at all.
    fn find_one(&self, policy: &Policy) -> Option<(usize, K)> {
        let start = self.table.hand.fetch_add(1, Ordering::Relaxed);
        // Ordering: Relaxed: how far a search goes decides about its costs alone.
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
    /// The next key in the queue, which becomes its last, if it may be forgotten.
    fn next(&mut self, policy: &Policy) -> Option<(K, Loss)> {
        self.queue.rotate_left(1);
        let key = self.queue.back()?;
        let loss = self.entries.get(key)?.loss(policy)?;
        Some((key.clone(), loss))
    }

    /// Forgets a key that was among the last in the queue, if it still may be forgotten.
    fn forget(&mut self, key: &K, policy: &Policy) -> Option<Monitor<Clk>> {
        self.entries.get(key)?.loss(policy)?;
        if let Some(place) = self.queue.iter().rposition(|queued| queued == key) {
            self.queue.remove(place);
        }
        self.entries.remove(key).map(|entry| entry.monitor)
    }
}

impl<Clk: Clock> Entry<Clk> {
    /// What is lost with it; none if it may not be forgotten. The part is locked, so that no thread
    /// begins to use it meanwhile.
    fn loss(&self, policy: &Policy) -> Option<Loss> {
        let used = self.used.swap(false, Ordering::Relaxed);
        if !self.monitor.is_alone() {
            return None;
        }
        let handle = self.monitor.handle();
        let Snapshot { state, tally, stalled_calls, .. } = handle.snapshot();
        let clean = tally.failures == 0 && tally.slow == 0;
        let loss = match state {
            State::Primary if tally.calls() == 0 => Loss::Nothing,
            State::Primary if clean && !used => Loss::Successes,
            State::Primary if clean => Loss::Recent,
            State::Primary if policy.last_calls().is_some() => Loss::Waiting,
            State::Probing | State::Ramping => Loss::Waiting,
            _ => return None,
        };
        (stalled_calls == 0 && handle.policy() == *policy).then_some(loss)
    }
}
