//! Valuations in memory, in front of the records.
//!
//! No server changes a valuation once it is committed, so an entry stays valid however many servers
//! share the records. Only somebody else can delete or edit one, and then [`Records::version`]
//! changes: each entry carries the version of before it was read, and one of another version is a
//! miss. Vehicles without a valuation are never kept: one may be committed the next moment.
//!
//! [`Records::version`]: super::Records::version

use std::fmt;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Sharded;

use crate::domain::{Valuation, Vrm};

/// About what an entry takes beside its mark's text: the valuation, the cache's own bookkeeping,
/// the room that its hash table keeps free, and the mark's reference counts.
const OVERHEAD: u64 = 168;

/// A bounded number of valuations. Those that are not asked about make room first.
pub(super) struct Cache(Sharded<Vrm, (u64, Valuation), Bytes>);

#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<Vrm, (u64, Valuation)> for Bytes {
    fn weight(&self, vrm: &Vrm, _: &(u64, Valuation)) -> u64 {
        // The mark of the valuation is the same text.
        OVERHEAD + vrm.as_str().len() as u64
    }
}

impl Cache {
    /// Takes about so many bytes at most.
    pub(super) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / OVERHEAD).unwrap_or(usize::MAX);
        Self(Sharded::with_weighter(entries, bytes, Bytes))
    }

    /// The valuation that was kept, if the records still have that version.
    pub(super) fn get(&self, vrm: &Vrm, version: u64) -> Option<Valuation> {
        self.0.get(vrm).filter(|(kept, _)| *kept == version).map(|(_, valuation)| valuation)
    }

    /// Keeps a valuation that was read from the records when they had that version or later.
    pub(super) fn keep(&self, valuation: &Valuation, version: u64) {
        self.0.insert(valuation.vrm.clone(), (version, valuation.clone()));
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.0.len())
            .field("bytes", &self.0.weight())
            .field("most_bytes", &self.0.capacity())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;

    #[test]
    fn an_entry_weighs_more_than_its_text_so_that_the_bound_is_one_of_memory() {
        let cache = Cache::new(64 * OVERHEAD);
        for number in 0..1_000 {
            let vrm = Vrm::parse(&format!("V{number}")).unwrap();
            let pence = |pence| Money::from_pence(pence).unwrap();
            let (lowest, highest) = (pence(1), pence(2));
            cache.keep(&Valuation { vrm, lowest, highest, provider: None }, 0);
        }
        assert!((1..=64).contains(&cache.0.len()), "{cache:?}");
    }
}
