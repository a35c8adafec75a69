//! What the process asks of the operating system for itself.

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Files that are not connections of clients or to providers: the database with its log and shared
/// memory for each of its connections, listeners, the runtime's, operators' connections, and those of
/// clients that are rejected.
const OWN_FILES: u64 = 256;

/// The longest name of a host.
const LONGEST_NAME: usize = 64;

/// The host's name, without characters that are not visible ASCII, as `uname -n` shows it.
pub(crate) fn host_name() -> String {
    name_of(&rustix::system::uname().nodename().to_string_lossy())
}

fn name_of(host: &str) -> String {
    let name: String = host.chars().filter(char::is_ascii_graphic).take(LONGEST_NAME).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// For how many clients and how many concurrent valuations there are files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) connections: usize,
    pub(crate) valuations: usize,
}

/// Raises the limit of open files as far as the system allows and the server needs, and gives the part
/// of `wanted` that there are files for.
pub(crate) fn room_for(wanted: Room) -> Room {
    let needed = needed_for(wanted);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(allowed) = current.filter(|allowed| *allowed < needed) else { return wanted };
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed)).max(allowed);
    let limit = Rlimit { current: Some(raised), maximum };
    let allowed = if setrlimit(Resource::Nofile, limit).is_ok() { raised } else { allowed };
    let room = within(allowed, wanted);
    if room == wanted {
        tracing::debug!("this process may open {allowed} files from now on");
    } else {
        let Room { connections, valuations } = room;
        tracing::warn!(
            "this process may open {allowed} files, and {} connections and {} valuations at once \
             would need {needed}: at most {connections} and {valuations} are \
             taken; raise the limit (ulimit -n), or lower --max-connections and --max-puts",
            wanted.connections,
            wanted.valuations,
        );
    }
    room
}

/// A valuation has a connection to one provider, and perhaps an earlier one to the other.
fn needed_for(room: Room) -> u64 {
    let files = room.valuations.saturating_mul(2).saturating_add(room.connections);
    u64::try_from(files).unwrap_or(u64::MAX).saturating_add(OWN_FILES)
}

/// The part of `wanted` that `allowed` files suffice for. If they are few, a fifth of them is for
/// valuations, since most requests need none.
fn within(allowed: u64, wanted: Room) -> Room {
    if needed_for(wanted) <= allowed {
        return wanted;
    }
    // Of very few the server itself gets half.
    let for_others = allowed.saturating_sub(OWN_FILES).max(allowed / 2);
    let files = usize::try_from(for_others).unwrap_or(usize::MAX);
    let valuations = wanted.valuations.min(files / 5).max(1);
    let left = files.saturating_sub(2 * valuations).max(1);
    let connections = wanted.connections.min(left);
    let rest = files.saturating_sub(connections) / 2;
    Room { connections, valuations: wanted.valuations.min(rest.max(valuations)) }
}

/// Makes a write beyond the file-size limit fail, as a write to a full disk does, instead of ending the
/// process.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn survive_the_file_size_limit() {
    // The handler stays installed when the stream of signals is dropped.
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "SIGXFSZ cannot be handled: a file-size limit would end the server");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Room = Room { connections: 8_000, valuations: 1_000 };

    #[test]
    fn where_there_are_files_enough_nothing_is_taken_away() {
        let needed = needed_for(DEFAULT);
        assert_eq!(within(needed, DEFAULT), DEFAULT);
        assert_ne!(within(needed - 1, DEFAULT), DEFAULT);
    }

    #[test]
    fn where_there_are_few_each_gets_a_part_and_all_fit() {
        for wanted in [
            DEFAULT,
            Room { connections: 8_000, valuations: 1 },
            Room { connections: 1, valuations: 1_000 },
            Room { connections: usize::MAX, valuations: usize::MAX },
        ] {
            for allowed in [300, 512, 1_024, 4_096, 9_000] {
                let room = within(allowed, wanted);
                assert!(
                    needed_for(room) <= allowed.max(OWN_FILES + allowed / 2),
                    "{allowed}: {room:?}"
                );
                assert!(room.connections >= 1 && room.connections <= wanted.connections);
                assert!(room.valuations >= 1 && room.valuations <= wanted.valuations);
            }
        }
        assert_eq!(within(1_024, DEFAULT), Room { connections: 462, valuations: 153 });
    }

    #[test]
    fn a_hosts_name_is_one_that_the_setting_would_take() {
        let long = "n".repeat(100);
        for (host, name) in [
            ("node-1.example", "node-1.example"),
            ("a b\n\u{e9}", "ab"),
            ("", "localhost"),
            (&long, &long[..64]),
        ] {
            assert_eq!(name_of(host), name, "{host:?}");
        }
        assert!(!host_name().is_empty());
    }

    #[test]
    fn of_hardly_any_one_of_each_is_left() {
        assert_eq!(within(1, DEFAULT), Room { connections: 1, valuations: 1 });
    }
}
