//! Signals from outside the process.
//!
//! | signal | `serve` |
//! |---|---|
//! | `TERM`, `INT` | stops in order; a second one ends the process at once |
//! | `HUP` | the configuration's document is read again: see [`reload`](crate::reload). The demo stops in order |
//! | `USR1`, `USR2`, `ALRM`, `VTALRM`, `PROF`, `IO`, `PWR`, `STKFLT`, the real-time ones | are logged and ignored: by default they would end the process with calls in flight |
//! | `XFSZ`, `PIPE` | a write fails: see [`system`](crate::system); Rust's runtime ignores `PIPE` |
//! | `QUIT`, `ABRT`, `XCPU` and those of a fault | end the process at once, perhaps with a core dump, which is why they are sent |

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};
use tokio::sync::Notify;

/// Which signals stop the process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// Those for a service.
    Service,
    /// Those for a program in a terminal, and SIGHUP for the closed terminal.
    Terminal,
}

/// Signals without a meaning here, which would end the process by default.
const IGNORED: &[(&str, Signal)] = &[
    ("SIGUSR1", Signal::USR1),
    ("SIGUSR2", Signal::USR2),
    ("SIGALRM", Signal::ALARM),
    ("SIGVTALRM", Signal::VTALARM),
    ("SIGPROF", Signal::PROF),
    #[cfg(target_os = "linux")]
    ("SIGIO", Signal::IO),
    #[cfg(target_os = "linux")]
    ("SIGPWR", Signal::POWER),
    #[cfg(target_os = "linux")]
    ("SIGSTKFLT", Signal::STKFLT),
];
/// The kernel's real-time signals without those that C libraries reserve.
#[cfg(target_os = "linux")]
const REAL_TIME: Range<i32> = 34..65;
#[cfg(not(target_os = "linux"))]
const REAL_TIME: Range<i32> = 0..0;

/// Ready at the first signal to stop after this call.
///
/// # Errors
/// What the system says if signals can't be waited for.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn stop_ordered(stop: Stop) -> io::Result<impl Future<Output = ()> + Send> {
    let signals: &[Signal] = match stop {
        Stop::Service => &[Signal::TERM, Signal::INT],
        Stop::Terminal => &[Signal::TERM, Signal::INT, Signal::HUP],
    };
    let arrivals = signals.iter().map(|signal| Ok(((), arrivals_of(signal.as_raw())?)));
    let mut arrivals = arrivals.collect::<io::Result<Vec<_>>>()?;
    Ok(async move { next(&mut arrivals).await })
}

/// Logs the signals that do not stop the process.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn ignore_others() {
    let named = IGNORED.iter().map(|(name, signal)| (*name, signal.as_raw()));
    let all = named.chain(REAL_TIME.map(|number| ("SIGRT", number)));
    // A C library may reserve and refuse one more real-time signal.
    let mut arrivals: Vec<_> =
        all.filter_map(|named| Some((named, arrivals_of(named.1).ok()?))).collect();
    tokio::spawn(async move {
        loop {
            let (signal, number) = next(&mut arrivals).await;
            tracing::warn!(signal, number, "ignored a signal that orders nothing");
        }
    });
}

/// Notified at each SIGHUP from now on. Those that nobody has waited for count as one.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn hang_ups() -> Arc<Notify> {
    let asked = Arc::new(Notify::new());
    match arrivals_of(Signal::HUP.as_raw()) {
        Ok(mut arrivals) => {
            let notified = Arc::clone(&asked);
            tokio::spawn(async move {
                while arrivals.recv().await.is_some() {
                    notified.notify_one();
                }
            });
        }
        Err(error) => tracing::error!(%error, "SIGHUP cannot be waited for"),
    }
    asked
}

fn arrivals_of(number: i32) -> io::Result<Arrivals> {
    signal(SignalKind::from_raw(number))
}

/// The name of the next signal that arrives.
async fn next<N: Copy>(arrivals: &mut [(N, Arrivals)]) -> N {
    poll_fn(|cx| {
        let arrived =
            |(name, signal): &mut (N, Arrivals)| signal.poll_recv(cx).is_ready().then_some(*name);
        arrivals.iter_mut().find_map(arrived).map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
