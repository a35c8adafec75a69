//! The latest events of a failover, bounded in number.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::order::utc;

/// The number of events kept: days of an unstable failover, in about 200 KiB.
const KEPT: usize = 1_000;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Counted from 1 since the start of the process.
    pub number: u64,
    /// The time, in UTC.
    #[serde(serialize_with = "utc::serialize")]
    pub time: Timestamp,
    /// The kind of the event.
    #[serde(flatten)]
    pub kind: Kind,
    /// What happened, in words.
    pub message: String,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Kind {
    /// The route changed.
    #[serde(rename_all = "camelCase")]
    Transition {
        /// The state before.
        from: &'static str,
        /// The state after.
        to: &'static str,
        /// Where calls go now: `primary` or `fallback`.
        route: &'static str,
        /// The cause.
        cause: &'static str,
        /// The epoch that it began: it orders transitions that were reported at the same time.
        epoch: u32,
        /// The nodes that decided together, if the fleet did: `fleet`, or a label; else left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
    },
    /// A streak of client errors of a provider began or ended.
    #[serde(rename_all = "camelCase")]
    ClientErrors {
        /// The provider's name.
        provider: &'static str,
        /// Whether the streak goes on.
        ongoing: bool,
        /// The number of client errors in it so far.
        answers: u64,
    },
    /// A command of an operator.
    #[serde(rename = "order", rename_all = "camelCase")]
    Command {
        /// The address of the operator.
        from: String,
        /// When the forced route ends; left out if it has no end.
        #[serde(
            serialize_with = "utc::optional::serialize",
            skip_serializing_if = "Option::is_none"
        )]
        until: Option<Timestamp>,
        /// Why, in the operator's words; left out if there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Another configuration was applied.
    Configuration,
    /// Calls have been on the fallback for longer than is usual, or are no longer.
    #[serde(rename_all = "camelCase")]
    LongOnFallback {
        /// Whether they still are.
        ongoing: bool,
        /// For how long, in whole seconds.
        seconds: u64,
    },
}

impl Kind {
    /// A command that forces no route, from this address.
    #[must_use]
    pub fn command(from: String) -> Self {
        Self::Command { from, until: None, reason: None }
    }
}

/// The latest events of a failover. When full, the oldest is dropped.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Events>);

#[derive(Debug, Default)]
struct Events {
    kept: VecDeque<Event>,
    last_number: u64,
}

impl Journal {
    /// Adds an event with the current time.
    pub fn note(&self, kind: Kind, message: impl Into<String>) {
        let (time, message) = (Timestamp::now(), message.into());
        let mut events = self.events();
        events.last_number += 1;
        if events.kept.len() == KEPT {
            events.kept.pop_front();
        }
        let number = events.last_number;
        events.kept.push_back(Event { number, time, kind, message });
    }

    /// The latest `limit` events, newest first.
    #[must_use]
    pub fn last(&self, limit: usize) -> Vec<Event> {
        self.events().kept.iter().rev().take(limit).cloned().collect()
    }

    // No panic can leave the list half-changed, so poison is ignored.
    fn events(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_newest_and_no_more_than_it_has_room_for() {
        let journal = Journal::default();
        assert_eq!(journal.last(10), []);
        for number in 1..=KEPT + 2 {
            journal.note(Kind::command("here".into()), number.to_string());
        }
        let numbers = |limit| -> Vec<_> { journal.last(limit).iter().map(|e| e.number).collect() };
        assert_eq!(numbers(2), [1_002, 1_001]);
        let all = numbers(usize::MAX);
        assert_eq!((all.len(), all.last()), (KEPT, Some(&3)));
    }

    #[test]
    fn an_event_is_flat_and_its_time_is_utc() {
        let kind = Kind::command("127.0.0.1:5".into());
        let time = Timestamp::from_millisecond(1_700_000_000_120).unwrap();
        let event = Event { number: 7, time, kind, message: "RESET".into() };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"number":7,"time":"2023-11-14T22:13:20.120Z","kind":"order","from":"127.0.0.1:5","message":"RESET"}"#
        );
    }
}
