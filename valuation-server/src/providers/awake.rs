//! A time limit that does not run while our own process is paused.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// How often a running limit reads the clock.
const STEP: Duration = Duration::from_millis(250);
/// A timer that fires this late was not delayed by the scheduler: the process was stopped, or starved of
/// CPU.
const PAUSE: Duration = Duration::from_secs(1);

/// The result of work under a limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limited<T> {
    /// The work's result; `None` if the limit was reached first.
    pub(super) result: Option<T>,
    /// How long the process was paused meanwhile. A failure in that time says nothing about the peer,
    /// which may have answered, given up and closed the connection.
    pub(super) paused: Duration,
}

/// Runs `work` for at most `limit`, not counting the time in which this process is paused.
pub(super) async fn within<F: Future>(limit: Duration, work: F) -> Limited<F::Output> {
    let mut work = pin!(work);
    let (mut deadline, mut paused) = (Instant::now() + limit, Duration::ZERO);
    loop {
        let due = deadline.min(Instant::now() + STEP);
        let result = timeout_at(due, &mut work).await.ok();
        let late = Instant::now().saturating_duration_since(due);
        if late >= PAUSE {
            paused += late;
            // One more step: an answer may have arrived meanwhile, and has to be read.
            deadline += late + STEP;
        }
        if result.is_some() || Instant::now() >= deadline {
            return Limited { result, paused };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::{advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_reached_to_the_millisecond() {
        for limit in [1, 250, 251, 5_000].map(Duration::from_millis) {
            let start = Instant::now();
            let Limited { result, paused } = within(limit, pending::<()>()).await;
            assert_eq!((result, paused), (None, Duration::ZERO));
            assert!(start.elapsed().abs_diff(limit) <= Duration::from_millis(30), "{limit:?}");
        }
    }

    /// `advance` moves the clock at once, as a stopped process finds it moved.
    #[tokio::test(start_paused = true)]
    async fn a_pause_does_not_use_up_the_limit_and_is_told() {
        let limited = tokio::spawn(within(Duration::from_secs(5), sleep(Duration::from_secs(64))));
        sleep(Duration::from_millis(300)).await;
        advance(Duration::from_secs(60)).await;
        sleep(Duration::from_secs(3)).await;
        assert!(!limited.is_finished());
        let Limited { result, paused } = limited.await.unwrap();
        assert_eq!(result, Some(()));
        assert!(paused.abs_diff(Duration::from_secs(60)) <= STEP, "{paused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_scheduler_is_no_pause() {
        let limited = tokio::spawn(within(Duration::from_secs(1), pending::<()>()));
        sleep(Duration::from_millis(100)).await;
        advance(Duration::from_millis(900)).await;
        assert_eq!(limited.await.unwrap(), Limited { result: None, paused: Duration::ZERO });
    }
}
