//! The database: valuations, and the log of every call to a provider.
//!
//! One SQLite file in write-ahead-log mode, with two doors. Reads ([`Store::find`]) are made on the
//! caller's thread, by a reader of its own. Writes ([`Store::commit`]) all go through one writer
//! thread: SQLite has room for one writer, and many that queue for its lock stall each other for
//! seconds, while one that takes everything waiting into one transaction shares the price of an
//! fdatasync among all of it. A write is answered when its transaction is committed.
//!
//! ```text
//! find   ──► readers ─────────────────────────► file
//! commit ──► queue ──► writer: one transaction ─► file
//!        ◄── answer ◄──┘ after its commit
//! ```
//!
//! The file may be shared with the older service: see `schema` for whose files are taken, and
//! `valuations` for how the values are read and written.

mod checkpoint;
mod config;
mod damage;
mod error;
mod foreign;
mod health;
mod identity;
mod logs;
mod look;
mod notes;
mod open;
mod owed;
mod pace;
mod queue;
mod readers;
mod schema;
mod stats;
mod valuations;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::domain::{Entry, Valuation, Vrm};
use identity::Opened;
use notes::Noting;
use queue::{Job, Message};
use readers::Readers;
use stats::Shared;

pub use config::{Durability, StoreConfig};
pub use error::{OpenProblem, StoreError};
pub use logs::LoggedCall;
pub use look::{Found, look};
pub use notes::Note;
pub use stats::{Commits, StoreStats};

/// The database. Clones share it; when the last clone and reservation are dropped, the writer
/// commits what waits and ends by itself.
#[derive(Clone)]
pub struct Store {
    readers: Readers,
    queue: mpsc::Sender<Message>,
    queue_wait: Duration,
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the database, and creates it where there is none. Blocks; meant for the start.
    ///
    /// A file that is not a database of this server or of the older service is not written to, and
    /// neither is one that is damaged; the look for damage takes up to five seconds.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what would be right.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let path = open::absolute(&config.path)?;
        let config = StoreConfig { path, ..config.clone() };
        let failed = |problem| StoreError::Open { path: config.path.clone(), problem };

