//! Ramp-up: a growing share of the calls goes to the primary, spread evenly and without a
//! period.

use std::time::Duration;

use crate::engine::sync::{AtomicU64, Ordering};
use crate::ratio::Ratio;

/// How the share of calls to the primary grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ramp {
    /// The share at the beginning.
    pub(crate) first: Ratio,
    /// How long the share grows until it is all calls.
    pub(crate) over: Duration,
}

/// All calls, in the units of a share.
const ALL: u64 = 1 << 32;

impl Ramp {
    /// The share, in units of 2^-32, `since` after the beginning.
    fn share(&self, since: Duration) -> u64 {
        let first = ALL * u64::from(self.first.numerator()) / u64::from(self.first.denominator());
        let over = self.over.as_nanos().max(1);
        let grown = u128::from(ALL - first) * since.as_nanos() / over;
        first + u64::try_from(grown).unwrap_or(ALL).min(ALL - first)
    }
}

/// Deals calls to the primary at a share.
///
/// Each call has a threshold, and goes to the primary if the share exceeds it. In each aligned block of
/// 2^k calls, the thresholds are spread evenly: one in each 2^k-th part of the range. So at a constant
/// share the number in a block is off by less than one call, and in any `n` consecutive calls by less
/// than 2·log2(n) + 2. Within these bounds the order is scrambled, so it has no period: with one, of
/// callers that take turns one could get all calls to the primary, and another none.
#[derive(Debug, Default)]
pub(crate) struct Dealer(AtomicU64);

impl Dealer {
    /// Whether the next call goes to the primary, `since` after the beginning.
    pub(crate) fn deal(&self, ramp: &Ramp, since: Duration) -> bool {
        // Ordering: Relaxed: the number publishes nothing, and each call has its own.
        threshold(self.0.fetch_add(1, Ordering::Relaxed)) < ramp.share(since)
    }

    /// Begins again with the first call.
    pub(crate) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The van der Corput sequence with its order scrambled: whether two neighbouring blocks of 2^k calls
/// change places depends on all higher bits.
///
/// The scrambling is the hash of Laine and Karras, in which a bit depends only on lower bits, applied
/// to the reversed bits: <https://doi.org/10.1111/j.1467-8659.2011.02006.x>, with the constants of
/// <https://psychopath.io/post/2021_01_30_building_a_better_lk_hash>.
#[expect(clippy::cast_possible_truncation, reason = "repeats after 2^32 calls")]
fn threshold(call: u64) -> u64 {
    let mut bits = (call as u32).reverse_bits();
    bits ^= bits.wrapping_mul(0x3d20_adea);
    bits = bits.wrapping_add(0x9e37_79b9);
    bits = bits.wrapping_mul(0x9e37);
    bits ^= bits.wrapping_mul(0x0552_6c56);
    bits ^= bits.wrapping_mul(0x53a2_2864);
    u64::from(bits)
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

    fn dealt(share: Ratio, calls: usize) -> Vec<bool> {
        let ramp = Ramp { first: share, over: Duration::from_secs(60) };
        let dealer = Dealer::default();
        (0..calls).map(|_| dealer.deal(&ramp, Duration::ZERO)).collect()
    }

    /// The difference between the calls to the primary and their share, rounded up.
    fn off(calls: &[bool], share: Ratio) -> u64 {
        let primary = calls.iter().filter(|to_primary| **to_primary).count() as u64;
        let parts = [share.numerator(), share.denominator()];
        let [numerator, denominator] = parts.map(u64::from);
        (primary * denominator).abs_diff(calls.len() as u64 * numerator).div_ceil(denominator)
    }

    /// Miri is slow.
    const CALLS: usize = if cfg!(miri) { 64 } else { 8_192 };

    #[test]
    fn each_block_of_calls_is_dealt_its_share_to_within_one_call() {
        for (numerator, denominator) in [(0, 1), (1, 100), (1, 3), (1, 2), (9, 10), (999, 1_000)] {
            let share = Ratio::new(numerator, denominator).unwrap();
            let dealt = dealt(share, CALLS);
            for block in (0..=CALLS.ilog2()).map(|k| 1 << k) {
                assert!(dealt.chunks(block).all(|calls| off(calls, share) <= 1), "{share} {block}");
            }
        }
    }

    #[test]
    fn any_calls_in_a_row_are_dealt_their_share_to_within_the_bound() {
        for (numerator, denominator) in [(1, 10), (1, 3), (1, 2), (2, 3)] {
            let share = Ratio::new(numerator, denominator).unwrap();
            let dealt = dealt(share, CALLS);
            for length in [2, 3, 10, 50, 500, 1_000].into_iter().filter(|length| *length < CALLS) {
                let most = u64::from(2 * length.ilog2() + 2);
                let off = dealt.windows(length).map(|calls| off(calls, share)).max();
                assert!(off <= Some(most), "{off:?} of {length} at {share}");
            }
        }
    }

    /// Of two to sixteen callers that take turns, each gets its share to within a tenth.
    #[test]
    #[cfg_attr(miri, ignore = "thousands of calls")]
    fn callers_that_take_turns_get_the_same_share() {
        for denominator in [2, 3, 4, 8] {
            let dealt = dealt(Ratio::new(1, denominator).unwrap(), 16 * CALLS);
            for callers in 2..=16 {
                for caller in 0..callers {
                    let own = dealt.iter().skip(caller).step_by(callers);
                    let (calls, primary) = (own.clone().count(), own.filter(|own| **own).count());
                    let off = (primary * denominator as usize).abs_diff(calls);
                    assert!(off * 10 <= calls, "{primary} of {calls}: {caller} of {callers}");
                }
            }
        }
    }

    #[test]
    fn all_calls_are_dealt_when_the_share_is_all_and_none_when_it_is_none() {
        let ramp = Ramp { first: Ratio::new(0, 1).unwrap(), over: Duration::from_secs(60) };
        let dealer = Dealer::default();
        let deal = |seconds| [(); 64].map(|()| dealer.deal(&ramp, Duration::from_secs(seconds)));
        assert_eq!((deal(0), deal(60)), ([false; 64], [true; 64]));
        let before = deal(30);
        dealer.forget();
        deal(30);
        deal(30);
        assert_eq!(deal(30), before, "it begins anew");
    }
}
