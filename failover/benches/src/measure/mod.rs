//! Rounds of slices, interleaved.

pub mod one;
pub mod tasks;
pub mod two;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How many slices each row gets.
    pub rounds: usize,
    /// About how long one takes.
    pub slice: Duration,
}

/// The figures of one row, one a round.
pub type Figures = Vec<f64>;

/// The processor's time that this thread has had: what a busy machine does meanwhile is not in it.
pub(crate) fn of_thread() -> Duration {
    of_clock(ClockId::ThreadCPUTime)
}

/// The same of all threads of the process together.
pub(crate) fn of_process() -> Duration {
    of_clock(ClockId::ProcessCPUTime)
}

fn of_clock(clock: ClockId) -> Duration {
    // Neither is ever negative.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// The order of the rows in a round: another one begins each time.
pub(crate) fn order(rows: usize, round: usize) -> impl Iterator<Item = usize> {
    // A step that is prime to most numbers of rows, so that neighbours change as well.
    let first = round * 7;
    (0..rows).map(move |row| (first + row) % rows)
}

/// How many calls fill a slice, if so many took so long.
pub(crate) fn calls_in(slice: Duration, calls: u64, took: Duration, most: Option<u64>) -> u64 {
    let fit = calls as f64 * slice.as_secs_f64() / took.as_secs_f64().max(1e-9);
    (fit as u64).clamp(1, most.unwrap_or(u64::MAX)).next_multiple_of(2)
}

/// The number in the middle, and the quartiles.
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
    /// Of some numbers, as far as they are numbers; of none, not a number.
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
