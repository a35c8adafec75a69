//! Leaves the write lock to other programs between the transactions of a long task.

use std::time::Duration;

/// How long a task that writes in many transactions pauses after one of them, so that a running server gets
/// the lock next. `took` is how long it held the lock.
///
/// SQLite tries a lock again after 1, 2, 5, 10, 15, 20 ms and so on: the next delay is never longer than 2 ms
/// or 1.7 times the time waited so far. So the first try after the commit falls into this pause, and no wait
/// is longer than three such transactions. Without a pause a server may wait for seconds.
#[must_use]
pub fn pause_after(took: Duration) -> Duration {
    took * 2 + Duration::from_millis(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `delays` of `sqliteDefaultBusyCallback` in SQLite's main.c, in ms; then 100 each.
    const DELAYS: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

    #[test]
    fn whenever_a_wait_begins_its_first_try_after_the_commit_is_within_the_pause() {
        for took in 1..300 {
            let free =
                took + u64::try_from(pause_after(Duration::from_millis(took)).as_millis()).unwrap();
            for began in 0..took {
                let mut at = began;
                let first_after = DELAYS
                    .into_iter()
                    .chain(std::iter::repeat(100))
                    .map(|delay| {
                        at += delay;
                        at
                    })
                    .find(|at| *at >= took)
                    .unwrap();
                assert!(first_after < free, "a wait from {began} of {took} ms");
            }
        }
    }
}
