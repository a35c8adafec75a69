//! Valuations in memory, in front of the records.
//!
//! A valuation never changes once it is committed, so that what is here can't be stale, however
//! long it stays and however many servers share the records. What is *not* in the records is never
//! kept: it may be there the next moment.

use std::fmt;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Sharded;

use crate::domain::{Valuation, Vrm};

/// About what an entry takes beside its mark's text: the valuation, the cache's own bookkeeping,
/// the room that its hash table keeps free, and the mark's reference counts.
const OVERHEAD: u64 = 160;

/// A bounded number of valuations. Those that are not asked about make room first.
pub(super) struct Cache(Sharded<Vrm, Valuation, Bytes>);

#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<Vrm, Valuation> for Bytes {
    fn weight(&self, vrm: &Vrm, _: &Valuation) -> u64 {
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

    pub(super) fn get(&self, vrm: &Vrm) -> Option<Valuation> {
        self.0.get(vrm)
    }

    pub(super) fn keep(&self, valuation: &Valuation) {
        self.0.insert(valuation.vrm.clone(), valuation.clone());
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
            cache.keep(&Valuation { vrm, lowest: pence(1), highest: pence(2), provider: None });
        }
        assert!((1..=64).contains(&cache.0.len()), "{cache:?}");
    }
}
