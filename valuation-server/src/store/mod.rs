//! The database: valuations, and the log of every call to a provider.
//!
//! One SQLite file in write-ahead-log mode. Reads ([`Store::find`]) run on the caller's thread, with a
//! connection of its own. Writes ([`Store::commit`]) go through one writer thread: SQLite allows one
//! writer at a time, and many that wait for its lock stall each other for seconds. The writer stores
//! everything that waits in one transaction, so that all of it shares one fdatasync. A write is
//! answered when its transaction is committed.
//!
//! ```text
//! find   ──► readers ─────────────────────────► file
//! commit ──► queue ──► writer: one transaction ─► file
//!        ◄── answer ◄──┘ after its commit
//! ```
//!
//! The file may be shared with the older service: `schema` says which files are accepted, and
//! `valuations` how the values are read and written.

mod backup;
mod batch;
mod checkpoint;
mod config;
mod damage;
mod deferred;
mod disk;
mod error;
mod foreign;
mod health;
mod history;
mod identity;
mod lock_pause;
mod log;
mod log_place;
mod look;
mod notes;
mod open;
mod pace;
mod queue;
mod readers;
mod reservation;
mod schema;
mod sql;
mod stats;
mod thinning;
mod valuations;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::domain::{Counts, Entry, LogHead, Valuation, Vrm};
use derived::CatchUp;
use history::Recording;
use identity::Opened;
use log::{audit_file, chain, derived, log_tables, logs};
use notes::Noting;
use queue::{Job, Message};
use readers::Readers;
use stats::Shared;
use thinning::Thinning;
use valuations::Forgetting;

pub use backup::{BackedUp, BackupError, backup};
pub use config::{Durability, StoreConfig};
pub use disk::DiskUse;
pub use error::{OpenProblem, StoreError};
pub use history::{HistoryRow, Span};
pub use lock_pause::pause_after;
pub use log::{
    ArchiveError, ArchivePlan, Archived, Archiver, AuditLog, AuditSnapshot, CallRows, DerivedState,
    Finding, Interrupt, Interval, LoggedCall, Piece, Pieces, Problem, Refusal, StopReason, Trail,
    TrailFilter, Verified, archive_plan, is_archive, verify,
};
pub use log_place::LogPlace;
pub use look::{Found, look};
pub use notes::Note;
pub(crate) use open::{beside, sync_folder};
pub use reservation::Reservation;
pub use stats::StoreStats;

/// The database. Clones share it. When the last clone and reservation are dropped, the writer commits
/// what waits, and ends.
#[derive(Clone, Debug)]
pub struct Store {
    readers: Readers,
    queue: mpsc::Sender<Message>,
    queue_wait: Duration,
    path: Arc<Path>,
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the database, and creates it if there is none. Blocks; meant for the start.
    ///
    /// A damaged file, or one that is not a database of this server or of the older service, is not
    /// written to. The check for damage takes up to five seconds.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what to do.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let path = open::absolute(&config.path)?;
        let config = StoreConfig { path, ..config.clone() };
        let failed = |problem| StoreError::Open { path: config.path.clone(), problem };

