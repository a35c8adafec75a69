//! Heads that others have seen, to be found in the chain.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::{Findings, Problem};
use crate::domain::LogHead;
use crate::store::location::Location;
use crate::store::log::chain::Hash;

/// The heads that were not found yet, by the ids that they end with.
#[derive(Debug)]
pub(super) struct Witnesses(BTreeMap<i64, BTreeSet<Hash>>);

impl Witnesses {
    pub(super) fn new(heads: &[LogHead]) -> Self {
        let mut by_id = BTreeMap::<_, BTreeSet<_>>::new();
        for head in heads {
            by_id.entry(head.last_id).or_default().insert(head.hash);
        }
        Self(by_id)
    }

    /// Holds those of an id against the head that the chain has there.
    pub(super) fn compare(&mut self, file: &Location, head: &LogHead, findings: &mut Findings) {
        for hash in self.0.remove(&head.last_id).unwrap_or_default() {
            if hash != head.hash {
                findings.add(file, Problem::Rewritten(LogHead { hash, ..*head }));
            }
        }
    }

    /// What is left when the chain from `start` to `end` was read.
    pub(super) fn finish(
        self,
        file: &Location,
        start: Option<i64>,
        end: Option<i64>,
        findings: &mut Findings,
    ) {
        for (last_id, hashes) in self.0 {
            for hash in hashes {
                let seen = LogHead { last_id, hash };
                let problem = if end.is_none_or(|end| last_id > end) {
                    Problem::BeyondEnd(seen)
                } else if start.is_some_and(|start| last_id < start) {
                    Problem::BeforeStart(seen)
                } else {
                    Problem::NoSuchRecord(seen)
                };
                findings.add(file, problem);
            }
        }
    }
}
