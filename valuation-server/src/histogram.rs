//! Numbers in ranges, added up without a lock: durations, sizes.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often numbers fell into which range. The ranges are the caller's and never change.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    /// The inclusive upper ends, rising.
    bounds: &'static [u64; N],
    ranges: [AtomicU64; N],
    /// What is above the last end.
    above: AtomicU64,
    sum: AtomicU64,
}

/// A histogram as it was at one moment. While numbers are being added, the sum may be one of them
/// ahead of the counts or behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The inclusive upper end of each range and how many numbers fell into it; the last range has
    /// no end.
    pub ranges: Vec<(Option<u64>, u64)>,
    /// All numbers together.
    pub sum: u64,
}

impl Reading {
    /// How many numbers there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(_, count)| count).sum()
    }
}

impl<const N: usize> Histogram<N> {
    pub(crate) const fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            ranges: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Takes a number.
    pub(crate) fn add(&self, number: u64) {
        let range = self.bounds.iter().position(|&bound| number <= bound);
        // Ordering: Relaxed. Each counter stands for itself; a reader gets no other data by it.
        range.map_or(&self.above, |at| &self.ranges[at]).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        // Ordering: as in `add`.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ended = self.bounds.iter().zip(&self.ranges).map(|(&end, n)| (Some(end), read(n)));
        let ranges = ended.chain([(None, read(&self.above))]).collect();
        Reading { ranges, sum: read(&self.sum) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_belongs_to_its_range() {
        let histogram = Histogram::new(&[1, 10]);
        [0, 1, 2, 10, 11, 1_000].iter().for_each(|&number| histogram.add(number));
        let reading = histogram.read();
        assert_eq!(reading.ranges, [(Some(1), 2), (Some(10), 2), (None, 2)]);
        assert_eq!((reading.sum, reading.count()), (1_024, 6));
    }
}