        let conn = open::first_writer(&config).map_err(failed)?;
        if let Some(head) = chain::end(&conn).map_err(|error| failed(error.into()))? {
            config.newest_head.set(head);
        }
        let opened = Opened::at(&config.path);
        let shared = Arc::new(Shared::default());
        let readers =
            Readers::open(&config, opened.clone(), Arc::clone(&shared)).map_err(failed)?;
        // Memory could not hold the longest queue that tokio allows.
        let (queue, messages) = mpsc::channel(config.queue.clamp(1, 1 << 20));
        let queue_wait = config.queue_wait;
        let thread = writer::start(conn, opened, config.clone(), Arc::clone(&shared), messages)
            .map_err(|cause| failed(OpenProblem::Thread(Arc::new(cause))))?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { readers, queue, queue_wait, path: config.path.into(), shared, thread })
    }

    /// The stored valuation of a vehicle. Reads on the caller's thread, in microseconds.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if its row makes no sense, [`StoreError::Unavailable`] if it
    /// can't be read, after [`StoreConfig::read_wait`] at the latest.
    pub fn find(&self, vrm: &Vrm) -> Result<Option<Valuation>, StoreError> {
        self.readers.read(|conn| valuations::find(conn, vrm))?
    }

    /// A number that rises within a second after another program's commit, and before
    /// [`forget`](Self::forget) is ready: rows that were read before may be changed or gone. It may also
    /// rise without either, and never by this store's other commits. One atomic load.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.outdated.get()
    }

    /// Deletes the valuation of a vehicle, and says whether there was one, after the commit. Its log rows
    /// stay. One that can't be used is deleted too. A valuation that is being made meanwhile is stored
    /// before or after it, as it comes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database can't store now, or refuses it, and
    /// [`StoreError::Closed`] after [`Store::shutdown`]: nothing is deleted.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, it is deleted even if the future is dropped.
    pub async fn forget(&self, vrm: Vrm) -> Result<bool, StoreError> {
        self.hand_over(|done| Message::Forget(Forgetting { vrm, done })).await
    }

    /// The newest `limit` rows of `ProviderLogs`, for one vehicle or all, in ascending order. Reads on
    /// the caller's thread.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if they can't be read.
    pub fn calls(&self, vrm: Option<&Vrm>, limit: u32) -> Result<Vec<LoggedCall>, StoreError> {
        self.readers.read(|conn| Ok(logs::newest(conn, vrm, limit)?))
    }

    /// Stores an entry and gives, after the commit, the stored valuation of its vehicle: the entry's, or
    /// an earlier one. `None` for an entry without a valuation.
    ///
    /// # Errors
    /// - [`StoreError::Busy`] if the queue stays full for [`StoreConfig::queue_wait`], and
    ///   [`StoreError::Closed`] after [`Store::shutdown`]: nothing is stored, and the calls are in the
    ///   server's log. A permit of [`Store::reserve`] rules out the first.
    /// - [`StoreError::Unavailable`] if the database can't store now: an entry with calls is deferred,
    ///   in bounded memory, and stored whole as soon as the database can.
    /// - [`StoreError::Rejected`] if the database refuses the valuation, and [`StoreError::Corrupt`] if
    ///   the stored one makes no sense: the calls are stored.
    ///
    /// # Cancel safety
    /// If dropped while it waits for the queue, the entry is lost. After that the writer owns the
    /// entry, and commits it even if the future is dropped.
    pub async fn commit(&self, entry: Entry) -> Result<Option<Valuation>, StoreError> {
        match self.permit().await {
            Ok(permit) => permit.commit(entry).await,
            Err(error) => Err(self.lost(&entry, error)),
        }
    }

    /// Stores an entry that nobody waits for. If the queue is full or the entry can't be stored, its
    /// calls go to the server's log instead.
    pub fn submit(&self, entry: Entry) {
        use mpsc::error::TrySendError;
        let (error, message) = match self.queue.try_send(Message::Write(Job::unawaited(entry))) {
            Ok(()) => return,
            Err(TrySendError::Full(message)) => (StoreError::Busy(Duration::ZERO), message),
            Err(TrySendError::Closed(message)) => (StoreError::Closed, message),
        };
        if let Message::Write(job) = message {
            self.lost(&job.entry, error);
        }
    }

    /// Makes sure, before a provider is asked, that its answer can be stored: the writer is healthy, and
    /// the queue has a permit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the writer's last failure, [`StoreError::Busy`] if the queue
    /// stays full for [`StoreConfig::queue_wait`], [`StoreError::Closed`] after
    /// [`Store::shutdown`].
    ///
    /// # Cancel safety
    /// A dropped future holds no permit.
    pub async fn reserve(&self) -> Result<Reservation, StoreError> {
        match self.shared.health.trouble() {
            Some(_) if self.queue.is_closed() => Err(StoreError::Closed),
            Some(trouble) => Err(StoreError::Unavailable(trouble)),
            None => self.permit().await,
        }
    }

    /// Saves `text` under `name` with its timestamp, replacing any earlier value. Ready after the commit,
    /// in a transaction of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database can't store now, [`StoreError::Closed`] after
    /// [`Store::shutdown`]. The text is dropped.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, it is saved even if the future is dropped.
    pub async fn note(
        &self,
        name: &'static str,
        text: String,
        at: SystemTime,
    ) -> Result<(), StoreError> {
        self.hand_over(|done| Message::Note(Noting { name, text, at, done })).await
    }

    /// The text that was saved under `name`. Reads on the caller's thread.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn noted(&self, name: &str) -> Result<Option<Note>, StoreError> {
        self.readers.read(|conn| notes::find(conn, name))
    }

    /// Adds counts to the history, to the ten seconds that `at` is in, by their source. Ready after the
    /// commit, in a transaction of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database can't store now, [`StoreError::Closed`] after
    /// [`Store::shutdown`]. Nothing is added.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, they are added even if the future is dropped.
    pub async fn record(
        &self,
        at: SystemTime,
        counts: Vec<(&'static str, Counts)>,
    ) -> Result<(), StoreError> {
        self.hand_over(|done| Message::Record(Recording { at, counts, done })).await
    }

    /// Thins the oldest part of the history that is due at `now`, and says whether there is more. One
    /// call takes about ten milliseconds of the writer.
    ///
    /// # Errors
    /// As [`Store::record`]. Nothing is thinned.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, it is thinned even if the future is dropped.
    pub async fn thin_history(&self, now: SystemTime) -> Result<bool, StoreError> {
        self.hand_over(|done| Message::Thin(Thinning { now, done })).await
    }

    /// Adds the oldest rows of `ProviderLogs` that are not in the rollups or not in the hash chain to them,
    /// and says whether there may be more. The rows of this store are added when they are written; this is
    /// for those of a database from before, and of other programs. One call takes some ten milliseconds of
    /// the writer.
    ///
    /// # Errors
    /// As [`Store::record`]. Nothing is added.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, they are added even if the future is dropped.
    pub async fn catch_up(&self) -> Result<bool, StoreError> {
        self.hand_over(|done| Message::CatchUp(CatchUp { done })).await
    }

    /// How far the rollups and the hash chain are; `None` if somebody deleted the mark of the rollups, so that
    /// they can't be built or used.
    /// Reads on the caller's thread, in microseconds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn derived_state(&self) -> Result<Option<DerivedState>, StoreError> {
        self.readers.read(|conn| Ok(derived::state(conn)?))
    }

    /// The history of all sources in intervals of one length, from the one that `since` is in, in the
    /// order of time. An interval without a row has no counts. Reads on the caller's thread.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn history(&self, span: Span, since: SystemTime) -> Result<Vec<HistoryRow>, StoreError> {
        self.readers.read(|conn| history::rows(conn, span, since))
    }

    /// The sums of the history by source, of all intervals that begin in this time. Reads on the caller's
    /// thread, a thousand rows a millisecond or two.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn history_totals(
        &self,
        time: Range<SystemTime>,
    ) -> Result<BTreeMap<String, Counts>, StoreError> {
        self.readers.read(|conn| history::totals(conn, &time))
    }

    /// The size of the database, and the room that is left for it. Three system calls.
    #[must_use]
    pub fn disk_use(&self) -> DiskUse {
        disk::of(&self.path)
    }

    /// Whether the writer can store, as far as is known. False after a failed write, until a probe
    /// succeeds; there is one at least every half second. False until the restart after a malformed
    /// page. One atomic load.
    #[must_use]
    pub fn can_store(&self) -> bool {
        self.shared.health.is_healthy()
    }

    /// Why the writer can't store; `None` if it can, as far as is known.
    #[must_use]
    pub fn trouble(&self) -> Option<StoreError> {
        self.shared.health.trouble().map(StoreError::Unavailable)
    }

    /// The counts of the writer's work.
    #[must_use]
    pub fn stats(&self) -> &StoreStats {
        &self.shared.stats
    }

    /// The permits of the queue in use, for waiting entries and reservations, and all permits.
    #[must_use]
    pub fn queue(&self) -> (usize, usize) {
        let all = self.queue.max_capacity();
        (all - self.queue.capacity(), all)
    }

    /// Closes the queue, waits for everything in it and every [`Reservation`], tries for
    /// [`StoreConfig::last_tries`] to store deferred entries, empties the write-ahead log, and ends the
    /// writer's thread. Later writes fail with [`StoreError::Closed`]; reads go on. A second call does
    /// nothing.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, the writer ends even if the future is dropped.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.queue.send(Message::Stop(done)).await.is_ok() {
            // An error means that the writer has ended already.
            let _ = ended.await;
        }
        // The thread only has to return, so that joining does not block.
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the database's writer thread panicked");
        }
    }

    /// How many provider calls could not be stored and are in the server's log alone. Deferred ones are
    /// not among them; after [`Store::shutdown`] none is deferred.
    #[must_use]
    pub fn lost_calls(&self) -> u64 {
        self.shared.lost.get()
    }

    /// For tests and drills: limits the file to this many pages (never below its size), as a full disk
    /// would; `None` lifts the limit.
    #[doc(hidden)]
    pub async fn limit_pages(&self, pages: Option<u32>) {
        let (done, applied) = oneshot::channel();
        if self.queue.send(Message::Limit(pages, done)).await.is_ok() {
            let _ = applied.await;
        }
    }

    /// Sends a message with the channel for its answer, and waits for that.
    async fn hand_over<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Message,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.queue.send(message(done)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn permit(&self) -> Result<Reservation, StoreError> {
        use mpsc::error::TrySendError;
        let queue = match self.queue.clone().try_reserve_owned() {
            Ok(permit) => return Ok(Reservation(permit)),
            Err(TrySendError::Closed(_)) => return Err(StoreError::Closed),
            Err(TrySendError::Full(queue)) => queue,
        };
        match tokio::time::timeout(self.queue_wait, queue.reserve_owned()).await {
            Ok(Ok(permit)) => Ok(Reservation(permit)),
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Busy(self.queue_wait)),
        }
    }

    fn lost(&self, entry: &Entry, error: StoreError) -> StoreError {
        self.shared.stats.failed.inc();
        self.shared.lose(entry, &error);
        error
    }
}
