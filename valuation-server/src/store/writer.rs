//! The writer: the one thread that writes, everything that waits in one transaction.

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::checkpoint::WalKeeper;
use super::error::{Cause, StoreError, is_about_the_row};
use super::foreign::ForeignCommits;
use super::health::{self, PROBE_INTERVAL, PROBE_LOCK_WAIT};
use super::identity::Opened;
use super::notes::{self, Noting};
use super::owed::Owed;
use super::pace::Pace;
use super::queue::{Job, Message};
use super::stats::Shared;
use super::valuations::Standing;
use super::{Entry, StoreConfig, logs, open, valuations};

/// How long nothing must come in until the write-ahead log is emptied.
const QUIET: Duration = Duration::from_secs(1);

/// Starts the thread. It ends after a [`Message::Stop`], or when the last sender is gone.
pub(super) fn start(
    conn: Connection,
    opened: Opened,
    config: StoreConfig,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
) -> io::Result<JoinHandle<()>> {
    // A runtime of its own: the thread waits for messages with a deadline, and must neither
    // depend on the server's runtime nor block it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let wal = WalKeeper::new(config.wal_limit, config.lock_wait);
    let (owed, foreign) = (Owed::default(), ForeignCommits::default());
    let (page_limit, last_probe, last_message) = (None, None, Instant::now());
    let writer = Writer {
        conn,
        opened,
        config,
        shared,
        wal,
        owed,
        foreign,
        page_limit,
        last_probe,
        last_message,
    };
    thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(&runtime, messages))
}

/// Has the requests go first where they and a commit want the same core: a commit that goes on for a
/// little longer takes more entries with it, and a request that waits for it has a late answer.
fn let_others_go_first() {
    // A thread's own on Linux, and elsewhere the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the database's writer runs at the priority of the others");
    }
}

/// Added to the process's own: about two fifths of what another thread gets. With more of it commits
/// become so late that cores fall asleep, and waking them costs more than is won.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 4;

