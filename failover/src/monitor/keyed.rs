//! One failover a key: per host, per tenant.

mod forget;

use std::collections::hash_map::{Entry as Place, RandomState};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::{Clock, CoarseClock};
use crate::event::Event;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::policy::Policy;

/// One failover a key, all by one policy and never more than a given number. Clones share it.
///
/// A key is added when it is asked for, and forgotten when its place is needed for another.
///
/// # What is forgotten
/// Only a key of which nothing is known that matters: its calls go to the primary and are not
/// forced to, its window holds no failed and no slow call, none of its calls hangs, its policy is
/// the registry's, and no service, handle, monitor or future of a call uses it. The successes in its
/// window are forgotten with it, and so are a run of consecutive failures that the window no longer
/// holds, and how often it has tripped. One whose window is empty goes first,
/// then one that was not asked for since a search looked at it last.
///
/// Time alone brings most keys there. If it can't, because only calls can [probe] a primary,
/// make it [return], or push a failure out of a window of the [last so many calls], a key that
/// waits for such calls is forgotten as well, if the search has met no other.
///
/// [probe]: crate::policy::PolicyBuilder::probing
/// [return]: crate::policy::PolicyBuilder::ramp_up
/// [last so many calls]: crate::policy::PolicyBuilder::last_calls
///
/// # When nothing may be forgotten
/// Then [`monitor`](Self::monitor) gives a monitor of its own to whoever asks, which nobody shares
/// and which is gone with its user. Calls of that key go to the primary, and are not protected: no
/// call is turned away for want of a place in a table, and no broken primary is forgotten to be
/// broken. [`unshared`](Self::unshared) counts how often that was; a number that grows says that
/// the capacity is too small.
///
/// # Cost
/// A known key costs a hash and a read lock on one of 16 parts; then a call costs what it costs
/// without a registry. A key that is not known yet costs an allocation, and if all places are taken
/// a search. It takes the best of 32 keys, and goes on to all others only if none of them may be
/// forgotten. When it has found nothing at all, the next searches look at 32 keys each, until
/// they have been round the table once.
///
/// ```
/// use std::num::NonZeroUsize;
/// use failover::{Outcome, Policy, Route};
/// use failover::monitor::KeyedMonitors;
///
/// let hosts = KeyedMonitors::new(Policy::default(), NonZeroUsize::new(1_000).unwrap());
/// for _ in 0..10 {
///     let ticket = hosts.monitor(&"a.example").admit().ticket().unwrap();
///     hosts.monitor(&"a.example").record(ticket, Outcome::Failure);
/// }
/// assert_eq!(hosts.monitor(&"a.example").route(), Route::Fallback);
/// assert_eq!(hosts.monitor(&"b.example").route(), Route::Primary);
/// ```
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
    /// How many places are taken or spoken for: never more than the capacity.
    taken: AtomicUsize,
    /// Which part is searched first for a key to forget.
    hand: AtomicUsize,
    /// How many searches look at a few keys only, since one of the whole table found nothing.
    short_searches: AtomicUsize,
    unshared: AtomicU64,
}

/// What new keys begin with.
struct Settings<K> {
    policy: Policy,
    observers: Vec<Observer<K>>,
}

type Observer<K> = Arc<dyn Fn(&K, &Event) + Send + Sync>;

struct Part<K, Clk> {
    entries: HashMap<K, Entry<Clk>, RandomState>,
    /// The keys in the order in which they are looked at.
    queue: VecDeque<K>,
}

