//! A cache of valuations, in front of the records.
//!
//! No server changes a committed valuation, so an entry stays valid however many servers share the
//! records. If another program deletes or edits one, [`Records::version`] changes: each entry carries
//! the version from before it was read, and an entry of another version is a miss. A missing valuation
//! is never cached: one may be committed the next moment.
//!
//! [`Records::version`]: super::Records::version

use quick_cache::Weighter;
use quick_cache::sync::Cache as Sharded;

use crate::domain::{Valuation, Vrm};

/// About how many bytes an entry takes in addition to its VRM's text: the valuation, the cache's
/// bookkeeping, the free slots of its hash table, and the VRM's reference counts.
const OVERHEAD: u64 = 168;

/// A bounded cache. Valuations that are not asked for are evicted first.
#[derive(Debug)]
pub(super) struct Cache(Sharded<Vrm, (u64, Valuation), Bytes>);

#[derive(Clone, Copy, Debug)]
struct Bytes;

impl Weighter<Vrm, (u64, Valuation)> for Bytes {
    fn weight(&self, vrm: &Vrm, _: &(u64, Valuation)) -> u64 {
        // The valuation's VRM shares the text.
        OVERHEAD + vrm.as_str().len() as u64
    }
}

impl Cache {
    /// A cache of about this many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / OVERHEAD).unwrap_or(usize::MAX);
        Self(Sharded::with_weighter(entries, bytes, Bytes))
    }

    /// Changes its size.
    pub(super) fn set_bytes(&self, bytes: u64) {
        self.0.set_capacity(bytes);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// The cached valuation, if the records still have its version.
    pub(super) fn get(&self, vrm: &Vrm, version: u64) -> Option<Valuation> {
        self.0.get(vrm).filter(|(kept, _)| *kept == version).map(|(_, valuation)| valuation)
    }

    /// Caches a valuation that was read when the records had this version or a later one.
    pub(super) fn keep(&self, valuation: &Valuation, version: u64) {
        self.0.insert(valuation.vrm.clone(), (version, valuation.clone()));
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