struct Writer {
    conn: Connection,
    opened: Opened,
    config: StoreConfig,
    shared: Arc<Shared>,
    wal: WalKeeper,
    owed: Owed,
    foreign: ForeignCommits,
    page_limit: Option<u32>,
    /// When the writer last tried whether it can store again; `None` while it can.
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
            // Asleep, and not woken by each entry that comes.
            thread::sleep(pace.wait(Instant::now()));
            let next = messages.recv_many(&mut received, self.config.batch.max(1));
            // By then the file is to be looked at again, whatever else there is to do.
            let next = async { tokio::time::timeout(PROBE_INTERVAL, next).await };
            match runtime.block_on(next) {
                Ok(0) => break,
                Ok(entries) => {
                    self.last_message = Instant::now();
                    let reserved = messages.max_capacity() - messages.capacity();
                    pace.begins(entries, reserved, self.last_message);
                    let stops = self.serve(received.drain(..));
                    if !stops.is_empty() {
                        // What waits already, and what has a place reserved, still comes.
                        messages.close();
                        stopping.extend(stops);
                    }
                }
                Err(_) if self.shared.health.is_well() => self.rest(),
                Err(_) => self.probe(),
            }
            if self.foreign.any(&self.conn) {
                self.shared.count_foreign();
            }
        }
        self.settle_owed();
        self.wal.settle(&self.conn);
        drop(self);
        for done in stopping {
            let _ = done.send(());
        }
    }

    /// What there is to do while nothing comes.
    fn rest(&mut self) {
        if let Err(cause) = self.opened.is_still_there() {
            self.fell_ill(&cause);
        } else if self.wal.is_unsettled() && self.last_message.elapsed() >= QUIET {
            self.wal.settle(&self.conn);
        }
    }

    /// What is owed was bought: at the end the database gets a while to be able to store it.
    fn settle_owed(&mut self) {
        let ended = Instant::now();
        while !self.owed.is_empty()
            && !self.shared.health.is_damaged()
            && ended.elapsed() < self.config.last_tries
        {
            self.probe();
            if !self.owed.is_empty() {
                thread::sleep(PROBE_INTERVAL.min(self.config.last_tries));
            }
        }
    }

    /// Writes the jobs, then does what else was asked; gives those who wait for the end.
    fn serve(&mut self, messages: impl Iterator<Item = Message>) -> Vec<oneshot::Sender<()>> {
        let (mut jobs, mut notes, mut stops) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Write(job) => jobs.push(job),
                Message::Limit(pages, done) => {
                    self.page_limit = pages;
                    self.limit_pages();
                    let _ = done.send(());
                }
                Message::Note(noting) => notes.push(noting),
                Message::Stop(done) => stops.push(done),
            }
        }
        if !jobs.is_empty() {
            self.store(jobs);
            if self.shared.health.is_well() {
                self.wal.after_commit(&self.conn);
            } else {
                self.probe_if_due();
            }
        }
        for noting in notes {
            self.note(noting);
        }
        stops
    }

    /// Notes a text, after what is worth more. While nothing can be stored it is not tried.
    fn note(&mut self, noting: Noting) {
        let noted = match self.shared.health.trouble() {
            Some(trouble) => Err(trouble),
            None => notes::replace(&self.conn, &noting).map_err(Arc::new).map_err(|cause| {
                let cause: Cause = cause;
                self.fell_ill(&cause);
                cause
            }),
        };
        if noted.is_ok() {
            self.wal.after_commit(&self.conn);
        }
        // An error means that nobody waits any more.
        let _ = noting.done.send(noted.map_err(StoreError::Unavailable));
    }

    /// Stores the jobs in one transaction. Where one entry is refused, the transaction is tried
    /// anew in halves, until that entry stands alone: its neighbours are stored, in a handful of
    /// transactions, and nothing is paid for that while none is refused. Where nothing can be
    /// stored, all of them are owed.
    fn store(&mut self, mut jobs: Vec<Job>) {
        if let Err(cause) = self.opened.is_still_there() {
            return self.keep(jobs, cause);
        }
        let began = Instant::now();
        match write(&mut self.conn, &jobs) {
            Ok(written) => {
                if let Err(cause) = self.opened.is_still_there() {
                    return self.committed_elsewhere(jobs, cause);
                }
                self.shared.count_committed(jobs.len(), written.rows, began.elapsed());
                for (job, standing) in jobs.into_iter().zip(written.standing) {
                    job.answer(standing);
                }
            }
            Err(error) if is_about_the_row(&error) && jobs.len() > 1 => {
                let second_half = jobs.split_off(jobs.len() / 2);
                self.store(jobs);
                self.store(second_half);
            }
            Err(error) if is_about_the_row(&error) => {
                self.shared.count_failed(jobs.len() as u64);
                let error = StoreError::Rejected(Arc::new(error));
                for mut job in jobs {
                    self.store_calls(mem::take(&mut job.entry), &error);
                    job.answer(Err(error.clone()));
                }
            }
            Err(error) => self.keep(jobs, Arc::new(error)),
        }
    }

    /// Answers that nothing is stored, and keeps what is owed to the log.
    fn keep(&mut self, jobs: Vec<Job>, cause: Cause) {
        self.fell_ill(&cause);
        self.shared.count_failed(jobs.len() as u64);
        let error = StoreError::Unavailable(cause);
        for mut job in jobs {
            self.owed.keep(mem::take(&mut job.entry), &self.shared, &error);
            job.answer(Err(error.clone()));
        }
    }

    /// The file was taken away between the look before and the look after the commit. If it comes
    /// back all is in it, so that nothing is owed; if not, the server's log has the calls.
    fn committed_elsewhere(&mut self, jobs: Vec<Job>, cause: Cause) {
        self.fell_ill(&cause);
        self.shared.count_failed(jobs.len() as u64);
        let error = StoreError::Unavailable(cause);
        for job in jobs {
            self.shared.lose(&job.entry, &error);
            job.answer(Err(error.clone()));
        }
    }

    /// Stores the calls of an entry that was refused: they were made, whatever is wrong with the
    /// valuation that came of them.
    fn store_calls(&mut self, refused: Entry, error: &StoreError) {
        if refused.valuation.is_none() {
            self.shared.lose(&refused, error);
        } else if !refused.calls.is_empty() {
            self.store(vec![Job::unawaited(Entry { valuation: None, calls: refused.calls })]);
        }
    }

    fn fell_ill(&mut self, cause: &Cause) {
        self.shared.health.fell_ill(cause, &self.config.path);
        // Callers that come now have been warned, and must not wait long for a lock.
        self.wait_for_locks(PROBE_LOCK_WAIT);
    }

    /// Only a probe makes the writer well again: a small entry may have slipped into a full disk.
    fn probe_if_due(&mut self) {
        if self.last_probe.is_none_or(|last| last.elapsed() >= PROBE_INTERVAL) {
            self.probe();
        }
    }

    fn probe(&mut self) {
        if self.shared.health.is_damaged() {
            return;
        }
        if let Err(cause) = self.opened.is_still_there() {
            self.last_probe = Some(Instant::now());
            self.shared.health.fell_ill(&cause, &self.config.path);
            return;
        }
        match health::probe(&mut self.conn) {
            Ok(()) => {
                self.last_probe = Some(Instant::now());
                // Before anybody is told that it is well again: who asks then finds what was owed.
                let owed = self.owed.take();
                if !owed.is_empty() {
                    self.store(owed);
                }
                if self.owed.is_empty() {
                    self.last_probe = None;
                    self.wait_for_locks(self.config.lock_wait);
                    self.shared.health.recovered();
                }
            }
            Err(error) => {
                self.last_probe = Some(Instant::now());
                let cause: Cause = Arc::new(error);
                self.shared.health.fell_ill(&cause, &self.config.path);
                self.reopen();
            }
        }
    }

    /// The file may have been repaired, and the connection's cache and handles be those of the
    /// broken one. Where it can't be opened, the old connection goes on trying.
    fn reopen(&mut self) {
        let config = StoreConfig { lock_wait: PROBE_LOCK_WAIT, ..self.config.clone() };
        match open::next_writer(&config) {
            Ok(conn) => {
                self.conn = conn;
                // Another connection's numbers are not comparable with the old one's.
                self.foreign = ForeignCommits::default();
                self.limit_pages();
            }
            Err(problem) => tracing::debug!(%problem, "the database cannot be opened anew"),
        }
    }

    fn wait_for_locks(&self, wait: Duration) {
        // Fails for a duration that SQLite can't count, and such a configuration did not open.
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
    /// Without its writer, whether it ended or panicked, the store can store nothing.
    fn drop(&mut self) {
        self.owed.lose(&self.shared, &StoreError::Closed);
        self.shared.health.ended(Arc::new(StoreError::Closed));
    }
}

/// What a transaction has done: for each of its entries, in order, what stands in the table now.
struct Written {
    standing: Vec<Standing>,
    rows: u64,
}

/// One transaction with all entries, or nothing.
fn write(conn: &mut Connection, jobs: &[Job]) -> rusqlite::Result<Written> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut written = Written { standing: Vec::with_capacity(jobs.len()), rows: 0 };
    let mut calls = logs::Insert::prepare(&tx)?;
    let mut made = valuations::Insert::prepare(&tx)?;
    for Job { entry, .. } in jobs {
        for call in &entry.calls {
            calls.insert(call)?;
            written.rows += 1;
        }
        written.standing.push(match &entry.valuation {
            None => Ok(None),
            Some(valuation) if made.if_absent(valuation)? => {
                written.rows += 1;
                Ok(Some(valuation.clone()))
            }
            Some(valuation) => valuations::find(&tx, &valuation.vrm)?,
        });
    }
    drop((calls, made));
    tx.commit()?;
    Ok(written)
}
