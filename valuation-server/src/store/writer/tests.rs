//! The writer on an engine that fails as a test says.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, ffi};
use tokio::sync::mpsc;

use super::*;
use crate::domain::{CallOutcome, Provider, ProviderCall, Vrm};
use crate::store::derived::Piece;
use crate::store::engine::Written;
use crate::store::notes::Noting;

/// A database in memory. Clones share it.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    /// The vehicles of the committed calls, by id.
    rows: Vec<String>,
    heads: Vec<LogHead>,
    /// What happens to the next batches; nothing to those after them.
    faults: VecDeque<Fault>,
    /// A call of this vehicle is refused.
    refused: Option<&'static str>,
    is_down: bool,
    is_impatient: bool,
    probes: u32,
}

enum Fault {
    /// Nothing is stored, with this code of SQLite.
    Fails(i32),
    /// The connection breaks during the commit. The database is down then.
    Breaks { committed: bool },
}

fn error(code: i32) -> SqlError {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
}

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn rows(&self) -> Vec<String> {
        self.world().rows.clone()
    }
}

impl World {
    fn commit(&mut self, jobs: &[Job]) -> LogHead {
        let calls = jobs.iter().flat_map(|job| &job.entry.calls);
        self.rows.extend(calls.map(|call| call.vrm.to_string()));
        let head = self.next_head(0);
        self.heads.push(head);
        head
    }

    fn next_head(&self, more: usize) -> LogHead {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(self.heads.len() as u64).to_le_bytes());
        LogHead { last_id: (self.rows.len() + more) as i64, hash }
    }

    fn must_be_up(&self) -> Result<(), SqlError> {
        if self.is_down { Err(error(ffi::SQLITE_IOERR)) } else { Ok(()) }
    }
}

impl Engine for Fake {
    fn write(&mut self, jobs: &[Job]) -> Result<Written, WriteError> {
        let mut world = self.world();
        world.must_be_up()?;
        let calls: Vec<_> = jobs.iter().flat_map(|job| &job.entry.calls).collect();
        if calls.iter().any(|call| Some(call.vrm.as_str()) == world.refused) {
            return Err(error(ffi::SQLITE_CONSTRAINT).into());
        }
        match world.faults.pop_front() {
            Some(Fault::Fails(code)) => Err(error(code).into()),
            Some(Fault::Breaks { committed }) => {
                world.is_down = true;
                let head =
                    if committed { world.commit(jobs) } else { world.next_head(calls.len()) };
                Err(WriteError::InDoubt(error(ffi::SQLITE_IOERR), head))
            }
            None => {
                let head = Some(world.commit(jobs));
                let stored = jobs.iter().map(|job| Ok(job.entry.valuation.clone())).collect();
                Ok(Written { stored, rows: calls.len() as u64, head })
            }
        }
    }

    fn transaction<T>(
        &mut self,
        write: impl FnOnce(&dyn Sql) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        self.world().must_be_up()?;
        // Without any table.
        write(&Connection::open_in_memory()?)
    }

    fn forget(&mut self, _: &Vrm) -> Result<bool, SqlError> {
        self.world().must_be_up().map(|()| true)
    }

    fn catch_up(&mut self) -> Result<Piece, SqlError> {
        Ok(Piece { more: false, head: None })
    }

    fn has_head(&mut self, head: &LogHead) -> Result<bool, SqlError> {
        let world = self.world();
        world.must_be_up()?;
        Ok(world.heads.contains(head))
    }

    fn probe(&mut self) -> Result<(), SqlError> {
        let mut world = self.world();
        world.probes += 1;
        world.must_be_up()
    }

    fn be_patient(&mut self, patient: bool) {
        self.world().is_impatient = !patient;
    }

    fn outdated(&mut self) -> bool {
        false
    }

    fn wait<T>(&mut self, future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(future)
    }
}

fn entry(mark: &str) -> Entry {
    let call = ProviderCall {
        vrm: Vrm::parse(mark).unwrap(),
        provider: Provider::SuperCar,
        requested_at: std::time::SystemTime::UNIX_EPOCH,
        duration: Duration::ZERO,
        url: String::new(),
        response_code: Some(200),
        error: None,
        outcome: CallOutcome::Success,
        rescue: false,
    };
    Entry { valuation: None, calls: vec![call] }
}

fn writer(fake: &Fake) -> Writer<Fake> {
    Writer {
        engine: fake.clone(),
        config: StoreConfig::new("fake"),
        shared: Arc::default(),
        deferred: Deferred::default(),
        last_probe: None,
        last_message: Instant::now(),
    }
}

fn broken(committed: bool) -> Fake {
    let fake = Fake::default();
    fake.world().faults.push_back(Fault::Breaks { committed });
    fake
}

impl Writer<Fake> {
    /// Serves the entries of these vehicles as one batch, and says which are answered as stored.
    fn put(&mut self, marks: &[&str]) -> Vec<bool> {
        let (messages, answers): (Vec<_>, Vec<_>) = marks
            .iter()
            .map(|mark| Job::awaited(entry(mark)))
            .map(|(job, answer)| (Message::Write(job), answer))
            .unzip();
        self.serve(messages.into_iter());
        answers.into_iter().map(|mut answer| answer.try_recv().unwrap().is_ok()).collect()
    }

    fn counts(&self) -> (u64, u64, u64) {
        let stats = &self.shared.stats;
        (stats.entries.get(), stats.rows.get(), self.shared.lost.get())
    }
}

