//! What the service manager is told: systemd, by `NOTIFY_SOCKET`. Without one nothing is sent.
//!
//! `READY=1` follows the opened database and bound listeners, `RELOADING=1` a SIGHUP, `STOPPING=1` the signal to stop, with the time
//! that the stop may take. `WATCHDOG=1` says that the runtime executes tasks and timers, and no more: a full
//! disk or a failing provider is not made better by a restart.

use std::time::Duration;

use tokio::task::JoinSet;

/// Says that the server serves, and from then on, until the result is dropped, that it is alive, if the manager
/// wants to know that.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub(crate) fn ready() -> JoinSet<()> {
    let mut watchdog = JoinSet::new();
    #[cfg(target_os = "linux")]
    {
        linux::send(&[sd_notify::NotifyState::Ready]);
        if let Some(limit) = sd_notify::watchdog_enabled() {
            watchdog.spawn(linux::alive(limit));
        }
    }
    watchdog
}

/// Says that the configuration is read again, until [`reloaded`].
pub(crate) fn reloading() {
    #[cfg(target_os = "linux")]
    match sd_notify::NotifyState::monotonic_usec_now() {
        Ok(now) => linux::send(&[sd_notify::NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
    }
}

/// Says that the configuration has been read again, or that the old one stays.
pub(crate) fn reloaded() {
    #[cfg(target_os = "linux")]
    linux::send(&[sd_notify::NotifyState::Ready]);
}

/// Says that the server stops, and that this takes `longest` at most.
pub(crate) fn stopping(longest: Duration) {
    #[cfg(target_os = "linux")]
    {
        let micros = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        linux::send(&[
            sd_notify::NotifyState::Stopping,
            sd_notify::NotifyState::ExtendTimeoutUsec(micros),
        ]);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = longest;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use sd_notify::NotifyState;
    use tokio::time::{MissedTickBehavior, interval};

    /// A manager that can't be reached may end the server: the log says why.
    pub(super) fn send(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, ?states, "the service manager (NOTIFY_SOCKET) cannot be notified");
        }
    }

    /// Sent twice as often as the manager wants: one may be late.
    pub(super) async fn alive(limit: Duration) {
        let mut ticks = interval((limit / 2).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            send(&[NotifyState::Watchdog]);
        }
    }
}
