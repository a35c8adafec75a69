//! What the process asks of the operating system for itself.

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Files that are no clients' connections: the database, its log and shared memory for each
/// connection to it, listeners, the runtime's own.
const OWN_FILES: usize = 100;

/// Makes room for the open files that the server will need, as far as the system allows, and gives
/// the number of clients that can be connected at once: not more than `connections`, and less
/// where `questions` to providers and what the server needs for itself would not fit beside them.
pub(crate) fn room_for(connections: usize, questions: usize) -> usize {
    let beside = OWN_FILES.saturating_add(questions);
    let wanted = u64::try_from(connections.saturating_add(beside)).unwrap_or(u64::MAX);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(allowed) = current.filter(|allowed| *allowed < wanted) else { return connections };
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let limit = Rlimit { current: Some(raised), maximum };
    let allowed = if setrlimit(Resource::Nofile, limit).is_ok() { raised } else { allowed };
    if allowed >= wanted {
        return connections;
    }
    let fitting = usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(beside).max(1);
    tracing::warn!(
        "this process may open {allowed} files, and {wanted} would be needed for \
         {connections} connections: at most {fitting} are taken; raise the limit (ulimit -n), or \
         lower --max-connections or --max-puts"
    );
    fitting
}

/// Has a write beyond the largest file that the process may make fail, as a write to a full disk
/// does, instead of ending the process.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn survive_the_file_size_limit() {
    // The handler stays when the stream of signals is dropped, and does nothing then.
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "SIGXFSZ cannot be handled: a file-size limit would end the server");
    }
}