#[test]
fn a_batch_in_doubt_that_was_committed_is_counted_and_not_stored_again() {
    let fake = broken(true);
    let mut writer = writer(&fake);
    assert_eq!(writer.put(&["A", "B"]), [false, false]);
    assert!(!writer.shared.health.is_healthy());
    assert_eq!(writer.counts(), (0, 0, 0), "nobody knows yet");
    fake.world().is_down = false;
    writer.probe();
    assert!(writer.shared.health.is_healthy());
    assert_eq!((fake.rows(), writer.counts()), (vec!["A".into(), "B".into()], (2, 2, 0)));
    assert_eq!(writer.config.newest_head.get(), fake.world().heads.last().copied());
}

#[test]
fn a_batch_in_doubt_that_was_not_committed_is_stored_again() {
    let fake = broken(false);
    let mut writer = writer(&fake);
    assert_eq!(writer.put(&["A", "B"]), [false, false]);
    fake.world().is_down = false;
    writer.probe();
    assert!(writer.shared.health.is_healthy());
    assert_eq!((fake.rows(), writer.counts()), (vec!["A".into(), "B".into()], (2, 2, 0)));
}

#[test]
fn while_the_database_is_away_all_is_kept_in_its_order_and_what_is_in_doubt_by_itself() {
    let fake = broken(true);
    let mut writer = writer(&fake);
    writer.put(&["A"]);
    writer.put(&["B", "C"]);
    writer.probe();
    assert!(!writer.shared.health.is_healthy());
    assert_eq!(fake.rows(), ["A"]);
    // It breaks once more while the rest is stored.
    fake.world().is_down = false;
    fake.world().faults.push_back(Fault::Breaks { committed: false });
    writer.probe();
    assert_eq!((fake.rows(), writer.counts()), (vec!["A".into()], (1, 1, 0)));
    writer.put(&["D"]);
    fake.world().is_down = false;
    writer.probe();
    assert_eq!((fake.rows().concat(), writer.counts()), ("ABCD".into(), (4, 4, 0)));
    assert!(writer.shared.health.is_healthy());
}

#[test]
fn what_waits_for_a_database_that_stays_away_is_bounded_and_the_rest_is_counted_as_lost() {
    let fake = broken(true);
    let mut writer = writer(&fake);
    writer.put(&["A"]);
    for _ in 0..5_000 {
        writer.put(&["B"]);
    }
    writer.probe();
    let lost = writer.shared.lost.get();
    assert!((900..1_000).contains(&lost), "{lost}");
    fake.world().is_down = false;
    writer.probe();
    assert_eq!(fake.rows().len() as u64 + lost, 5_001);
    // At the end what is still deferred is lost, once.
    fake.world().is_down = true;
    writer.put(&["C"]);
    let shared = Arc::clone(&writer.shared);
    drop(writer);
    assert_eq!(shared.lost.get(), lost + 1);
}

#[test]
fn an_entry_that_is_refused_is_found_and_the_others_of_its_batch_are_stored() {
    let fake = Fake::default();
    fake.world().refused = Some("C");
    let mut writer = writer(&fake);
    assert_eq!(writer.put(&["A", "B", "C", "D", "E"]), [true, true, false, true, true]);
    assert_eq!(fake.rows().concat(), "ABDE");
    assert!(writer.shared.health.is_healthy(), "it says nothing about the database");
    assert_eq!(writer.shared.lost.get(), 1);
}

#[test]
fn an_unhealthy_writer_does_not_wait_long_for_locks_and_a_damaged_database_is_not_tried() {
    let fake = Fake::default();
    fake.world().faults.push_back(Fault::Fails(ffi::SQLITE_BUSY));
    let mut writer = writer(&fake);
    writer.last_probe = Some(Instant::now());
    assert_eq!(writer.put(&["A"]), [false]);
    assert!(fake.world().is_impatient && !writer.shared.health.is_healthy());
    writer.probe();
    assert!(!fake.world().is_impatient && writer.shared.health.is_healthy());
    assert_eq!(fake.rows(), ["A"]);

    fake.world().faults.push_back(Fault::Fails(ffi::SQLITE_CORRUPT));
    writer.put(&["B"]);
    let probes = fake.world().probes;
    writer.probe();
    assert_eq!(fake.world().probes, probes);
    assert!(writer.shared.health.is_damaged());
}

#[test]
fn a_statement_that_cannot_be_run_says_nothing_about_other_writes_and_a_lost_connection_does() {
    let fake = Fake::default();
    let mut writer = writer(&fake);
    let note = |writer: &mut Writer<Fake>| {
        let (done, mut noted) = oneshot::channel();
        let at = std::time::SystemTime::UNIX_EPOCH;
        let noting = Noting { name: "a".to_owned(), text: String::new(), at, done };
        writer.serve([Message::Note(noting)].into_iter());
        noted.try_recv().unwrap()
    };
    assert!(note(&mut writer).is_err(), "there is no table");
    assert!(writer.shared.health.is_healthy());
    fake.world().is_down = true;
    assert!(note(&mut writer).is_err());
    assert!(!writer.shared.health.is_healthy());
}

#[test]
fn the_thread_serves_until_the_stop_and_answers_it_last() {
    let fake = Fake::default();
    let (queue, messages) = mpsc::channel(8);
    let thread = start(fake.clone(), &StoreConfig::new("fake"), Arc::default(), messages).unwrap();
    let ((job, stored), (done, mut ended)) = (Job::awaited(entry("A")), oneshot::channel());
    queue.try_send(Message::Stop(done)).unwrap();
    queue.try_send(Message::Write(job)).unwrap();
    thread.join().unwrap();
    assert!(stored.blocking_recv().unwrap().is_ok() && ended.try_recv().is_ok());
    assert_eq!(fake.rows(), ["A"]);
}
