//! The failovers that are exported, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::cells::Cells;
use super::transitions::Transitions;
use crate::clock::{Clock, FineClock, nanos};
use crate::engine::pool::Lease;
use crate::event::Event;
use crate::monitor::handle::FailoverHandle;
use crate::snapshot::Snapshot;

/// The label `name` of a failover without one.
const UNNAMED: &str = "failover";

/// The upper bounds of the histogram's ranges, in microseconds: from a cached response to a call
/// that times out after ten seconds.
const BOUNDS_MICROS: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// The failovers that a registry of `prometheus-client` exports. Clones share them.
///
/// Register it once as a collector. Then pass it to each
/// [`FailoverLayer::metered`](crate::service::layer::FailoverLayer::metered) for all metrics, or
/// pass each handle to [`watch`](Self::watch) for those that cost calls nothing.
///
/// The failover's name is the label `name`. The counters are the sums over all failovers of a name;
/// the gauges show the one that was registered last, and disappear with it.
///
/// ```
/// use failover::prometheus::Metrics;
/// use failover::{FailoverLayer, Policy};
/// use prometheus_client::registry::Registry;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let metrics = Metrics::new();
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(metrics.clone()));
///
/// let primary = service_fn(|_: ()| async { Ok::<_, std::io::Error>("primary") });
/// let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>("fallback") });
/// let service = FailoverLayer::with_fallback(fallback, Policy::default())
///     .named("valuations")
///     .metered(&metrics)
///     .layer(primary);
/// service.oneshot(()).await.unwrap();
///
/// let mut page = String::new();
/// prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
/// let line = r#"failover_calls_total{name="valuations",route="primary",outcome="success"} 1"#;
/// assert!(page.contains(line), "{page}");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Metrics<Clk = FineClock> {
    names: Arc<Names>,
    clock: Clk,
}

#[derive(Debug)]
struct Names {
    /// In nanoseconds, ascending.
    bounds: Vec<u64>,
    /// Locked by registrations and scrapes, never by a call.
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// The metrics of one name.
#[derive(Clone)]
pub(super) struct Entry {
    /// `None` until a failover of this name is metered.
    pub(super) cells: Option<&'static Cells>,
    pub(super) transitions: Arc<Transitions>,
    /// The failovers whose transitions are counted, so that each is observed once. Neither these nor
    /// `look` keep a failover alive.
    watched: Vec<Weak<Lease>>,
    look: Arc<dyn Fn() -> Option<Snapshot> + Send + Sync>,
}

impl Metrics {
    /// Measures durations on the [`FineClock`], in ranges from 0.5 ms to 10 s.
    #[must_use]
    pub fn new() -> Self {
        let bounds = BOUNDS_MICROS.map(Duration::from_micros);
        Self::with(FineClock, bounds)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl<Clk: Clock> Metrics<Clk> {
    /// Measures durations on another clock, in other ranges. `bounds` are inclusive upper bounds in
    /// any order; longer durations have a range of their own.
    ///
    /// With the [`CoarseClock`](crate::clock::CoarseClock) a call costs 30 to 60 ns less, and
    /// durations have the resolution of its tick, 1 to 10 ms.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::clock::CoarseClock;
    /// use failover::prometheus::Metrics;
    ///
    /// let metrics = Metrics::with(CoarseClock, [1, 2, 5, 10].map(Duration::from_secs));
    /// ```
    #[must_use]
    pub fn with(clock: Clk, bounds: impl IntoIterator<Item = Duration>) -> Self {
        let mut bounds: Vec<_> = bounds.into_iter().map(nanos).collect();
        bounds.sort_unstable();
        bounds.dedup();
        Self { names: Arc::new(Names { bounds, entries: Mutex::default() }), clock }
    }

    /// Exports state, window and transitions of a failover. Costs its calls nothing. Name the
    /// failover before. If it is registered again, its transitions still count once, and the gauges
    /// show it.
    ///
    /// ```
    /// use failover::prometheus::Metrics;
    /// use failover::{Monitor, Policy};
    ///
    /// let metrics = Metrics::new();
    /// let monitor = Monitor::new(Policy::default()).named("stock");
    /// metrics.watch(&monitor.handle());
    /// ```
    pub fn watch(&self, handle: &FailoverHandle) {
        self.enter(handle, |_| ());
    }

    /// The counters for a failover's calls. Registers the failover too.
    pub(super) fn cells(&self, handle: &FailoverHandle) -> (&'static Cells, Clk) {
        let cells = self.enter(handle, |entry| {
            // Never freed, so the future of a call needs no reference count.
            *entry.cells.get_or_insert_with(|| Box::leak(Box::new(Cells::new(&self.names.bounds))))
        });
        (cells, self.clock.clone())
    }

    fn enter<T>(&self, handle: &FailoverHandle, then: impl FnOnce(&mut Entry) -> T) -> T {
        let lease = handle.weak();
        let look = {
            let lease = Weak::clone(&lease);
            move || Some(lease.upgrade()?.snapshot())
        };
        let mut entries = self.entries();
        let name = handle.name().unwrap_or(UNNAMED).to_owned();
        let entry = entries.entry(name).or_insert_with(|| Entry {
            cells: None,
            transitions: Arc::new(Transitions::new()),
            watched: Vec::new(),
            look: Arc::new(|| None),
        });
        entry.look = Arc::new(look);
        entry.watched.retain(|watched| watched.strong_count() > 0);
        if !entry.watched.iter().any(|watched| Weak::ptr_eq(watched, &lease)) {
            entry.watched.push(lease);
            let transitions = Arc::clone(&entry.transitions);
            handle.observe(move |event: &Event| transitions.count(event));
        }
        then(entry)
    }

    /// A copy of the entries, so that a scrape reads them without the lock.
    pub(super) fn shown(&self) -> BTreeMap<String, Entry> {
        self.entries().clone()
    }

    // No panic can leave an entry half-changed, so poisoning is ignored.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.names.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The current state of the failover; `None` if it is gone.
    pub(super) fn look(&self) -> Option<Snapshot> {
        (self.look)()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("transitions", &self.transitions).finish_non_exhaustive()
    }
}
