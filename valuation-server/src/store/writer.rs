//! The writer: the one thread that writes. It stores everything that waits in one transaction.

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::deferred::{Deferred, DeferredBatch};
use super::derived::CatchUp;
use super::engine::{Engine, WriteError};
use super::error::{Cause, StoreError};
use super::failure::Failure;
use super::health::PROBE_INTERVAL;
use super::pace::Pace;
use super::queue::{Forgetting, Job, Message};
use super::sql::{Sql, SqlError};
use super::stats::Shared;
use super::{Entry, LogHead, StoreConfig, history, notes, thinning};

/// The engine rests after this long without a message.
const QUIET: Duration = Duration::from_secs(1);

/// Starts the thread. It ends after a [`Message::Stop`], or when the last sender is dropped.
pub(super) fn start(
    engine: impl Engine,
    config: &StoreConfig,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
) -> io::Result<JoinHandle<()>> {
    let writer = Writer {
        engine,
        shared,
        deferred: Deferred::default(),
        last_probe: None,
        last_message: Instant::now(),
        config: config.clone(),
    };
    thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(messages))
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

/// What became of a batch that was not answered as stored.
#[derive(Clone, Copy)]
enum Fate {
    /// Nothing is stored.
    NotStored,
    /// All is stored, with this head of the chain, or nothing.
    InDoubt(LogHead),
    /// All is stored, in a database that is no longer there.
    Gone,
}

struct Writer<E: Engine> {
    engine: E,
    config: StoreConfig,
    shared: Arc<Shared>,
    deferred: Deferred,
    /// When the unhealthy writer last tried to store; `None` while it is healthy.
    last_probe: Option<Instant>,
    last_message: Instant,
}

impl<E: Engine> Writer<E> {
    fn run(mut self, mut messages: Receiver<Message>) {
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
            match self.engine.wait(next) {
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
            if self.engine.outdated() {
                self.shared.outdated.inc();
            }
        }
        self.settle_deferred();
        self.engine.settle();
        drop(self);
        for done in stopping {
            let _ = done.send(());
        }
    }

