//! Dropped calls that are neutral, in the simplest form.

use super::{Naive, tick_of};

impl Naive {
    pub(super) fn drop_neutral(&mut self) {
        self.dropped.push((i128::try_from(self.now).unwrap(), self.ended.len()));
    }

    /// By the buckets of the window, or by sixteenths of the last calls.
    pub(super) fn dropped_inside(&self) -> u64 {
        let first = self.dropped.first().map_or(0, |(_, ended)| *ended);
        let tick_at = |at: i128, ended: usize| match self.policy.last_calls() {
            Some(calls) => {
                i128::try_from(ended - first).unwrap() * i128::from(calls.min(16))
                    / i128::from(calls)
            }
            None => tick_of(&self.policy, at),
        };
        let ticks = self.dropped.iter().scan(i128::MIN, |latest, &(at, ended)| {
            *latest = tick_at(at, ended).max(*latest);
            Some(*latest)
        });
        let ticks: Vec<_> = ticks.collect();
        let now = tick_at(i128::try_from(self.now).unwrap(), self.ended.len());
        let newest = ticks.last().map_or(now, |&latest| now.max(latest));
        let buckets = self.policy.last_calls().unwrap_or(self.policy.buckets()).min(16);
        ticks.into_iter().filter(|tick| tick + i128::from(buckets) > newest).count() as u64
    }
}
