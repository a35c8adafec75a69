//! Keeps the rollups complete: those of a database from before them are built once, in pieces between which
//! valuations are stored.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, pause_after};

/// How often rows of other programs are looked for, which are rare: an operator's INSERT.
const EVERY: Duration = Duration::from_secs(60);
/// How often a long build is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Adds rows to the rollups until `stop`. What is done when it stops stays done.
pub(super) async fn keep(store: Store, stop: CancellationToken) {
    loop {
        let (began, mut logged) = (Instant::now(), Instant::now());
        let mut is_long = false;
        let mut piece_began = began;
        while let Some(more) = piece(&store, &stop).await
            && more
        {
            // Another server on the file gets the lock as well.
            sleep(pause_after(piece_began.elapsed())).await;
            piece_began = Instant::now();
            if logged.elapsed() >= LOG_EVERY {
                (logged, is_long) = (Instant::now(), true);
                tracing::info!("building the rollups of ProviderLogs; reports are right meanwhile");
            }
        }
        if is_long && !stop.is_cancelled() {
            tracing::info!(took = ?began.elapsed(), "the rollups of ProviderLogs are built");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EVERY) => {}
        }
    }
}

/// `None` if nothing can be done now.
async fn piece(store: &Store, stop: &CancellationToken) -> Option<bool> {
    if stop.is_cancelled() {
        return None;
    }
    store
        .catch_up()
        .await
        .inspect_err(|error| tracing::debug!(%error, "the rollups cannot be built now"))
        .ok()
}
