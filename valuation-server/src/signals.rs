//! The order to stop, from outside the process.

use std::io;

use tokio::signal::ctrl_c;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C, or for SIGTERM where there is one.
///
/// # Errors
/// What the system says if signals can't be waited for.
pub(crate) async fn stop_ordered() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            ordered = ctrl_c() => ordered,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    ctrl_c().await
}
