//! An operator's command for all nodes. The newest is repeated until every node has it.

use std::sync::Arc;
use std::time::Duration;

use super::codec::{Input, Output};
use super::frame::NodeId;
use crate::cluster::label::{LONGEST_NAME, is_name};
use crate::cluster::time::millis_of;
use crate::route::Route;

/// The longest `by` and `reason`, in bytes.
pub(crate) const MOST_TEXT: usize = 120;
/// The longest text of a policy, in bytes.
pub(crate) const MOST_POLICY: usize = 600;
/// The longest time of a forced route, and the largest age: 2^48 − 1 milliseconds.
const MOST: u64 = (1 << 48) - 1;

/// The highest version of an order: no next one overflows.
const LAST_VERSION: u64 = 1 << 62;

/// What an order asks of each node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Forces a route.
    Force {
        /// Where calls go.
        route: Route,
        /// For how long from when the order was given, in milliseconds; `None`: until it is released.
        lasts: Option<Duration>,
    },
    /// Ends a forced route.
    Release,
    /// Replaces the policy. The text, of at most 600 bytes, is the application's.
    Policy(String),
}

/// Orders of one register replace one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Register {
    Route,
    Policy,
}

/// An order, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    /// The node that sends it.
    pub(crate) node: NodeId,
    pub(crate) failover: Arc<str>,
    /// A higher one replaces a lower one.
    pub(crate) version: u64,
    /// How long ago it was given, in milliseconds.
    pub(crate) age: u64,
    pub(crate) command: Command,
    pub(crate) by: String,
    pub(crate) reason: String,
}

impl Command {
    pub(crate) fn register(&self) -> Register {
        match self {
            Self::Force { .. } | Self::Release => Register::Route,
            Self::Policy(_) => Register::Policy,
        }
    }
}

impl Order {
    pub(super) fn encode(&self, output: &mut Output) {
        output.word(self.node.0);
        output.text(&self.failover);
        output.number(self.version);
        output.number(self.age.min(MOST));
        match &self.command {
            Command::Release => output.byte(0),
            Command::Policy(text) => {
                output.byte(1);
                output.text(text);
            }
            Command::Force { route, lasts } => {
                output.byte(if *route == Route::Primary { 2 } else { 3 });
                // 0: no end.
                output.number(lasts.map_or(0, |lasts| millis_of(lasts).clamp(1, MOST)));
            }
        }
        output.text(&self.by);
        output.text(&self.reason);
    }

    pub(super) fn decode(input: &mut Input<'_>) -> Option<Self> {
        let node = NodeId(input.word()?);
        let failover = input.text(LONGEST_NAME).filter(|name| is_name(name))?.into();
        let (version, age) = (input.up_to(LAST_VERSION)?, input.up_to(MOST)?);
        let command = match input.byte()? {
            0 => Command::Release,
            1 => Command::Policy(input.text(MOST_POLICY)?.to_owned()),
            kind @ (2 | 3) => {
                let route = if kind == 2 { Route::Primary } else { Route::Fallback };
                let lasts = input.up_to(MOST)?;
                Command::Force { route, lasts: (lasts > 0).then(|| Duration::from_millis(lasts)) }
            }
            _ => return None,
        };
        let (by, reason) = (input.text(MOST_TEXT)?.to_owned(), input.text(MOST_TEXT)?.to_owned());
        Some(Self { node, failover, version, age, command, by, reason })
    }
}

#[cfg(test)]
impl Order {
    pub(super) fn samples() -> [Self; 2] {
        let forced = Self {
            node: NodeId(1 << 60),
            failover: "valuations".into(),
            version: 5 << 16 | 0xffff,
            age: 12_345,
            command: Command::Force {
                route: Route::Fallback,
                lasts: Some(Duration::from_secs(3_600)),
            },
            by: "127.0.0.1".into(),
            reason: "maintenance".into(),
        };
        let policy = Command::Policy("failure-rate = \"40%\"".into());
        [forced.clone(), Self { command: policy, ..forced }]
    }

    pub(super) fn longest() -> Self {
        let [order, _] = Self::samples();
        Self {
            failover: "n".repeat(LONGEST_NAME).into(),
            version: LAST_VERSION,
            age: MOST,
            command: Command::Policy("p".repeat(MOST_POLICY)),
            by: "b".repeat(MOST_TEXT),
            reason: "r".repeat(MOST_TEXT),
            ..order
        }
    }
}
