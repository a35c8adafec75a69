//! Gradual return: a growing share of the calls goes to the primary, spread evenly.

use std::time::Duration;

use crate::Ratio;
use crate::sync::{AtomicU64, Ordering};

/// How the share of calls to the primary grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ramp {
    /// The share at the beginning.
    pub(crate) first: Ratio,
    /// How long until it is all of them.
    pub(crate) over: Duration,
}

/// All calls, in the units of a share.
const ALL: u64 = 1 << 32;

impl Ramp {
    /// The share, in units of 2^-32, so long after the beginning.
    fn share(&self, since: Duration) -> u64 {
        let first = ALL * u64::from(self.first.numerator()) / u64::from(self.first.denominator());
        let over = self.over.as_nanos().max(1);
        let grown = u128::from(ALL - first) * since.as_nanos() / over;
        first + u64::try_from(grown).unwrap_or(ALL).min(ALL - first)
    }
}

/// Deals calls to the primary at a share, as evenly as whole calls can be: of any stretch of calls
/// at one share, the number dealt is off by less than one call.
///
/// The sum of the shares of all calls so far; a call goes to the primary when its share carries
/// the sum over a whole number.
#[derive(Debug, Default)]
pub(crate) struct Dealer(AtomicU64);

impl Dealer {
    /// Whether the next call goes to the primary, so long after the beginning.
    pub(crate) fn deal(&self, ramp: &Ramp, since: Duration) -> bool {
        let share = ramp.share(since);
        // Ordering: Relaxed: the sum says nothing about other memory, and each addition counts.
        let before = self.0.fetch_add(share, Ordering::Relaxed);
        before.wrapping_add(share) / ALL != before / ALL
    }

    /// Begins from nothing.
    pub(crate) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_evenly_from_the_first_to_all_and_no_further() {
        let ramp = Ramp { first: Ratio::new(1, 4).unwrap(), over: Duration::from_secs(60) };
        let shares = [0, 20, 40, 60, 70, u64::MAX].map(|s| ramp.share(Duration::from_secs(s)));
        assert_eq!(shares, [ALL / 4, ALL / 2, ALL / 4 * 3, ALL, ALL, ALL]);
    }

    #[test]
    fn calls_are_dealt_at_their_share_and_all_when_it_is_all() {
        let ramp = Ramp { first: Ratio::new(1, 4).unwrap(), over: Duration::from_secs(60) };
        let dealer = Dealer::default();
        let dealt = |since| [(); 8].map(|()| dealer.deal(&ramp, Duration::from_secs(since)));
        assert_eq!(dealt(0), [false, false, false, true, false, false, false, true]);
        assert_eq!(dealt(20), [false, true, false, true, false, true, false, true]);
        assert_eq!(dealt(60), [true; 8]);
        dealer.deal(&ramp, Duration::ZERO);
        dealer.forget();
        assert_eq!(dealt(0)[..4], [false, false, false, true]);
    }
}