    /// The work of an idle writer.
    fn rest(&mut self) {
        if let Err(cause) = self.engine.is_still_there() {
            self.failed(&cause, Failure::Unavailable);
        } else if self.last_message.elapsed() >= QUIET
            && let Err(error) = self.engine.rest()
        {
            let failure = error.failure();
            self.failed(&error.into(), failure);
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
                    self.engine.limit_pages(pages);
                    let _ = done.send(());
                }
                Message::Stop(done) => stops.push(done),
                other => others.push(other),
            }
        }
        if !jobs.is_empty() {
            self.store(jobs);
            if self.shared.health.is_healthy() {
                self.engine.after_commit();
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
                let noted = self.transact(|sql| notes::replace(sql, &noting));
                let _ = noting.done.send(noted);
            }
            Message::Record(recording) => {
                let recorded = self.transact(|sql| history::add(sql, &recording));
                let _ = recording.done.send(recorded);
            }
            Message::Thin(thinning) => {
                let thinned = self.transact(|sql| thinning::thin(sql, thinning.now));
                let _ = thinning.done.send(thinned);
            }
            Message::CatchUp(CatchUp { done }) => {
                let piece = self.attempt(E::catch_up);
                self.show_head(piece.as_ref().ok().and_then(|piece| piece.head));
                let _ = done.send(piece.map(|piece| piece.more));
            }
            Message::Forget(Forgetting { vrm, done }) => {
                let forgotten = self.attempt(|engine| engine.forget(&vrm));
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

    fn transact<T>(
        &mut self,
        write: impl FnOnce(&dyn Sql) -> Result<T, SqlError>,
    ) -> Result<T, StoreError> {
        self.attempt(|engine| engine.transaction(write))
    }

    /// Writes. An unhealthy writer does not try.
    fn attempt<T>(
        &mut self,
        write: impl FnOnce(&mut E) -> Result<T, SqlError>,
    ) -> Result<T, StoreError> {
        if let Some(trouble) = self.shared.health.trouble() {
            return Err(StoreError::Unavailable(trouble));
        }
        if let Err(cause) = self.engine.is_still_there() {
            self.failed(&cause, Failure::Unavailable);
            return Err(StoreError::Unavailable(cause));
        }
        match write(&mut self.engine) {
            Ok(written) => {
                self.engine.after_commit();
                Ok(written)
            }
            Err(error) => {
                let failure = error.failure();
                let cause = Cause::from(error);
                if !matches!(failure, Failure::Row | Failure::Statement) {
                    self.failed(&cause, failure);
                }
                Err(StoreError::Unavailable(cause))
            }
        }
    }

    /// Stores the jobs in one transaction. If an entry is refused, the jobs are tried again in halves
    /// until that entry stands alone: the others are stored in a few transactions, and the usual case
    /// pays nothing. If nothing can be stored, all of them are deferred.
    fn store(&mut self, mut jobs: Vec<Job>) {
        if let Err(cause) = self.engine.is_still_there() {
            return self.unavailable(jobs, cause, Failure::Unavailable, Fate::NotStored);
        }
        let began = Instant::now();
        match self.engine.write(&jobs) {
            Ok(written) => {
                if let Err(cause) = self.engine.is_still_there() {
                    // The file was removed since the first look. If it comes back, all is in it, so
                    // that nothing is deferred; if not, the server's log has the calls.
                    return self.unavailable(jobs, cause, Failure::Unavailable, Fate::Gone);
                }
                self.show_head(written.head);
                self.shared.count_committed(jobs.len(), written.rows, began.elapsed());
                for (job, stored) in jobs.into_iter().zip(written.stored) {
                    job.answer(stored);
                }
            }
            Err(WriteError::Failed(error)) if error.failure() == Failure::Row => {
                if jobs.len() > 1 {
                    let second_half = jobs.split_off(jobs.len() / 2);
                    self.store(jobs);
                    return self.store(second_half);
                }
                self.shared.stats.failed.inc_by(jobs.len() as u64);
                let error = StoreError::Rejected(error.into());
                for mut job in jobs {
                    self.store_calls(mem::take(&mut job.entry), &error);
                    job.answer(Err(error.clone()));
                }
            }
            Err(WriteError::Failed(error)) => {
                let failure = error.failure();
                self.unavailable(jobs, error.into(), failure, Fate::NotStored);
            }
            Err(WriteError::InDoubt(error, head)) => {
                let failure = error.failure();
                self.unavailable(jobs, error.into(), failure, Fate::InDoubt(head));
            }
        }
    }

    /// Answers that nothing is stored, after each entry was kept or lost.
    fn unavailable(&mut self, jobs: Vec<Job>, cause: Cause, failure: Failure, fate: Fate) {
        self.failed(&cause, failure);
        self.shared.stats.failed.inc_by(jobs.len() as u64);
        let error = StoreError::Unavailable(cause);
        for mut job in jobs {
            let entry = mem::take(&mut job.entry);
            match fate {
                Fate::NotStored => self.deferred.keep(entry, None, &self.shared, &error),
                Fate::InDoubt(head) => self.deferred.keep(entry, Some(head), &self.shared, &error),
                Fate::Gone => self.shared.lose(&entry, &error),
            }
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

    fn failed(&mut self, cause: &Cause, failure: Failure) {
        self.shared.health.failed(cause, failure, &self.config.backend);
        // Later callers get an answer soon, and must not wait long for a lock.
        self.engine.be_patient(false);
    }

    /// Only a probe makes the writer healthy: a small entry may have fitted into a full disk.
    fn probe(&mut self) {
        if self.shared.health.is_damaged() {
            return;
        }
        let probed = self.engine.is_still_there().map_err(|cause| (cause, Failure::Unavailable));
        let probed = probed.and_then(|()| {
            self.engine.probe().map_err(|error| {
                let failure = error.failure();
                (error.into(), failure)
            })
        });
        self.last_probe = Some(Instant::now());
        match probed {
            Ok(()) => {
                // Before the writer counts as healthy: a caller that sees it finds the deferred rows.
                self.store_deferred();
                if self.deferred.is_empty() {
                    self.last_probe = None;
                    self.engine.be_patient(true);
                    self.shared.health.recovered();
                }
            }
            Err((cause, failure)) => self.failed(&cause, failure),
        }
    }

    /// Tries the deferred batches in their order, until one has to be deferred again.
    fn store_deferred(&mut self) {
        let mut batches = self.deferred.take().into_iter();
        for batch in batches.by_ref() {
            self.store_again(batch);
            if !self.deferred.is_empty() {
                break;
            }
        }
        self.deferred.put_back(batches);
    }

    /// Stores a batch, unless it was committed before its connection broke.
    fn store_again(&mut self, batch: DeferredBatch) {
        let Some(head) = batch.head else {
            return self.store(batch.into_jobs());
        };
        match self.engine.has_head(&head) {
            Ok(true) => {
                self.show_head(Some(head));
                self.shared.count_found(&batch.entries);
            }
            Ok(false) => self.store(batch.into_jobs()),
            Err(error) => {
                let failure = error.failure();
                self.failed(&error.into(), failure);
                self.deferred.put_back([batch]);
            }
        }
    }
}

impl<E: Engine> Drop for Writer<E> {
    /// Without a running writer the store is unhealthy.
    fn drop(&mut self) {
        self.deferred.lose(&self.shared, &StoreError::Closed);
        self.shared.health.ended(Arc::new(StoreError::Closed));
    }
}

#[cfg(test)]
mod tests;
