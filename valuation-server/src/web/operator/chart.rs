//! The lines of the last hour, as SVG paths.
//!
//! A chart is [`WIDTH`] slots of ten seconds wide and [`HEIGHT`] high; the page stretches it. The slot
//! that is not over yet is left out.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use failover::Ratio;

use super::figures::Point;

/// The slots of an hour.
pub(super) const WIDTH: usize = 360;
/// The height of a chart. 0 is the top.
pub(super) const HEIGHT: u64 = 100;

/// The last hour in slots, the oldest first.
pub(super) struct Hour {
    slots: Vec<Slot>,
    /// When the first slot began.
    begin: SystemTime,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    counted: u64,
    failures: u64,
    primary: u64,
    fallback: u64,
    on_fallback: Duration,
}

/// A share of failures: the failed calls, and all.
pub(super) type Rate = (u64, u64);

impl Hour {
    /// The hour until the last whole slot before `now`.
    pub(super) fn until(now: SystemTime, points: &[Point]) -> Self {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let span = Point::SPAN.as_secs();
        let begin = (since_epoch / span * span).saturating_sub(WIDTH as u64 * span);
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(begin);
        let mut slots = vec![Slot::default(); WIDTH];
        for point in points {
            let Ok(since) = point.at.duration_since(begin) else { continue };
            let index = usize::try_from(since.as_secs() / span).unwrap_or(usize::MAX);
            let Some(slot) = slots.get_mut(index) else { continue };
            slot.counted = slot.counted.saturating_add(point.counted);
            slot.failures = slot.failures.saturating_add(point.failures);
            slot.primary = slot.primary.saturating_add(point.primary);
            slot.fallback = slot.fallback.saturating_add(point.fallback);
            slot.on_fallback = slot.on_fallback.saturating_add(point.on_fallback);
        }
        Self { slots, begin }
    }

    /// When a slot began.
    pub(super) fn at(&self, slot: usize) -> SystemTime {
        self.begin + Point::SPAN * u32::try_from(slot).unwrap_or(u32::MAX)
    }

    /// Whether nothing at all happened.
    pub(super) fn is_empty(&self) -> bool {
        let happened = |slot: &Slot| {
            let calls = [slot.counted, slot.primary, slot.fallback];
            calls.iter().any(|calls| *calls > 0) || !slot.on_fallback.is_zero()
        };
        !self.slots.iter().any(happened)
    }

    /// The share of failures at the end of each slot, as the failover's window of this length counts
    /// it: over several slots, and from zero after a time on the fallback. `None` without calls.
    pub(super) fn rates(&self, window: Duration) -> Vec<Option<Rate>> {
        let length = usize::try_from(window.as_secs() / Point::SPAN.as_secs()).unwrap_or(WIDTH);
        let length = length.clamp(1, WIDTH);
        let mut begin = 0;
        let mut rate = |index: usize| {
            let slot = &self.slots[index];
            if !slot.on_fallback.is_zero() && slot.counted == 0 {
                begin = index;
            }
            begin = begin.max((index + 1).saturating_sub(length));
            let (failures, calls) =
                self.slots[begin..=index].iter().fold((0, 0), |sum: Rate, slot| {
                    (sum.0.saturating_add(slot.failures), sum.1.saturating_add(slot.counted))
                });
            (calls > 0).then_some((failures, calls))
        };
        (0..self.slots.len()).map(&mut rate).collect()
    }

    /// The slots during which calls went to the fallback, as ranges.
    pub(super) fn on_fallback(&self) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let on = |(_, slot): &(usize, &Slot)| !slot.on_fallback.is_zero();
        for (index, _) in self.slots.iter().enumerate().filter(on) {
            match ranges.last_mut() {
                Some(range) if range.end == index => range.end += 1,
                _ => ranges.push(index..index + 1),
            }
        }
        ranges
    }

    /// How long calls went to the fallback.
    pub(super) fn time_on_fallback(&self) -> Duration {
        let times = self.slots.iter().map(|slot| slot.on_fallback);
        times.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// The calls to the primary and to the fallback in each slot.
    pub(super) fn calls(&self) -> (Vec<u64>, Vec<u64>) {
        self.slots.iter().map(|slot| (slot.primary, slot.fallback)).unzip()
    }
}

/// The line of the failure rate, from no call failed at the bottom to all at the top.
pub(super) fn rate_path(rates: &[Option<Rate>]) -> String {
    let height = |rate: Option<Rate>| rate.map(|(failures, calls)| height(failures, calls));
    path(rates.iter().map(|rate| height(*rate)))
}

/// The line of the calls in each slot, where the top is `most`.
pub(super) fn calls_path(calls: &[u64], most: u64) -> String {
    path(calls.iter().map(|calls| Some(height(*calls, most))))
}

/// The height of a threshold.
pub(super) fn limit_height(limit: Ratio) -> u64 {
    height(limit.numerator().into(), limit.denominator().into())
}

/// A round number of calls in ten seconds at or above all of these: 1, 2 or 5 times a power of ten, and
/// at least one a second.
pub(super) fn scale(calls: impl Iterator<Item = u64>) -> u64 {
    let most = calls.max().unwrap_or(0).max(Point::SPAN.as_secs());
    let power = 10_u64.pow(most.ilog10());
    let ends = [1, 2, 5, 10].into_iter().filter_map(|times| power.checked_mul(times));
    ends.into_iter().find(|end| *end >= most).unwrap_or(u64::MAX)
}

