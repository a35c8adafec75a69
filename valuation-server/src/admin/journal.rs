//! What happened to a failover lately: a bounded memory, for whoever comes later and asks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// How many events are kept: days of an unruly failover, in about 200 KiB.
const KEPT: usize = 1_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number; they are counted from 1 as long as the process runs.
    pub number: u64,
    /// When, in UTC.
    #[serde(serialize_with = "utc")]
    pub time: Timestamp,
    /// What kind of event it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// What happened, in words.
    pub message: String,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Kind {
    /// Calls are routed in another way.
    #[serde(rename_all = "camelCase")]
    Transition {
        /// The state before, in one word.
        from: &'static str,
        /// The state after it.
        to: &'static str,
        /// Where calls go now: `primary` or `fallback`.
        route: &'static str,
        /// Why, in one word.
        cause: &'static str,
        /// The number of the epoch that it began: it orders transitions that were told of at the
        /// same time.
        epoch: u32,
    },
    /// A provider gives nothing but client errors, or a valuation again.
    #[serde(rename_all = "camelCase")]
    ClientErrors {
        /// The provider's name.
        provider: &'static str,
        /// Whether they go on, or are over.
        ongoing: bool,
        /// How many answers were client errors so far.
        answers: u64,
    },
    /// An operator ordered something.
    #[serde(rename_all = "camelCase")]
    Order {
        /// Where the operator's request came from.
        from: String,
    },
}

/// The last events of a failover. Full, it forgets the oldest.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    events: VecDeque<Event>,
    last: u64,
}

impl Journal {
    /// Writes an event down, with the time of now.
    pub fn note(&self, kind: Kind, message: impl Into<String>) {
        let (time, message) = (Timestamp::now(), message.into());
        let mut pages = self.pages();
        pages.last += 1;
        if pages.events.len() == KEPT {
            pages.events.pop_front();
        }
        let number = pages.last;
        pages.events.push_back(Event { number, time, kind, message });
    }

    /// The last `limit` events, the newest first.
    #[must_use]
    pub fn last(&self, limit: usize) -> Vec<Event> {
        self.pages().events.iter().rev().take(limit).cloned().collect()
    }

    // What stands in it is whole at every moment: poison says nothing here.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn utc<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_newest_and_no_more_than_it_has_room_for() {
        let journal = Journal::default();
        assert_eq!(journal.last(10), []);
        for number in 1..=KEPT + 2 {
            journal.note(Kind::Order { from: "here".into() }, number.to_string());
        }
        let numbers = |limit| -> Vec<_> { journal.last(limit).iter().map(|e| e.number).collect() };
        assert_eq!(numbers(2), [1_002, 1_001]);
        let all = numbers(usize::MAX);
        assert_eq!((all.len(), all.last()), (KEPT, Some(&3)));
    }

    #[test]
    fn an_event_is_flat_and_its_time_is_utc() {
        let kind = Kind::Order { from: "127.0.0.1:5".into() };
        let time = Timestamp::from_millisecond(1_700_000_000_120).unwrap();
        let event = Event { number: 7, time, kind, message: "RESET".into() };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"number":7,"time":"2023-11-14T22:13:20.120Z","kind":"order","from":"127.0.0.1:5","message":"RESET"}"#
        );
    }
}
