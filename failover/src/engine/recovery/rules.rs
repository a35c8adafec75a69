//! The policy's numbers for the recovery, as words, so that a state can be reused.

use std::time::Duration;

use super::{IntervalRules, ProbeRules, Ramp};
use crate::clock::nanos;
use crate::engine::sync::{Ordering, Setting};
use crate::policy::{Backoff, Jitter, Policy, RetryAfter};
use crate::ratio::Ratio;

/// The recovery numbers of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveryRules {
    pub(crate) interval: IntervalRules,
    pub(crate) probing: Option<ProbeRules>,
    pub(crate) ramp: Option<Ramp>,
}

impl RecoveryRules {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            interval: IntervalRules {
                time: policy.revert_after(),
                backoff: policy.backoff(),
                jitter: policy.jitter(),
                retry_after: policy.retry_after(),
            },
            probing: policy.probing().map(|probing| ProbeRules {
                permits: probing.max_in_flight,
                successes: probing.successes,
                failures: probing.failures,
                lease: probing.lease,
            }),
            ramp: policy.ramp_up().map(|(first, over)| Ramp { first, over }),
        }
    }

    /// An option that is off has 0 as its first word, which an option that is on never has.
    fn to_words(self) -> [u64; WORDS] {
        let Self { interval, probing, ramp } = self;
        let backoff = interval
            .backoff
            .map_or([0; 3], |g| [ratio_word(g.factor), nanos(g.max), nanos(g.reset_after)]);
        let jitter = interval.jitter.map_or([0; 2], |j| [ratio_word(j.up_to), j.seed]);
        let retry_after = interval.retry_after.map_or([0; 2], |h| [nanos(h.min), nanos(h.max)]);
        let probing = probing.map_or([0; 4], |p| {
            [p.permits.into(), p.successes.into(), p.failures.into(), nanos(p.lease)]
        });
        let ramp = ramp.map_or([0; 2], |r| [ratio_word(r.first), nanos(r.over)]);
        let mut words = [0; WORDS];
        let all =
            [nanos(interval.time)].into_iter().chain(backoff).chain(jitter).chain(retry_after);
        for (word, value) in words.iter_mut().zip(all.chain(probing).chain(ramp)) {
            *word = value;
        }
        words
    }

    fn from_words(words: [u64; WORDS]) -> Self {
        let [time, g0, g1, g2, j0, j1, h0, h1, p0, p1, p2, p3, r0, r1] = words;
        let time_of = Duration::from_nanos;
        let on = |word: u64| word != 0;
        Self {
            interval: IntervalRules {
                time: time_of(time),
                backoff: on(g0).then(|| Backoff {
                    factor: word_ratio(g0),
                    max: time_of(g1),
                    reset_after: time_of(g2),
                }),
                jitter: on(j0).then(|| Jitter { up_to: word_ratio(j0), seed: j1 }),
                retry_after: on(h0)
                    .then(|| RetryAfter { min: time_of(h0), max: time_of(h1.max(h0)) }),
            },
            probing: probing([p0, p1, p2, p3]),
            ramp: on(r0).then(|| Ramp { first: word_ratio(r0), over: time_of(r1) }),
        }
    }
}

fn probing([permits, successes, failures, lease]: [u64; 4]) -> Option<ProbeRules> {
    let number = |word| u32::try_from(word).unwrap_or(u32::MAX);
    (permits != 0).then(|| ProbeRules {
        permits: number(permits),
        successes: number(successes),
        failures: number(failures),
        lease: Duration::from_nanos(lease),
    })
}

const WORDS: usize = 14;
/// Where the words of probing begin.
const PROBING: usize = 8;

/// Shared by all threads. A thread that reads a mixture of two policies belongs to an epoch that is
/// over, and changes nothing.
#[derive(Debug, Default)]
pub(super) struct Board([Setting; WORDS]);

impl Board {
    pub(super) fn write(&self, rules: &RecoveryRules) {
        for (setting, word) in self.0.iter().zip(rules.to_words()) {
            // Ordering: Release pairs with the Acquire in `read`. A thread that sees a new number
            // also sees that the old epoch is over.
            setting.store(word, Ordering::Release);
        }
    }

    pub(super) fn read(&self) -> RecoveryRules {
        RecoveryRules::from_words(std::array::from_fn(|i| self.0[i].load(Ordering::Acquire)))
    }

    /// Probing alone, which each probe reads more than once.
    pub(super) fn read_probing(&self) -> Option<ProbeRules> {
        probing(std::array::from_fn(|i| self.0[PROBING + i].load(Ordering::Acquire)))
    }
}

/// Numerator in the upper half, denominator in the lower: never 0.
fn ratio_word(ratio: Ratio) -> u64 {
    u64::from(ratio.numerator()) << 32 | u64::from(ratio.denominator())
}

fn word_ratio(word: u64) -> Ratio {
    let part = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
    Ratio::new(part(word >> 32), part(word & u64::from(u32::MAX))).unwrap_or(Ratio::ONE)
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::policy::Probing;

    #[test]
    fn written_rules_are_read_back() {
        let plain = Policy::default();
        let all = Policy::builder()
            .backoff(
                Backoff::new(Ratio::new(3, 2).unwrap())
                    .max(Duration::from_secs(3_600))
                    .reset_after(Duration::from_secs(60)),
            )
            .jitter(Ratio::HALF, 0)
            .retry_after(RetryAfter::between(Duration::from_secs(1), Duration::from_secs(60)))
            .probing(Probing::new(3).successes(4).failures(2).lease(Duration::from_secs(7)))
            .ramp_up(Ratio::new(0, 1).unwrap(), Duration::from_secs(30))
            .build()
            .unwrap();
        for policy in [plain, all] {
            let rules = RecoveryRules::new(&policy);
            let board = Board::default();
            board.write(&rules);
            assert_eq!(board.read(), rules);
            assert_eq!(board.read_probing(), rules.probing);
        }
    }
}
