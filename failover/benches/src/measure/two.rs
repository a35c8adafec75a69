//! Two threads that call clones of one service at once.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::{Effort, Figures, calls_in, of_thread, order};
use crate::rows::Row;
use crate::subject::Caller;

/// The number of threads.
const THREADS: u64 = 2;

/// A barrier before each slice. The threads spin, so that both start within a microsecond, and yield
/// the processor after a long wait.
#[derive(Default)]
struct Meeting(AtomicU64);

impl Meeting {
    fn meet(&self) {
        let arrived = self.0.fetch_add(1, Ordering::AcqRel);
        let all = (arrived / THREADS + 1) * THREADS;
        let mut turns = 0_u32;
        while self.0.load(Ordering::Acquire) < all {
            turns += 1;
            if turns.is_multiple_of(10_000) { thread::yield_now() } else { spin_loop() }
        }
    }
}

/// Nanoseconds per call and thread, by rows and rounds; NaN if the two did not run at the same time.
/// `runtime`: for services that use its timer.
pub fn measure(rows: &[&Row], effort: Effort, runtime: &tokio::runtime::Handle) -> Vec<Figures> {
    let subjects: Vec<_> = rows.iter().map(|row| (row.make)()).collect();
    let callers = || -> Vec<Caller> { subjects.iter().map(|subject| subject.caller()).collect() };
    let most: Vec<_> = rows.iter().map(|row| row.most).collect();
    let (meeting, calls) = (Meeting::default(), AtomicU64::new(0));
    let work = |mut callers: Vec<Caller>, decides: bool| {
        let _runtime = runtime.enter();
        let slice = |caller: &mut Caller, calls: u64| {
            meeting.meet();
            let (start, began) = (of_thread(), Instant::now());
            caller(calls);
            (of_thread().saturating_sub(start), began, Instant::now())
        };
        let agree = |fit: u64| {
            if decides {
                calls.store(fit, Ordering::Release);
            }
            meeting.meet();
            let agreed = calls.load(Ordering::Acquire);
            meeting.meet();
            agreed
        };
        let mut fits = Vec::new();
        for (most, caller) in most.iter().zip(&mut callers) {
            let trial = most.unwrap_or(10_000);
            let (took, ..) = slice(caller, trial);
            fits.push(agree(calls_in(effort.slice, trial, took, *most)));
        }
        let mut figures = vec![Vec::with_capacity(effort.rounds); callers.len()];
        for round in 0..effort.rounds {
            for row in order(callers.len(), round) {
                let (took, began, ended) = slice(&mut callers[row], fits[row]);
                let nanos = took.as_secs_f64() * 1e9 / fits[row] as f64;
                figures[row].push(Slice { nanos, began, ended });
            }
        }
        figures
    };
    let (one, other) = (callers(), callers());
    let (one, other): (Vec<Vec<Slice>>, Vec<Vec<Slice>>) = thread::scope(|scope| {
        let other = scope.spawn(|| work(other, false));
        (work(one, true), other.join().unwrap_or_default())
    });
    for (row, subject) in rows.iter().zip(&subjects) {
        assert!(subject.is_sound(), "{} is not what it says", row.name);
    }
    let mean = |(one, other): (Vec<Slice>, Vec<Slice>)| {
        one.iter().zip(&other).map(|(one, other)| one.beside(other)).collect()
    };
    one.into_iter().zip(other).map(mean).collect()
}

/// A slice of one of the threads.
#[derive(Clone)]
struct Slice {
    nanos: f64,
    began: Instant,
    ended: Instant,
}

impl Slice {
    /// The mean of the two, if they ran at the same time nearly throughout.
    fn beside(&self, other: &Self) -> f64 {
        let both =
            self.ended.min(other.ended).saturating_duration_since(self.began.max(other.began));
        let all =
            self.ended.max(other.ended).saturating_duration_since(self.began.min(other.began));
        let beside = both.as_secs_f64() > 0.8 * all.as_secs_f64();
        if beside { f64::midpoint(self.nanos, other.nanos) } else { f64::NAN }
    }
}
