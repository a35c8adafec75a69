//! Eight tasks on a runtime of two workers.

use tokio::runtime::Runtime;

use super::{Effort, Figures, calls_in, of_process, order};
use crate::rows::Row;
use crate::subject::Subject;

/// The number of tasks.
const TASKS: u64 = 8;
/// The number of the runtime's workers.
pub const WORKERS: u32 = 2;

/// Calls of all tasks per second of both workers' time, by rows and rounds.
pub fn measure(rows: &[&Row], effort: Effort, runtime: &Runtime) -> Vec<Figures> {
    let subjects: Vec<_> = rows.iter().map(|row| (row.make)()).collect();
    let time = |subject: &dyn Subject, calls: u64| {
        let tasks: Vec<_> = (0..TASKS).map(|_| subject.task(calls)).collect();
        let start = of_process();
        runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(|task| runtime.spawn(task)).collect();
            for task in tasks {
                assert!(task.await.is_ok(), "a task has panicked");
            }
        });
        // This thread sleeps meanwhile, so it is the workers' time.
        of_process().saturating_sub(start) / WORKERS
    };
    let mut calls = Vec::new();
    for (row, subject) in rows.iter().zip(&subjects) {
        let most = row.most.map(|most| most.div_ceil(TASKS));
        let trial = most.unwrap_or(5_000);
        calls.push(calls_in(effort.slice, trial, time(&**subject, trial), most));
    }
    let mut figures = vec![Vec::with_capacity(effort.rounds); rows.len()];
    for round in 0..effort.rounds {
        for row in order(rows.len(), round) {
            let took = time(&*subjects[row], calls[row]);
            figures[row].push((TASKS * calls[row]) as f64 / took.as_secs_f64());
        }
    }
    for (row, subject) in rows.iter().zip(&subjects) {
        assert!(subject.is_sound(), "{} is not what it says", row.name);
    }
    figures
}