        let conn = open::first_writer(&config).map_err(failed)?;
        let opened = Opened::at(&config.path);
        let shared = Arc::new(Shared::default());
        let readers =
            Readers::open(&config, opened.clone(), Arc::clone(&shared)).map_err(failed)?;
        // The largest queue that tokio takes is far above any that memory could hold.
        let (queue, messages) = mpsc::channel(config.queue.clamp(1, 1 << 20));
        let queue_wait = config.queue_wait;
        let thread = writer::start(conn, opened, config.clone(), Arc::clone(&shared), messages)
            .map_err(|cause| failed(OpenProblem::Thread(Arc::new(cause))))?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { readers, queue, queue_wait, shared, thread })
    }

    /// The stored valuation of a vehicle. Reads on the caller's thread, for microseconds.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if its row can't be understood, [`StoreError::Unavailable`] if it
    /// can't be read, after [`StoreConfig::read_wait`] at the latest.
    pub fn find(&self, vrm: &Vrm) -> Result<Option<Valuation>, StoreError> {
        self.readers.read(|conn| valuations::find(conn, vrm))?
    }

    /// A number that rises within a second after another program has committed to the database (by
    /// one or more), and perhaps without that: rows that were read before may have changed or gone.
    /// This store's own commits don't count. One atomic load.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.foreign()
    }

    /// The newest `limit` rows of `ProviderLogs`, of one vehicle or of all, the oldest of them
    /// first. Reads on the caller's thread.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if they can't be read.
    pub fn calls(&self, vrm: Option<&Vrm>, limit: u32) -> Result<Vec<LoggedCall>, StoreError> {
        self.readers.read(|conn| logs::newest(conn, vrm, limit))
    }

    /// Stores an entry and gives, once it is committed, the valuation that stands in the table
    /// for the entry's vehicle: another one than the entry's, if one was there first. `None` for an
    /// entry without a valuation.
    ///
    /// # Errors
    /// Nothing of the entry is stored, and its calls are reported in the server's log, with
    /// [`StoreError::Busy`] if the queue stays full for [`StoreConfig::queue_wait`] (a place taken
    /// by [`Store::reserve`] rules that out) and with [`StoreError::Closed`] after
    /// [`Store::shutdown`]. With [`StoreError::Unavailable`] the database can't store now; an entry
    /// with calls is kept, in bounded memory, and stored whole as soon as the database can. With
    /// [`StoreError::Rejected`] the database refuses the valuation, and with
    /// [`StoreError::Corrupt`] the one that stands in the table can't be understood; the calls are
    /// stored in both cases.
    ///
    /// # Cancel safety
    /// Dropped while it waits for room in the queue, the entry is lost. From then on the entry
    /// belongs to the writer, and is committed even if the future is dropped.
    pub async fn commit(&self, entry: Entry) -> Result<Option<Valuation>, StoreError> {
        match self.place().await {
            Ok(place) => place.commit(entry).await,
            Err(error) => Err(self.lost(&entry, error)),
        }
    }

    /// Stores an entry that nobody waits for. Best effort: where the queue is full or the entry
    /// can't be stored, its calls are reported in the server's log instead.
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

    /// Makes sure, before a provider is asked, that what it answers can be stored: that the writer
    /// is well, and that a place in its queue is kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the writer's trouble, [`StoreError::Busy`] if the queue
    /// stays full for [`StoreConfig::queue_wait`], [`StoreError::Closed`] after
    /// [`Store::shutdown`].
    ///
    /// # Cancel safety
    /// Nothing is kept if the future is dropped.
    pub async fn reserve(&self) -> Result<Reservation, StoreError> {
        match self.shared.health.trouble() {
            Some(_) if self.queue.is_closed() => Err(StoreError::Closed),
            Some(trouble) => Err(StoreError::Unavailable(trouble)),
            None => self.place().await,
        }
    }

    /// Notes a text of a moment by a name, in the place of the one that was noted by it before; ready when that
    /// is committed, in a transaction of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database can't store now, [`StoreError::Closed`] after
    /// [`Store::shutdown`]. The text is not kept.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, it is noted whether or not this is awaited further.
    pub async fn note(
        &self,
        name: &'static str,
        text: String,
        at: SystemTime,
    ) -> Result<(), StoreError> {
        let (done, noted) = oneshot::channel();
        let noting = Noting { name, text, at, done };
        self.queue.send(Message::Note(noting)).await.map_err(|_| StoreError::Closed)?;
        noted.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The text that was noted by that name last. Reads on the caller's thread.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn noted(&self, name: &str) -> Result<Option<Note>, StoreError> {
        self.readers.read(|conn| notes::find(conn, name))
    }

    /// Whether the writer can store, as far as is known: false from a failed write on, until a
    /// write of the writer's own succeeds; it tries at least every half second. False for good from
    /// the first malformed page on that is read or written. One atomic load.
    #[must_use]
    pub fn can_store(&self) -> bool {
        self.shared.health.is_well()
    }

    /// Why the writer can't store; `None` where it can, as far as is known.
    #[must_use]
    pub fn trouble(&self) -> Option<StoreError> {
        self.shared.health.trouble().map(StoreError::Unavailable)
    }

    /// The metrics of the committed transactions.
    #[must_use]
    pub fn commits(&self) -> Commits {
        self.shared.commits.clone()
    }

    /// What the writer has done and has to do.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let capacity = self.queue.max_capacity();
        self.shared.stats(capacity - self.queue.capacity(), capacity)
    }

    /// Closes the queue, waits until everything in it and every [`Reservation`] is settled, tries for
    /// [`StoreConfig::last_tries`] to store what could not be stored when it came, cuts
    /// the write-ahead log back to nothing, and ends the writer's thread. Later writes fail with
    /// [`StoreError::Closed`]; reads go on. A second call does nothing.
    ///
    /// # Cancel safety
    /// Once polled with room in the queue, the writer ends whether or not this is awaited further.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.queue.send(Message::Stop(done)).await.is_ok() {
            // An error means that the writer has ended, which is what is waited for.
            let _ = ended.await;
        }
        // Has nothing left to do but to return; no lock is held across an await.
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the database's writer thread panicked");
        }
    }

    /// How many calls to providers could not be stored, and are in the server's log alone. Those that
    /// are owed still are not among them; after [`Store::shutdown`] none is owed any more.
    #[must_use]
    pub fn lost_calls(&self) -> u64 {
        self.shared.lost()
    }

    /// For tests and drills: bounds the file to so many pages (never below what it has), as a full
    /// disk would; `None` lifts the bound.
    #[doc(hidden)]
    pub async fn limit_pages(&self, pages: Option<u32>) {
        let (done, applied) = oneshot::channel();
        if self.queue.send(Message::Limit(pages, done)).await.is_ok() {
            let _ = applied.await;
        }
    }

    async fn place(&self) -> Result<Reservation, StoreError> {
        use mpsc::error::TrySendError;
        let queue = match self.queue.clone().try_reserve_owned() {
            Ok(place) => return Ok(Reservation { place }),
            Err(TrySendError::Closed(_)) => return Err(StoreError::Closed),
            Err(TrySendError::Full(queue)) => queue,
        };
        match tokio::time::timeout(self.queue_wait, queue.reserve_owned()).await {
            Ok(Ok(place)) => Ok(Reservation { place }),
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Busy(self.queue_wait)),
        }
    }

    fn lost(&self, entry: &Entry, error: StoreError) -> StoreError {
        self.shared.count_failed(1);
        self.shared.lose(entry, &error);
        error
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("can_store", &self.can_store())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A place in the writer's queue. Dropped unused, it is given back.
///
/// Keeps the writer running: [`Store::shutdown`] waits for it.
#[derive(Debug)]
pub struct Reservation {
    place: mpsc::OwnedPermit<Message>,
}

impl Reservation {
    /// As [`Store::commit`], without waiting for a place: handed over with the first poll.
    ///
    /// # Errors
    /// As [`Store::commit`], but never [`StoreError::Busy`].
    ///
    /// # Cancel safety
    /// Once polled, the entry is committed even if the future is dropped.
    pub async fn commit(self, entry: Entry) -> Result<Option<Valuation>, StoreError> {
        let (job, answer) = Job::awaited(entry);
        self.place.send(Message::Write(job));
        // The writer answers every job; it can only be gone without having done so if it panicked.
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// As [`Store::submit`], with a place that is sure.
    pub fn submit(self, entry: Entry) {
        self.place.send(Message::Write(Job::unawaited(entry)));
    }
}
