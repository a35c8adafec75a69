//! One thread.

use std::time::Duration;

use super::{Effort, Figures, calls_in, of_thread, order};
use crate::rows::Row;
use crate::subject::Caller;

fn time(caller: &mut Caller, calls: u64) -> Duration {
    let start = of_thread();
    caller(calls);
    of_thread().saturating_sub(start)
}

/// Nanoseconds per call, by rows and rounds.
pub fn measure(rows: &[&Row], effort: Effort) -> Vec<Figures> {
    let subjects: Vec<_> = rows.iter().map(|row| (row.make)()).collect();
    let mut callers: Vec<_> = subjects.iter().map(|subject| subject.caller()).collect();
    let trial = |(row, caller): (&&Row, &mut Caller)| {
        let calls = row.most.unwrap_or(20_000);
        time(caller, calls);
        calls_in(effort.slice, calls, time(caller, calls), row.most)
    };
    let calls: Vec<u64> = rows.iter().zip(&mut callers).map(trial).collect();
    let mut figures = vec![Vec::with_capacity(effort.rounds); rows.len()];
    for round in 0..effort.rounds {
        for row in order(rows.len(), round) {
            let took = time(&mut callers[row], calls[row]);
            figures[row].push(took.as_secs_f64() * 1e9 / calls[row] as f64);
        }
    }
    for (row, subject) in rows.iter().zip(&subjects) {
        assert!(subject.is_sound(), "{} is not what it says", row.name);
    }
    figures
}