struct Entry<Clk> {
    monitor: Monitor<Clk>,
    /// Whether it was asked for since it was looked at last.
    used: AtomicBool,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> KeyedMonitors<K> {
    /// A registry for so many keys at most, on the [`CoarseClock`].
    #[must_use]
    pub fn new(policy: Policy, capacity: NonZeroUsize) -> Self {
        Self::with_clock(policy, capacity, CoarseClock)
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, Clk: Clock> KeyedMonitors<K, Clk> {
    /// A registry on a clock of your own.
    #[must_use]
    pub fn with_clock(policy: Policy, capacity: NonZeroUsize, clock: Clk) -> Self {
        let hasher = RandomState::new();
        let part = |_| {
            let entries = HashMap::with_hasher(hasher.clone());
            RwLock::new(Part { entries, queue: VecDeque::new() })
        };
        let table = Table {
            clock,
            capacity: capacity.get(),
            settings: RwLock::new(Settings { policy, observers: Vec::new() }),
            parts: std::array::from_fn(part),
            hasher,
            taken: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            short_searches: AtomicUsize::new(0),
            unshared: AtomicU64::new(0),
        };
        Self { table: Arc::new(table) }
    }

    /// The monitor of a key, which is added if it is not there yet. Keep it for as long as a call
    /// runs: what is held is not forgotten.
    ///
    /// For a service of your own, give it to
    /// [`FailoverLayer::with_monitor`](crate::service::layer::FailoverLayer::with_monitor).
    #[must_use]
    pub fn monitor(&self, key: &K) -> Monitor<Clk> {
        self.known(key).unwrap_or_else(|| self.add(key))
    }

    /// The operator's side of a key, if it is there. Adds nothing.
    #[must_use]
    pub fn handle(&self, key: &K) -> Option<FailoverHandle<Clk>> {
        self.known(key).map(|monitor| monitor.handle())
    }

    /// The operator's side of every key.
    #[must_use]
    pub fn handles(&self) -> Vec<(K, FailoverHandle<Clk>)> {
        let mut all = Vec::new();
        for part in &self.table.parts {
            let part = read(part);
            all.extend(part.entries.iter().map(|(key, e)| (key.clone(), e.monitor.handle())));
        }
        all
    }

    /// Adds someone to be told of the transitions of the keys that are added from now on: call it
    /// before the first.
    ///
    /// ```
    /// # use failover::{Event, Policy};
    /// # use failover::monitor::KeyedMonitors;
    /// let tenants = KeyedMonitors::<u32>::new(Policy::default(), 100.try_into().unwrap());
    /// tenants.observe(|tenant: &u32, event: &Event| println!("tenant {tenant}: {event:?}"));
    /// ```
    pub fn observe(&self, observer: impl Fn(&K, &Event) + Send + Sync + 'static) {
        write(&self.table.settings).observers.push(Arc::new(observer));
    }

    /// Puts another policy in force, for the keys that are there and for those to come: see
    /// [`FailoverHandle::swap_policy`].
    pub fn swap_policy(&self, policy: Policy) {
        write(&self.table.settings).policy = policy;
        for (_, handle) in self.handles() {
            // Of two swaps at the same time, the same one wins with every key.
            let mut running = self.policy();
            loop {
                handle.swap_policy(running.clone());
                let now = self.policy();
                if now == running {
                    break;
                }
                running = now;
            }
        }
    }

    /// The policy of the registry.
    #[must_use]
    pub fn policy(&self) -> Policy {
        read(&self.table.settings).policy.clone()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.parts.iter().map(|part| read(part).entries.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys there can be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.table.capacity
    }

    /// How often a monitor was given that nobody shares, because there was no place and nothing
    /// that might be forgotten.
    #[must_use]
    pub fn unshared(&self) -> u64 {
        self.table.unshared.load(Ordering::Relaxed)
    }

    fn part(&self, key: &K) -> &RwLock<Part<K, Clk>> {
        // The map inside takes the lower bits and the top seven.
        let hash = self.table.hasher.hash_one(key) >> 32;
        &self.table.parts[usize::try_from(hash).unwrap_or(0) % PARTS]
    }

    fn known(&self, key: &K) -> Option<Monitor<Clk>> {
        let part = read(self.part(key));
        let entry = part.entries.get(key)?;
        // Mostly it is set already, and then the line stays shared.
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(entry.monitor.clone())
    }

    #[cold]
    fn add(&self, key: &K) -> Monitor<Clk> {
        let placed = self.take_place() || self.forget_one();
        // Held until the key is there: a swap of the policy comes before it or meets it.
        let settings = read(&self.table.settings);
        let monitor = Monitor::with_clock(settings.policy.clone(), self.table.clock.clone());
        for observer in &settings.observers {
            let (observer, key) = (Arc::clone(observer), key.clone());
            monitor.observe(move |event: &Event| observer(&key, event));
        }
        if !placed {
            drop(settings);
            // Another thread may have found a place for it.
            if let Some(known) = self.known(key) {
                return known;
            }
            self.table.unshared.fetch_add(1, Ordering::Relaxed);
            return monitor;
        }
        let mut part = write(self.part(key));
        match part.entries.entry(key.clone()) {
            Place::Vacant(place) => {
                place.insert(Entry { monitor: monitor.clone(), used: AtomicBool::new(true) });
                part.queue.push_back(key.clone());
                monitor
            }
            // Another thread was first.
            Place::Occupied(entry) => {
                self.table.taken.fetch_sub(1, Ordering::Relaxed);
                entry.get().monitor.clone()
            }
        }
    }

    fn take_place(&self) -> bool {
        let free = |taken| (taken < self.table.capacity).then_some(taken + 1);
        // Ordering: Relaxed: it is a number alone, what it counts is behind the locks.
        self.table.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    // A key's own code that panics, in `hash`, `eq` or `clone`, may leave a key that is never
    // looked at to be forgotten, and nothing worse: poison says nothing here.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl<K, Clk> Clone for KeyedMonitors<K, Clk> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<K, Clk> fmt::Debug for KeyedMonitors<K, Clk> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { capacity, taken, unshared, .. } = &*self.table;
        let mut debug = f.debug_struct("KeyedMonitors");
        debug.field("capacity", capacity).field("taken", taken).field("unshared", unshared);
        debug.finish_non_exhaustive()
    }
}
