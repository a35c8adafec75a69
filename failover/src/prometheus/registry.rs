//! The names that are shown, and where their numbers are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::cells::Cells;
use super::transitions::{Counting, Transitions};
use crate::clock::{Clock, FineClock};
use crate::engine::pool::Lease;
use crate::monitor::handle::FailoverHandle;
use crate::snapshot::Snapshot;

/// The label `name` of a failover without one.
const UNNAMED: &str = "failover";

/// The upper ends of the histogram's ranges, in microseconds: from an answer out of a cache to a
/// call that a time-out of ten seconds cuts off.
const BOUNDS_MICROS: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// All the failovers that one registry of `prometheus-client` shows. Clones are the same.
///
/// Register it once as a collector, and give it each failover: to
/// [`FailoverLayer::metered`](crate::service::layer::FailoverLayer::metered) for everything, or to
/// [`watch`](Self::watch) for all that costs a call nothing. The failover's name is the label
/// `name`. Failovers of one name add up in the counters, and the gauges show the one that was
/// watched last. A failover that is gone leaves the gauges; the counters stay.
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
/// let service = FailoverLayer::new(fallback, Policy::default())
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
    /// In nanoseconds, rising.
    bounds: Vec<u64>,
    /// Locked where a failover is set up, and at scrapes; never by a call.
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// What is shown of one name.
#[derive(Clone)]
pub(super) struct Entry {
    /// `None` as long as no call was ever metered.
    pub(super) cells: Option<&'static Cells>,
    pub(super) transitions: Arc<Transitions>,
    /// The failovers whose transitions are counted, so that none is counted twice. They are held no
    /// more than `look` holds the one that the gauges show.
    watched: Vec<Weak<Lease>>,
    look: Arc<dyn Fn() -> Option<Snapshot> + Send + Sync>,
}

impl Metrics {
    /// Measures durations by the [`FineClock`], in ranges from 0.5 ms to 10 s.
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
    /// Measures durations by a clock of your own, and shows them in ranges of your own: `bounds`
    /// are the inclusive upper ends; their order does not matter, and one more range takes all
    /// that is longer.
    ///
    /// With the [`CoarseClock`](crate::clock::CoarseClock) a call costs 30 to 60 ns less, and times
    /// shorter than its tick of 1 to 10 ms can't be told apart.
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
        let nanos = |bound: Duration| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let mut bounds: Vec<_> = bounds.into_iter().map(nanos).collect();
        bounds.sort_unstable();
        bounds.dedup();
        Self { names: Arc::new(Names { bounds, entries: Mutex::default() }), clock }
    }

    /// Shows state, window and transitions of a failover, which costs its calls nothing. The
    /// failover has to have its name by now. Watched once more, it is
    /// counted once, and the gauges show it.
    ///
    /// ```
    /// use failover::prometheus::Metrics;
    /// use failover::{Monitor, Policy};
    ///
    /// let metrics = Metrics::new();
    /// let monitor = Monitor::new(Policy::default()).named("stock");
    /// metrics.watch(&monitor.handle());
    /// ```
    pub fn watch<L: Clock>(&self, handle: &FailoverHandle<L>) {
        self.enter(handle, |_| ());
    }

    /// The numbers for a failover's metered calls; it is watched as well.
    pub(crate) fn meter<L: Clock>(&self, handle: &FailoverHandle<L>) -> (&'static Cells, Clk) {
        let cells = self.enter(handle, |entry| {
            // Kept for good, so that the future of a call holds them without counting references.
            *entry.cells.get_or_insert_with(|| Box::leak(Box::new(Cells::new(self.bounds()))))
        });
        (cells, self.clock.clone())
    }

    fn enter<L: Clock, T>(
        &self,
        handle: &FailoverHandle<L>,
        then: impl FnOnce(&mut Entry) -> T,
    ) -> T {
        let (lease, clock) = handle.weak();
        let look = {
            let lease = Weak::clone(&lease);
            move || Some(lease.upgrade()?.engine().snapshot(clock.now()))
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
            handle.observe(Counting(Arc::clone(&entry.transitions)));
        }
        then(entry)
    }

    /// The names and what is shown of them, free to be read at leisure.
    pub(super) fn shown(&self) -> BTreeMap<String, Entry> {
        self.entries().clone()
    }

    pub(super) fn bounds(&self) -> &[u64] {
        &self.names.bounds
    }

    // What stands in the map is whole at every moment: poison says nothing here.
    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entry>> {
        self.names.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// What is true of the failover now, if it still is there.
    pub(super) fn look(&self) -> Option<Snapshot> {
        (self.look)()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("transitions", &self.transitions).finish_non_exhaustive()
    }
}
