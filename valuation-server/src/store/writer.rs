//! The writer: the one thread that writes. It stores everything that waits in one transaction.

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::checkpoint::WalKeeper;
use super::deferred::Deferred;
use super::derived::CatchUp;
use super::error::{Cause, StoreError, is_about_the_row, is_about_the_statement};
use super::foreign::ForeignCommits;
use super::health::{self, PROBE_INTERVAL, PROBE_LOCK_WAIT};
use super::identity::Opened;
use super::notes;
use super::pace::Pace;
use super::queue::{Job, Message};
use super::stats::Shared;
use super::valuations::Forgetting;
use super::{Entry, LogHead, StoreConfig, batch, history, open, thinning, valuations};

/// The log is emptied after this long without a message.
const QUIET: Duration = Duration::from_secs(1);

/// Starts the thread. It ends after a [`Message::Stop`], or when the last sender is dropped.
pub(super) fn start(
    conn: Connection,
    opened: Opened,
    config: StoreConfig,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
) -> io::Result<JoinHandle<()>> {
    // A runtime of its own: the thread waits for messages with a deadline, and must neither depend on
    // the server's runtime nor block it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let writer = Writer {
        conn,
        opened,
        shared,
        wal: WalKeeper::new(config.wal_limit, config.lock_wait),
        deferred: Deferred::default(),
        foreign: ForeignCommits::default(),
        page_limit: None,
        last_probe: None,
        last_message: Instant::now(),
        config,
    };
    thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(&runtime, messages))
}

/// Lowers the thread's priority, so that requests go first when they compete with a commit for a core.
/// A longer commit takes more entries; a delayed request is late. On Linux this concerns the thread
/// alone, elsewhere it would be the whole process.
fn let_others_go_first() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the database's writer runs at the priority of the others");
    }
}

/// Added to the process's niceness: about two fifths of another thread's share. With more, commits
/// are so late that cores go to sleep, and waking them costs more than it gains.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 4;

struct Writer {
    conn: Connection,
    opened: Opened,
    config: StoreConfig,
    shared: Arc<Shared>,
    wal: WalKeeper,
    deferred: Deferred,
    foreign: ForeignCommits,
    page_limit: Option<u32>,
    /// When the unhealthy writer last tried to store; `None` while it is healthy.
    last_probe: Option<Instant>,
    last_message: Instant,
}

impl Writer {
    fn run(mut self, runtime: &Runtime, mut messages: Receiver<Message>) {
        let_others_go_first();
        let mut received = Vec::new();
        let mut stopping = Vec::new();
        let mut pace = Pace::default();
        loop {
            // Sleeps instead of waiting for messages: each would wake it.
            thread::sleep(pace.wait(Instant::now()));
            let next = messages.recv_many(&mut received, self.config.batch.max(1));
            // The time-out is for the work between messages: see below.
            let next = async { tokio::time::timeout(PROBE_INTERVAL, next).await };
            match runtime.block_on(next) {
                Ok(0) => break,
                Ok(entries) => {
                    self.last_message = Instant::now();
                    let reserved = messages.max_capacity() - messages.capacity();
                    pace.begins(entries, reserved, self.last_message);
                    let stops = self.serve(received.drain(..));
                    if !stops.is_empty() {
                        // Waiting messages, and those with a permit, still come.
                        messages.close();
                        stopping.extend(stops);
                    }
                }
                Err(_) if self.shared.health.is_healthy() => self.rest(),
                Err(_) => self.probe(),
            }
            if self.foreign.any(&self.conn) {
                self.shared.outdated.inc();
            }
        }
        self.settle_deferred();
        self.wal.settle(&self.conn);
        drop(self);
        for done in stopping {
            let _ = done.send(());
        }
    }

    /// The work of an idle writer.
    fn rest(&mut self) {
        if let Err(cause) = self.opened.is_still_there() {
            self.failed(&cause);
        } else if self.wal.is_unsettled() && self.last_message.elapsed() >= QUIET {
            self.wal.settle(&self.conn);
        }
    }

    /// Deferred calls are paid for: at the end the database gets some time to recover.
    fn settle_deferred(&mut self) {
        let ended = Instant::now();
        while !self.deferred.is_empty()
            && !self.shared.health.is_damaged()
            && ended.elapsed() < self.config.last_tries
        {
            self.probe();
            if !self.deferred.is_empty() {
                thread::sleep(PROBE_INTERVAL.min(self.config.last_tries));
            }
        }
    }

