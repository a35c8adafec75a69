//! Rounds of slices, interleaved.

pub mod one;
pub mod tasks;
pub mod two;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The length of the measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The number of slices per row.
    pub rounds: usize,
    /// The approximate length of a slice.
    pub slice: Duration,
}

/// The figures of one row, one per round.
pub type Figures = Vec<f64>;

/// The processor time of this thread, which excludes other load on the machine.
pub(crate) fn of_thread() -> Duration {
    of_clock(ClockId::ThreadCPUTime)
}

/// The processor time of all threads of the process.
pub(crate) fn of_process() -> Duration {
    of_clock(ClockId::ProcessCPUTime)
}

fn of_clock(clock: ClockId) -> Duration {
    // Neither is ever negative.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// The order of the rows in a round; each round begins with another row.
pub(crate) fn order(rows: usize, round: usize) -> impl Iterator<Item = usize> {
    // A step coprime to most numbers of rows, so that neighbours change too.
    let first = round * 7;
    (0..rows).map(move |row| (first + row) % rows)
}

/// The number of calls that fill a slice, if `calls` calls took `took`.
pub(crate) fn calls_in(slice: Duration, calls: u64, took: Duration, most: Option<u64>) -> u64 {
    let fit = calls as f64 * slice.as_secs_f64() / took.as_secs_f64().max(1e-9);
    (fit as u64).clamp(1, most.unwrap_or(u64::MAX)).next_multiple_of(2)
}

/// The median and the quartiles.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// A quarter of the numbers is below this.
    pub lower: f64,
    /// The median.
    pub middle: f64,
    /// A quarter of the numbers is above this.
    pub upper: f64,
}

impl Spread {
    /// Of the numbers that are not NaN; NaN if there are none.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.filter(|number| !number.is_nan()).collect();
        numbers.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let place = numbers.len().saturating_sub(1) * quarter / 4;
            numbers.get(place).copied().unwrap_or(f64::NAN)
        };
        Self { lower: at(1), middle: at(2), upper: at(3) }
    }
}
