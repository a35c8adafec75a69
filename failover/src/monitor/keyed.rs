//! One monitor per key: per host, per tenant.

mod evict;

use std::collections::hash_map::{Entry as Slot, RandomState};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::{Clock, CoarseClock};
use crate::engine::observers::{FindSubject, Subject};
use crate::event::Event;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::policy::Policy;

/// One monitor per key, with one policy and a maximum number of keys. Clones share the table.
///
/// A key is added by its first [`monitor`](Self::monitor). If the table is full, another is evicted.
///
/// # Eviction
/// Only an idle and healthy key is evicted: its route is the primary and not forced, its window
/// holds no failed and no slow call, no call is stalled, its policy is the table's, and no service,
/// handle, monitor or future uses it. Its successes, streak and backoff are lost. A key with an empty
/// window, without dropped calls, goes first, then one that was not used since a search last looked at it.
///
/// Some keys are healthy again only after further calls: those that are [probing] or [ramping] up,
/// and those with a failure in a window of [last calls]. They are evicted if the search meets no
/// other.
///
/// [probing]: crate::policy::PolicyBuilder::probing
/// [ramping]: crate::policy::PolicyBuilder::ramp_up
/// [last calls]: crate::policy::PolicyBuilder::last_calls
///
/// # A full table
/// If no key may be evicted, [`monitor`](Self::monitor) returns an unshared monitor, which is gone
/// with its user. Calls of that key go to the primary, unprotected: no call is rejected because the
/// table is full, and no tripped key is evicted. [`unshared`](Self::unshared) counts these; if it
/// grows, the capacity is too small.
///
/// # What a key has not
/// The calls of a [`layer`](Self::layer) are classified by their result, which over HTTP is the head: see
/// [`KeyedFailover`](crate::service::keyed::KeyedFailover#over-http). They have no name, no metrics and no
/// `on_call`. One layer per key, made with [`monitor`](Self::monitor), has all of them; but a name is kept for
/// the rest of the process, so the names of unboundedly many keys are unbounded memory. To tell keys apart
/// without names, use [`observe`](Self::observe).
///
/// # Cost
/// A known key: a hash and a read lock on one of 16 parts, then the same as without keys. A new key:
/// an allocation and, in a full table, a search. It evicts the best of 32 keys, and looks at further
/// ones only if it may evict none of these. After a search of the whole table in vain, the next ones
/// look at 32 keys each, until together they have searched the whole table.
///
/// ```
/// use failover::{Outcome, Policy, Route};
/// use failover::monitor::KeyedMonitors;
///
/// let hosts = KeyedMonitors::new(Policy::default(), 1_000);
/// for _ in 0..10 {
///     let ticket = hosts.monitor(&"a.example").admit().ticket().unwrap();
///     hosts.monitor(&"a.example").record(ticket, Outcome::Failure);
/// }
/// assert_eq!(hosts.monitor(&"a.example").route(), Route::Fallback);
/// assert_eq!(hosts.monitor(&"b.example").route(), Route::Primary);
/// ```
#[derive(Clone)]
pub struct KeyedMonitors<K, Clk = CoarseClock> {
    table: Arc<Table<K, Clk>>,
}

const PARTS: usize = 16;

struct Table<K, Clk> {
    clock: Clk,
    capacity: usize,
    hasher: RandomState,
    settings: RwLock<Settings<K>>,
    parts: [RwLock<Part<K, Clk>>; PARTS],
    /// The number of keys, including those being added; at most the capacity.
    taken: AtomicUsize,
    /// The part in which the next search begins.
    hand: AtomicUsize,
    /// How many of the next searches look at [`evict::LOOKS`] keys at most.
    short_searches: AtomicUsize,
    unshared: AtomicU64,
    /// Of the warning of all keys.
    subject: Arc<FindSubject>,
}

/// The settings of new keys.
struct Settings<K> {
    policy: Policy,
    observers: Vec<Observer<K>>,
}

type Observer<K> = Arc<dyn Fn(&K, &Event) + Send + Sync>;

struct Part<K, Clk> {
    entries: HashMap<K, Entry<Clk>, RandomState>,
    /// The keys in the order in which searches look at them.
    queue: VecDeque<K>,
}