/// How far `part` of `whole` is from the top, in tenths of a unit.
fn height(part: u64, whole: u64) -> u64 {
    let scale = u128::from(HEIGHT) * 10;
    let up = u128::from(part) * scale / u128::from(whole.max(1));
    u64::try_from(scale.saturating_sub(up)).unwrap_or(0)
}

/// A line through the middle of each slot, at heights in tenths. It is interrupted where there is no
/// height, and a lone one is a short stroke.
fn path(heights: impl Iterator<Item = Option<u64>>) -> String {
    let heights: Vec<_> = heights.collect();
    let mut text = String::new();
    for (index, height) in heights.iter().enumerate() {
        let Some(height) = height else { continue };
        let before = index.checked_sub(1).and_then(|before| heights[before]);
        let after = heights.get(index + 1).copied().flatten();
        // On a level stretch only its ends are needed.
        if before == Some(*height) && after == Some(*height) {
            continue;
        }
        let command = if before.is_none() { 'M' } else { 'L' };
        // A write to a String does not fail.
        let _ = write!(text, "{command}{index} {}", tenths(*height));
        if before.is_none() && after.is_none() {
            text.push_str("h1");
        }
    }
    text
}

/// `12.5`, or `12`.
pub(super) fn tenths(number: u64) -> String {
    match number % 10 {
        0 => (number / 10).to_string(),
        tenth => format!("{}.{tenth}", number / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: u64 = Point::SPAN.as_secs();
    /// The first slot of the tests' hour begins here, in seconds since 1970.
    const BEGIN: u64 = 1_000_000;

    fn at(slot: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN + slot * SPAN)
    }

    fn now() -> SystemTime {
        // Within the slot after the last.
        at(WIDTH as u64) + Duration::from_secs(7)
    }

    fn point(slot: u64, counted: u64, failures: u64) -> Point {
        let (primary, on_fallback) = (counted, Duration::ZERO);
        Point { at: at(slot), counted, failures, primary, fallback: 0, on_fallback }
    }

    #[test]
    fn a_rate_is_of_the_calls_in_a_window() {
        let points = [point(0, 10, 0), point(1, 10, 10), point(359, 4, 1), point(360, 9, 9)];
        let hour = Hour::until(now(), &points);
        let rates = hour.rates(Duration::from_secs(20));
        assert_eq!(rates[..4], [Some((0, 10)), Some((10, 20)), Some((10, 10)), None]);
        assert_eq!(rates[359], Some((1, 4)));
        assert_eq!(hour.at(359), at(359));
        assert_eq!(rate_path(&rates), "M0 100L1 50L2 0M359 75h1");
    }

    #[test]
    fn counts_start_from_zero_after_a_time_on_the_fallback() {
        let away = |slot| Point { on_fallback: Point::SPAN, fallback: 3, ..point(slot, 0, 0) };
        let hour = Hour::until(now(), &[point(0, 10, 10), away(1), away(2), point(3, 5, 0)]);
        let rates = hour.rates(Duration::from_secs(60));
        assert_eq!(rates[..4], [Some((10, 10)), None, None, Some((0, 5))]);
        assert_eq!(hour.on_fallback(), std::slice::from_ref(&(1..3)));
        assert_eq!(hour.time_on_fallback(), Duration::from_secs(20));
        assert_eq!(hour.calls().1[..4], [0, 3, 3, 0]);
    }

    #[test]
    fn a_level_line_has_two_ends() {
        assert_eq!(calls_path(&[5; 360], 10), "M0 50L359 50");
        assert_eq!(calls_path(&[], 10), "");
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        let end = |calls: u64| scale([0, calls].into_iter());
        assert_eq!([0, 10, 11, 50, 51, 1_999].map(end), [10, 10, 20, 50, 100, 2_000]);
        assert_eq!(end(u64::MAX), u64::MAX);
        assert_eq!(scale(std::iter::empty()), 10);
    }

    proptest! {
        #[test]
        fn any_history_has_its_lines(
            points in proptest::collection::vec(any::<(u64, u64, u64, u64, Duration)>(), 0..50),
            window: Duration,
            since_epoch in 0..=u64::MAX / 4,
        ) {
            let point = |(index, (at, counted, failures, calls, on_fallback))| {
                let near = BEGIN + index as u64 * SPAN;
                let at = if at % 3 == 0 { at >> 2 } else { near };
                let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
                Point { at, counted, failures, primary: calls, fallback: counted, on_fallback }
            };
            let points: Vec<_> = points.into_iter().enumerate().map(point).collect();
            for now in [SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch), now()] {
                let hour = Hour::until(now, &points);
                let _ = (hour.is_empty(), hour.on_fallback(), hour.time_on_fallback(), hour.at(WIDTH));
                let path = rate_path(&hour.rates(window));
                prop_assert!(path.is_ascii() && !path.contains('-'));
                let (primary, fallback) = hour.calls();
                let most = scale(primary.iter().chain(&fallback).copied());
                let _ = (calls_path(&primary, most), calls_path(&fallback, most));
            }
        }
    }
}
