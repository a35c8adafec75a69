//! Pseudorandom numbers from a seed, in integers: the same on every machine.

/// Steele, Lea and Flood's SplitMix64: <https://doi.org/10.1145/2714064.2660195>.
pub(crate) struct Random(u64);

/// A share, in millionths.
pub(crate) type Millionths = u32;

pub(crate) const ALL: Millionths = 1_000_000;

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // The upper half of a product of two 32-bit numbers is below `bound`.
        let half = self.next() >> 32;
        u32::try_from((half * u64::from(bound)) >> 32).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_numbers_of_its_reference() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_below_a_bound_reach_all_of_it_and_no_more() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 6];
        (0..6_000).for_each(|_| seen[random.below(6) as usize] += 1);
        assert!(seen.iter().all(|&times| (800..1_200).contains(&times)), "{seen:?}");
    }
}