    /// Writes the jobs, then handles the other messages. Gives the callers that wait for the end.
    fn serve(&mut self, messages: impl Iterator<Item = Message>) -> Vec<oneshot::Sender<()>> {
        let (mut jobs, mut others, mut stops) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Write(job) => jobs.push(job),
                Message::Limit(pages, done) => {
                    self.page_limit = pages;
                    self.limit_pages();
                    let _ = done.send(());
                }
                Message::Stop(done) => stops.push(done),
                other => others.push(other),
            }
        }
        if !jobs.is_empty() {
            self.store(jobs);
            if self.shared.health.is_healthy() {
                self.wal.after_commit(&self.conn);
            } else if self.last_probe.is_none_or(|last| last.elapsed() >= PROBE_INTERVAL) {
                self.probe();
            }
        }
        for other in others {
            self.write_other(other);
        }
        stops
    }

    /// The writes that are not entries, each in a transaction of its own.
    fn write_other(&mut self, message: Message) {
        // An error of a send means that the caller has gone.
        match message {
            Message::Note(noting) => {
                let noted = self.attempt(|conn| notes::replace(conn, &noting));
                let _ = noting.done.send(noted);
            }
            Message::Record(recording) => {
                let recorded = self.attempt(|conn| history::add(conn, &recording));
                let _ = recording.done.send(recorded);
            }
            Message::Thin(thinning) => {
                let thinned = self.attempt(|conn| thinning::thin(conn, thinning.now));
                let _ = thinning.done.send(thinned);
            }
            Message::CatchUp(CatchUp { done }) => {
                let piece = self.attempt(batch::catch_up);
                self.show_head(piece.as_ref().ok().and_then(|piece| piece.head));
                let _ = done.send(piece.map(|piece| piece.more));
            }
            Message::Forget(Forgetting { vrm, done }) => {
                let forgotten = self.attempt(|conn| valuations::delete(conn, &vrm));
                if matches!(forgotten, Ok(true)) {
                    // After the commit: a row that was read before it was read with the old version.
                    self.shared.outdated.inc();
                }
                let _ = done.send(forgotten);
            }
            Message::Write(_) | Message::Limit(..) | Message::Stop(_) => {}
        }
    }

    /// Shows a committed head to the others.
    fn show_head(&self, head: Option<LogHead>) {
        if let Some(head) = head {
            self.config.newest_head.set(head);
        }
    }

    /// Writes. An unhealthy writer does not try.
    fn attempt<T>(
        &mut self,
        write: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if let Some(trouble) = self.shared.health.trouble() {
            return Err(StoreError::Unavailable(trouble));
        }
        if let Err(cause) = self.opened.is_still_there() {
            self.failed(&cause);
            return Err(StoreError::Unavailable(cause));
        }
        match write(&mut self.conn) {
            Ok(written) => {
                self.wal.after_commit(&self.conn);
                Ok(written)
            }
            Err(error) => {
                let about_the_statement = is_about_the_statement(&error);
                let cause: Cause = Arc::new(error);
                if !about_the_statement {
                    self.failed(&cause);
                }
                Err(StoreError::Unavailable(cause))
            }
        }
    }

    /// Stores the jobs in one transaction. If an entry is refused, the jobs are tried again in halves
    /// until that entry stands alone: the others are stored in a few transactions, and the usual case
    /// pays nothing. If nothing can be stored, all of them are deferred.
    fn store(&mut self, mut jobs: Vec<Job>) {
        if let Err(cause) = self.opened.is_still_there() {
            return self.unavailable(jobs, cause, Deferred::keep);
        }
        let began = Instant::now();
        match batch::write(&mut self.conn, &jobs) {
            Ok(written) => {
                if let Err(cause) = self.opened.is_still_there() {
                    // The file was removed since the first look. If it comes back, all is in it, so
                    // that nothing is deferred; if not, the server's log has the calls.
                    return self.unavailable(jobs, cause, |_, entry, shared, error| {
                        shared.lose(&entry, error);
                    });
                }
                self.show_head(written.head);
                self.shared.count_committed(jobs.len(), written.rows, began.elapsed());
                for (job, stored) in jobs.into_iter().zip(written.stored) {
                    job.answer(stored);
                }
            }
            Err(error) if is_about_the_row(&error) && jobs.len() > 1 => {
                let second_half = jobs.split_off(jobs.len() / 2);
                self.store(jobs);
                self.store(second_half);
            }
            Err(error) if is_about_the_row(&error) => {
                self.shared.stats.failed.inc_by(jobs.len() as u64);
                let error = StoreError::Rejected(Arc::new(error));
                for mut job in jobs {
                    self.store_calls(mem::take(&mut job.entry), &error);
                    job.answer(Err(error.clone()));
                }
            }
            Err(error) => self.unavailable(jobs, Arc::new(error), Deferred::keep),
        }
    }

    /// Answers that nothing is stored, after each entry was kept or lost.
    fn unavailable(
        &mut self,
        jobs: Vec<Job>,
        cause: Cause,
        keep: fn(&mut Deferred, Entry, &Shared, &StoreError),
    ) {
        self.failed(&cause);
        self.shared.stats.failed.inc_by(jobs.len() as u64);
        let error = StoreError::Unavailable(cause);
        for mut job in jobs {
            keep(&mut self.deferred, mem::take(&mut job.entry), &self.shared, &error);
            job.answer(Err(error.clone()));
        }
    }

    /// Stores the calls of a refused entry: they were made, whatever is wrong with its valuation.
    fn store_calls(&mut self, refused: Entry, error: &StoreError) {
        if refused.valuation.is_none() {
            self.shared.lose(&refused, error);
        } else if !refused.calls.is_empty() {
            self.store(vec![Job::unawaited(Entry { valuation: None, calls: refused.calls })]);
        }
    }

    fn failed(&mut self, cause: &Cause) {
        self.shared.health.failed(cause, &self.config.path);
        // Later callers get an answer soon, and must not wait long for a lock.
        self.wait_for_locks(PROBE_LOCK_WAIT);
    }

    /// Only a probe makes the writer healthy: a small entry may have fitted into a full disk.
    fn probe(&mut self) {
        if self.shared.health.is_damaged() {
            return;
        }
        let probed = match self.opened.is_still_there() {
            Ok(()) => {
                health::probe(&mut self.conn).map_err(|error| (Arc::new(error) as Cause, true))
            }
            Err(cause) => Err((cause, false)),
        };
        self.last_probe = Some(Instant::now());
        match probed {
            Ok(()) => {
                // Before the writer counts as healthy: a caller that sees it finds the deferred rows.
                let deferred = self.deferred.take();
                if !deferred.is_empty() {
                    self.store(deferred);
                }
                if self.deferred.is_empty() {
                    self.last_probe = None;
                    self.wait_for_locks(self.config.lock_wait);
                    self.shared.health.recovered();
                }
            }
            Err((cause, is_there)) => {
                self.shared.health.failed(&cause, &self.config.path);
                if is_there {
                    self.reopen();
                }
            }
        }
    }

    /// The file may have been repaired, while the connection's cache and handles are those of the broken
    /// one. If it can't be opened, the old connection goes on trying.
    fn reopen(&mut self) {
        let config = StoreConfig { lock_wait: PROBE_LOCK_WAIT, ..self.config.clone() };
        match open::next_writer(&config) {
            Ok(conn) => {
                self.conn = conn;
                // Versions of two connections can't be compared.
                self.foreign = ForeignCommits::default();
                self.limit_pages();
            }
            Err(problem) => tracing::debug!(%problem, "the database cannot be opened anew"),
        }
    }

    fn wait_for_locks(&self, wait: Duration) {
        // Fails only for a duration that SQLite can't represent, with which nothing was opened.
        if let Err(error) = self.conn.busy_timeout(wait) {
            tracing::warn!(%error, "the database's lock timeout cannot be set");
        }
    }

    fn limit_pages(&self) {
        // The default is SQLite's largest.
        let pages = self.page_limit.unwrap_or(u32::MAX - 1);
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        if let Err(error) = self.conn.pragma_update_and_check(None, "max_page_count", pages, set) {
            tracing::warn!(%error, "the database's size cannot be limited");
        }
    }
}

impl Drop for Writer {
    /// Without a running writer the store is unhealthy.
    fn drop(&mut self) {
        self.deferred.lose(&self.shared, &StoreError::Closed);
        self.shared.health.ended(Arc::new(StoreError::Closed));
    }
}
