//! Two threads that call clones of one service at once.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::{Effort, Figures, calls_in, of_thread, order};
use crate::rows::Row;
use crate::subject::Caller;

/// How many threads call.
const THREADS: u64 = 2;

/// Where the threads meet before each slice. They turn round while they wait, so that both are off
/// within a microsecond; who waits long lets others have the processor.
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

/// Nanoseconds a call and thread, by rows and rounds; not a number where the two did not run at the
/// same time. `runtime`: for services that use one's timer.
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
            (of_thread().saturating_sub(start), began.elapsed())
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
            let (took, _) = slice(caller, trial);
            fits.push(agree(calls_in(effort.slice, trial, took, *most)));
        }
        let mut figures = vec![Vec::with_capacity(effort.rounds); callers.len()];
        for round in 0..effort.rounds {
            for row in order(callers.len(), round) {
                let (took, passed) = slice(&mut callers[row], fits[row]);
                // Where the thread had to wait for a processor, the other ran alone meanwhile.
                let beside = took.as_secs_f64() > 0.9 * passed.as_secs_f64();
                let nanos = took.as_secs_f64() * 1e9 / fits[row] as f64;
                figures[row].push(if beside { nanos } else { f64::NAN });
            }
        }
        figures
    };
    let (one, other) = (callers(), callers());
    let (one, other): (Vec<Figures>, Vec<Figures>) = thread::scope(|scope| {
        let other = scope.spawn(|| work(other, false));
        (work(one, true), other.join().unwrap_or_default())
    });
    for (row, subject) in rows.iter().zip(&subjects) {
        assert!(subject.is_sound(), "{} is not what it says", row.name);
    }
    let mean = |(one, other): (Figures, Figures)| {
        one.iter().zip(other).map(|(one, other)| f64::midpoint(*one, other)).collect()
    };
    one.into_iter().zip(other).map(mean).collect()
}
