//! Outages: from the minutes in which calls succeeded and failed.
//!
//! A minute is unavailable if it has counted calls and all of them failed (the definition in Microsoft's
//! service level agreements for Azure services, per minute). An outage begins with an unavailable minute,
//! and ends with the first later minute in which a call succeeded; minutes without calls in between are part
//! of it. After more than [`LONGEST_GAP`] minutes without calls its end is unknown: its length is up to its last
//! unavailable minute, and a later unavailable minute begins another outage. So nothing is said about a time
//! in which nobody asked, such as the months between two calls to the fallback. Minutes of excluded windows are
//! in no length and no gap.

use std::collections::BTreeMap;

/// The most minutes without calls within an outage. Longer than between two calls to a provider that is down
/// and tried again every few minutes.
pub(super) const LONGEST_GAP: u64 = 60;

/// An hour's minutes, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Minutes {
    /// Those with counted calls.
    pub(super) counted: u64,
    /// Those with a success.
    pub(super) succeeded: u64,
}

/// An outage, in minutes since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Its first minute, which is unavailable.
    pub start: i64,
    /// The first minute in which a call succeeded again; `None` if there were no calls for more than an hour
    /// before it, or until the report's end.
    pub recovered: Option<i64>,
    /// Its length in minutes, without excluded ones. Of one with an unknown end: up to its last unavailable
    /// minute, which belongs to it.
    pub minutes: u64,
}

/// All minutes with counted calls, in the order of time: the minute, and whether it was available.
pub(super) fn minutes(hours: &BTreeMap<i64, Minutes>) -> impl Iterator<Item = (i64, bool)> {
    hours.iter().flat_map(|(hour, Minutes { counted, succeeded })| {
        let bits = (0..60).filter(move |bit| counted >> bit & 1 == 1);
        bits.map(move |bit| (hour / 60 + bit, succeeded >> bit & 1 == 1))
    })
}

/// The outages in these minutes. `excluded` gives how many minutes from a first to before a last are excluded.
pub(super) fn outages(
    minutes: impl Iterator<Item = (i64, bool)>,
    excluded: impl Fn(i64, i64) -> u64,
) -> Vec<Outage> {
    let length = |start: i64, end: i64| (end - start).unsigned_abs() - excluded(start, end);
    let without_end = |(start, last): (i64, i64)| Outage {
        start,
        recovered: None,
        minutes: length(start, last + 1),
    };
    let mut outages = Vec::new();
    // Its first minute and its last one so far: there were no calls since.
    let mut running: Option<(i64, i64)> = None;
    for (minute, available) in minutes {
        let silent = running.take_if(|(_, last)| length(*last + 1, minute) > LONGEST_GAP);
        outages.extend(silent.map(without_end));
        match (available, running) {
            (false, None) => running = Some((minute, minute)),
            (false, Some((start, _))) => running = Some((start, minute)),
            (true, Some((start, _))) => {
                running = None;
                let recovered = Some(minute);
                outages.push(Outage { start, recovered, minutes: length(start, minute) });
            }
            (true, None) => {}
        }
    }
    outages.extend(running.map(without_end));
    outages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(i64, Option<i64>, u64)> {
        let minutes = text.char_indices().filter(|(_, c)| *c != '.');
        let minutes = minutes.map(|(at, c)| (i64::try_from(at).unwrap(), c == '+'));
        // The minutes from 100 to before 200 are excluded.
        let clamped = |minute: i64| minute.clamp(100, 200);
        let excluded = |start, end| (clamped(end) - clamped(start)).unsigned_abs();
        let found = outages(minutes, excluded);
        found.iter().map(|o| (o.start, o.recovered, o.minutes)).collect()
    }

    #[test]
    fn an_outage_lasts_from_an_unavailable_minute_to_the_first_with_a_success() {
        assert_eq!(of(""), []);
        assert_eq!(of("++.+"), []);
        assert_eq!(of("+-+"), [(1, Some(2), 1)]);
        assert_eq!(of("+-..-...+-+"), [(1, Some(8), 7), (9, Some(10), 1)]);
    }

    #[test]
    fn without_a_success_it_is_known_up_to_its_last_unavailable_minute() {
        assert_eq!(of("-"), [(0, None, 1)]);
        assert_eq!(of("+--.-..."), [(1, None, 4)]);
    }

    #[test]
    fn excluded_minutes_do_not_count() {
        let text = format!("{}-{}+", "+".repeat(98), ".".repeat(150));
        assert_eq!(of(&text), [(98, Some(249), 51)]);
    }

    #[test]
    fn after_more_than_an_hour_without_calls_its_end_is_unknown() {
        let gap = |minutes: usize| ".".repeat(minutes);
        assert_eq!(of(&format!("-{}+", gap(60))), [(0, Some(61), 61)]);
        assert_eq!(of(&format!("-{}+", gap(61))), [(0, None, 1)]);
        assert_eq!(of(&format!("--{}-+", gap(61))), [(0, None, 2), (63, Some(64), 1)]);
        // Excluded minutes are in no gap.
        assert_eq!(of(&format!("{}-{}+", gap(90), gap(160))), [(90, Some(251), 61)]);
        assert_eq!(of(&format!("{}-{}+", gap(90), gap(161))), [(90, None, 1)]);
    }

    #[test]
    fn the_minutes_of_hours_come_in_order() {
        let hours = BTreeMap::from([
            (0, Minutes { counted: 1 << 59 | 1, succeeded: 1 }),
            (3_600, Minutes { counted: 0b11, succeeded: 0b10 }),
        ]);
        assert_eq!(
            minutes(&hours).collect::<Vec<_>>(),
            [(0, true), (59, false), (60, false), (61, true)]
        );
    }
}
