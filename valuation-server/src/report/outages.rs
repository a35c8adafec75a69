//! Outages: from the minutes in which calls succeeded and failed.
//!
//! A minute is unavailable if it has counted calls and all of them failed (the definition in Microsoft's
//! service level agreements for Azure services, per minute). An outage begins with an unavailable minute,
//! and ends with the first later minute in which a call succeeded; minutes without traffic in between are
//! part of it. Minutes of excluded windows are not part of its length.

use std::collections::BTreeMap;

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
    /// The first minute in which a call succeeded again; `None` if there is none in the report.
    pub recovered: Option<i64>,
    /// Its length in minutes, without excluded ones. Of one without recovery: up to its last unavailable
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
    let mut outages = Vec::new();
    // Its first and its last unavailable minute.
    let mut running: Option<(i64, i64)> = None;
    for (minute, available) in minutes {
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
    if let Some((start, last)) = running {
        outages.push(Outage { start, recovered: None, minutes: length(start, last + 1) });
    }
    outages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(i64, Option<i64>, u64)> {
        let minutes = text.char_indices().filter(|(_, c)| *c != '.');
        let minutes = minutes.map(|(at, c)| (i64::try_from(at).unwrap(), c == '+'));
        // The minutes 100 and later are excluded.
        let excluded = |start: i64, end: i64| (end.max(100) - start.max(100)).unsigned_abs();
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
        let text = format!("{}-{}+", "+".repeat(98), ".".repeat(50));
        assert_eq!(of(&text), [(98, Some(149), 2)]);
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