struct Entry<Clk> {
    monitor: Monitor<Clk>,
    /// Whether it was used since a search last looked at it.
    used: AtomicBool,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> KeyedMonitors<K> {
    /// At most `capacity` keys, at least 1, on the [`CoarseClock`].
    #[must_use]
    pub fn new(policy: Policy, capacity: usize) -> Self {
        Self::with_clock(policy, capacity, CoarseClock)
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, Clk: Clock> KeyedMonitors<K, Clk> {
    /// The same with another clock.
    #[must_use]
    pub fn with_clock(policy: Policy, capacity: usize, clock: Clk) -> Self {
        let hasher = RandomState::new();
        let part = |_| {
            let entries = HashMap::with_hasher(hasher.clone());
            RwLock::new(Part { entries, queue: VecDeque::new() })
        };
        let table = Table {
            clock,
            capacity: capacity.max(1),
            settings: RwLock::new(Settings { policy, observers: Vec::new() }),
            parts: std::array::from_fn(part),
            hasher,
            taken: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            short_searches: AtomicUsize::new(0),
            unshared: AtomicU64::new(0),
            subject: warn_once(),
        };
        Self { table: Arc::new(table) }
    }

    /// The monitor of a key, which is added if it is absent. Keep it while a call runs: a key in use
    /// is not evicted.
    ///
    /// For your own service, pass it to
    /// [`FailoverLayer::with_monitor`](crate::service::layer::FailoverLayer::with_monitor).
    #[must_use]
    pub fn monitor(&self, key: &K) -> Monitor<Clk> {
        self.known(key).unwrap_or_else(|| self.add(key))
    }

    /// The operator's handle of a key; `None` if it is absent. Adds nothing.
    #[must_use]
    pub fn handle(&self, key: &K) -> Option<FailoverHandle> {
        self.known(key).map(|monitor| monitor.handle())
    }

    /// The operator's handles of all keys.
    #[must_use]
    pub fn handles(&self) -> Vec<(K, FailoverHandle)> {
        let mut all = Vec::new();
        for part in &self.table.parts {
            let handle = |(key, entry): (&K, &Entry<Clk>)| (key.clone(), entry.monitor.handle());
            all.extend(read(part).entries.iter().map(handle));
        }
        all
    }

    /// Observes the transitions of all keys that are added from now on: call it before the first.
    ///
    /// ```
    /// # use failover::{Event, Policy};
    /// # use failover::monitor::KeyedMonitors;
    /// let tenants = KeyedMonitors::<u32>::new(Policy::default(), 100);
    /// tenants.observe(|tenant: &u32, event: &Event| println!("tenant {tenant}: {event:?}"));
    /// ```
    pub fn observe(&self, observer: impl Fn(&K, &Event) + Send + Sync + 'static) {
        write(&self.table.settings).observers.push(Arc::new(observer));
    }

    /// Replaces the policy of present and future keys: see [`FailoverHandle::swap_policy`].
    pub fn swap_policy(&self, policy: Policy) {
        write(&self.table.settings).policy = policy;
        for (_, handle) in self.handles() {
            // Of two swaps at once, the same one is the last for every key.
            let mut policy = self.policy();
            while handle.policy() != policy {
                handle.swap_policy(policy);
                policy = self.policy();
            }
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Policy {
        read(&self.table.settings).policy.clone()
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.parts.iter().map(|part| read(part).entries.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The maximum number of keys.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.table.capacity
    }

    /// How often a full table returned an unshared monitor.
    #[must_use]
    pub fn unshared(&self) -> u64 {
        self.table.unshared.load(Ordering::Relaxed)
    }

    fn part(&self, key: &K) -> &RwLock<Part<K, Clk>> {
        // The part's own map uses the lower bits and the top seven.
        let hash = self.table.hasher.hash_one(key) >> 32;
        &self.table.parts[usize::try_from(hash).unwrap_or(0) % PARTS]
    }

    fn known(&self, key: &K) -> Option<Monitor<Clk>> {
        let part = read(self.part(key));
        let entry = part.entries.get(key)?;
        // Usually it is set already; without a write the cache line stays shared.
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(entry.monitor.clone())
    }

    #[cold]
    fn add(&self, key: &K) -> Monitor<Clk> {
        let placed = self.reserve() || self.evict_one();
        // Held until the key is added: a swap of the policy comes before, or finds the key.
        let settings = read(&self.table.settings);
        let monitor = Monitor::with_clock(settings.policy.clone(), self.table.clock.clone());
        monitor.warn_about(Arc::clone(&self.table.subject));
        for observer in &settings.observers {
            let (observer, key) = (Arc::clone(observer), key.clone());
            monitor.observe(move |event: &Event| observer(&key, event));
        }
        if !placed {
            drop(settings);
            // Another thread may have added it.
            if let Some(known) = self.known(key) {
                return known;
            }
            self.table.unshared.fetch_add(1, Ordering::Relaxed);
            return monitor;
        }
        let mut part = write(self.part(key));
        match part.entries.entry(key.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(Entry { monitor: monitor.clone(), used: AtomicBool::new(true) });
                part.queue.push_back(key.clone());
                monitor
            }
            // Another thread was first.
            Slot::Occupied(entry) => {
                self.table.taken.fetch_sub(1, Ordering::Relaxed);
                entry.get().monitor.clone()
            }
        }
    }

    fn reserve(&self) -> bool {
        let free = |taken| (taken < self.table.capacity).then_some(taken + 1);
        // Ordering: Relaxed. Only a number: the keys themselves are behind the locks.
        self.table.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
    }
}

/// One warning for all keys: a caller that drops its calls drops those of every key.
fn warn_once() -> Arc<FindSubject> {
    let warned = AtomicBool::new(false);
    Arc::new(move || {
        let first = !warned.swap(true, Ordering::Relaxed);
        first.then_some(Subject { name: None, service: "primary of a key" })
    })
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    // Poisoning is ignored: a panic in a key's `hash`, `eq` or `clone` may at worst leave a key that
    // no search looks at.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl<K, Clk> fmt::Debug for KeyedMonitors<K, Clk> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { capacity, taken, unshared, .. } = &*self.table;
        let mut debug = f.debug_struct("KeyedMonitors");
        debug.field("capacity", capacity).field("taken", taken).field("unshared", unshared);
        debug.finish_non_exhaustive()
    }
}
