//! The database: valuations, and the log of every call to a provider.
//!
//! Reads ([`Store::find`]) have connections of their own. Writes ([`Store::commit`]) go through one writer
//! thread, which stores everything that waits in one transaction, so that all of it shares one wait for the
//! disk. A write is answered when its transaction is committed.
//!
//! ```text
//! find   ──► readers ─────────────────────────────────► database
//! commit ──► queue ──► writer: one transaction ─► engine ─► database
//!        ◄── answer ◄──┘ after its commit
//! ```
//!
//! The database is a file of SQLite (`sqlite`), or a database of PostgreSQL (`postgres`) that several servers
//! share. `engine` is what the writer needs of either, and `sql` a connection for the statements that need nothing
//! of one alone. Both may have the older service's table: `sqlite::schema` says which files are accepted, and
//! `valuation_row` how its values are read. `migrate` moves one to the other.

mod config;
mod deferred;
mod engine;
mod error;
mod failure;
mod health;
mod history;
mod location;
mod log;
mod look;
mod migrate;
mod migration_mark;
mod notes;
mod pace;
mod part_file;
mod postgres;
mod queue;
mod reading;
mod reservation;
mod sql;
mod sqlite;
mod stats;
mod thinning;
mod valuation_row;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::domain::{Counts, Entry, LogHead, Valuation, Vrm};
use history::Recording;
use log::derived::CatchUp;
use log::{audit_file, chain, derived, logs};
use notes::Noting;
use queue::{Forgetting, Job, Message};
use reading::Readers;
use sqlite::open::absolute;
use stats::Shared;
use thinning::Thinning;

pub use config::{Backend, Durability, PostgresConfig, SqliteConfig, StoreConfig};
pub use error::{OpenProblem, StoreError};
pub use history::{HistoryRow, Span};
pub use location::Location;
pub use log::{
    ArchiveError, ArchivePlan, Archived, Archiver, AuditLog, AuditSnapshot, CallRows, DerivedState,
    Finding, Interrupt, Interval, LoggedCall, Piece, Pieces, Problem, Refusal, StopReason, Trail,
    TrailFilter, Verified, archive_plan, is_archive, verify,
};
pub use look::look;
pub use migrate::{MigrateError, Moved, MovedTable, Moving, migrate};
pub use notes::Note;
pub(crate) use part_file::PartFile;
pub use postgres::address::{AddressError, PostgresAddress};
pub use reading::{DiskUse, Find};
pub use reservation::Reservation;
pub use sqlite::look::Found;
pub(crate) use sqlite::open::beside;
pub use sqlite::{BackedUp, BackupError, backup, pause_after};
pub use stats::StoreStats;

/// The database. Clones share it. When the last clone and reservation are dropped, the writer commits
/// what waits, and ends.
#[derive(Clone, Debug)]
pub struct Store {
    readers: Readers,
    queue: mpsc::Sender<Message>,
    queue_wait: Duration,
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// The name of this server, if it shares the database.
    node: Option<Arc<str>>,
}

impl Store {
    /// Opens the database, and creates it if there is none. Blocks the thread for a file; meant for the
    /// start.
    ///
    /// A damaged file, or one that is not a database of this server or of the older service, is not
    /// written to. The check for damage takes up to five seconds.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what to do.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        // Memory could not hold the longest queue that tokio allows.
        let (queue, messages) = mpsc::channel(config.queue.clamp(1, 1 << 20));
        let (readers, thread) = match &config.backend {
            Backend::Sqlite(file) => {
                // Log lines name the whole path, wherever the server was started.
                let file = SqliteConfig { path: absolute(&file.path)?, ..file.clone() };
                let config =
                    &StoreConfig { backend: Backend::Sqlite(file.clone()), ..config.clone() };
                let (engine, readers) = sqlite::connect(&file, config, &shared)?;
                let thread = writer::start(engine, config, Arc::clone(&shared), messages);
                let failed = |cause| StoreError::Open {
                    place: file.path.clone().into(),
                    problem: OpenProblem::Thread(Arc::new(cause)),
                };
                (Readers::Sqlite(readers), thread.map_err(failed)?)
            }
            Backend::Postgres(server) => {
                let (engine, readers) = postgres::open::open(server, config, &shared).await?;
                let thread = writer::start(engine, config, Arc::clone(&shared), messages);
                let failed = |cause| StoreError::Open {
                    place: config.backend.location(),
                    problem: OpenProblem::Thread(Arc::new(cause)),
                };
                (Readers::Postgres(readers), thread.map_err(failed)?)
            }
        };
        let (queue_wait, thread) = (config.queue_wait, Arc::new(Mutex::new(Some(thread))));
        let node = match &config.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(server) => Some(server.node.as_str().into()),
        };
        Ok(Self { readers, queue, queue_wait, shared, thread, node })
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
    /// in a transaction of its own. In a database that servers share each has notes of its own.
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
        let name = self.own(name);
        self.hand_over(|done| Message::Note(Noting { name, text, at, done })).await
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

    /// Whether the writer can store, as far as is known. False after a failed write, until a probe
    /// succeeds; there is one at least every half second. False until the restart after a malformed
    /// page. One atomic load.
    #[must_use]
    pub fn can_store(&self) -> bool {
        self.shared.health.is_healthy()
    }

    /// Why the writer can't store, or reads find no connection; `None` if both work, as far as is known.
    #[must_use]
    pub fn trouble(&self) -> Option<StoreError> {
        let trouble = self.shared.health.trouble().or_else(|| self.readers.trouble());
        trouble.map(StoreError::Unavailable)
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

    /// The name of a note of this server.
    fn own(&self, name: &str) -> String {
        match &self.node {
            None => name.to_owned(),
            Some(node) => format!("{name} @ {node}"),
        }
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
