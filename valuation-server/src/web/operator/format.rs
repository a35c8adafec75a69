//! Values as people read them. Times are UTC.

use std::time::{Duration, SystemTime};

use failover::Ratio;
use jiff::Timestamp;

use crate::domain::Provider;
pub(super) use crate::web::number::count;

/// `1 call`, `2 calls`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// The two largest units, whole seconds rounded up: `3 min 12 s`, `2 h 5 min`, `1 d`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(number, _)| *number > 0).unwrap_or(units.len() - 1);
    let parts = units[first..].iter().take(2).enumerate();
    let parts = parts.filter(|(index, (number, _))| *index == 0 || *number > 0);
    let parts: Vec<_> = parts.map(|(_, (number, unit))| spaced(*number, unit)).collect();
    parts.join(" ")
}

/// To the minute, so that it does not change each second: `less than a minute`, `2 h 5 min`.
pub(super) fn roughly(time: Duration) -> String {
    match time.as_secs() / 60 * 60 {
        0 => "less than a minute".to_owned(),
        seconds => duration(Duration::from_secs(seconds)),
    }
}

/// `250 ms`, `2.5 s`.
pub(super) fn latency(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => spaced(micros, "µs"),
        1_000..10_000 => decimal(micros, 1_000, "ms"),
        10_000..1_000_000 => spaced(micros / 1_000, "ms"),
        _ => decimal(micros, 1_000_000, "s"),
    }
}

/// `12 MB`, `1.2 GB`.
pub(super) fn bytes(number: u64) -> String {
    let units = [(1_000_u64.pow(5), "PB"), (1_000_u64.pow(4), "TB"), (1_000_u64.pow(3), "GB")];
    let units = units.into_iter().chain([(1_000_000, "MB"), (1_000, "kB")]);
    match units.into_iter().find(|(size, _)| number >= *size) {
        None => spaced(number, "B"),
        Some((size, unit)) if number / size >= 10 => spaced(number / size, unit),
        Some((size, unit)) => decimal(number, size.into(), unit),
    }
}

/// `£12.40`.
pub(super) fn pounds(pence: u128) -> String {
    format!("£{}.{:02}", count(pence / 100), pence % 100)
}

/// `50.1 %`, cut off and not rounded, so that a share that exceeds no limit does not look as if it did.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1_000 / u128::from(whole.max(1));
    decimal(tenths, 10, "%")
}

/// `1/2`; a whole number as `1`.
pub(super) fn share(ratio: Ratio) -> String {
    match ratio.denominator() {
        1 => ratio.numerator().to_string(),
        _ => ratio.to_string(),
    }
}

/// `12:03:07`; `29 Nov 12:03` on another day than `now`. A time that the calendar does not have is a
/// dash.
pub(super) fn time(at: SystemTime, now: SystemTime) -> String {
    let day =
        |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map(|t| t.as_secs() / 86_400);
    let format =
        if day(at).is_ok() && day(at).ok() == day(now).ok() { "%H:%M:%S" } else { "%-d %b %H:%M" };
    strftime(at, format)
}

/// `12:03`.
pub(super) fn minute(at: SystemTime) -> String {
    strftime(at, "%H:%M")
}

/// RFC 3339, for `<time datetime>`.
pub(super) fn machine(at: SystemTime) -> String {
    strftime(at, "%Y-%m-%dT%H:%M:%SZ")
}

fn strftime(at: SystemTime, format: &str) -> String {
    Timestamp::try_from(at).map_or_else(|_| "–".to_owned(), |at| at.strftime(format).to_string())
}

/// The name in a sentence: `SuperCar`.
pub(super) fn short(provider: Provider) -> &'static str {
    match provider {
        Provider::SuperCar => "SuperCar",
        Provider::Premium => "Premium",
    }
}

/// `number / unit` with one decimal, unless that is zero.
pub(super) fn decimal(number: impl Into<u128>, unit: u128, name: &str) -> String {
    let tenths = number.into().saturating_mul(10) / unit;
    match tenths % 10 {
        0 => spaced(tenths / 10, name),
        tenth => format!("{}.{tenth}\u{a0}{name}", count(tenths / 10)),
    }
}

/// With a space at which no line breaks.
fn spaced(number: impl Into<u128>, unit: &str) -> String {
    format!("{}\u{a0}{unit}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> String {
        text.replace('\u{a0}', " ")
    }

    #[test]
    fn durations_have_their_two_largest_units() {
        let text = |millis| plain(&duration(Duration::from_millis(millis)));
        assert_eq!(text(0), "0 s");
        assert_eq!(text(1), "1 s");
        assert_eq!(text(191_001), "3 min 12 s");
        assert_eq!(text(3_600_000), "1 h");
        assert_eq!(text(7_505_000), "2 h 5 min");
        assert_eq!(text(90_000_000), "1 d 1 h");
        assert_eq!(plain(&roughly(Duration::from_secs(59))), "less than a minute");
        assert_eq!(plain(&roughly(Duration::from_secs(125))), "2 min");
    }

    #[test]
    fn sizes_times_and_shares_are_short() {
        let text = |micros| plain(&latency(Duration::from_micros(micros)));
        assert_eq!(
            [500, 2_500, 250_000, 2_500_000].map(text),
            ["500 µs", "2.5 ms", "250 ms", "2.5 s"]
        );
        let text = |number| plain(&bytes(number));
        assert_eq!(
            [0, 1_250, 12_345_678, u64::MAX].map(text),
            ["0 B", "1.2 kB", "12 MB", "18,446 PB"]
        );
        assert_eq!(plain(&percent(301, 601)), "50 %");
        assert_eq!(plain(&percent(1, 3)), "33.3 %");
        assert_eq!(pounds(123_405), "£1,234.05");
        assert_eq!(counted(1, "call"), "1 call");
        assert_eq!(counted(1_000, "call"), "1,000 calls");
    }

    #[test]
    fn a_time_names_its_day_unless_it_is_today() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(time(at(1_700_000_000), at(1_700_000_100)), "22:13:20");
        assert_eq!(time(at(1_700_000_000), at(1_700_100_000)), "14 Nov 22:13");
        assert_eq!(machine(at(1_700_000_000)), "2023-11-14T22:13:20Z");
    }

    proptest! {
        #[test]
        fn any_value_has_a_text(number: u64, other: u64, nanos in 0..1_000_000_000_u32) {
            let length = Duration::new(number, nanos);
            let _ = (count(number), duration(length), roughly(length), latency(length));
            let _ = (bytes(number), percent(number, other), pounds(u128::MAX));
            let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(number >> 1));
            let at = at.unwrap_or(SystemTime::UNIX_EPOCH);
            let _ = (time(at, SystemTime::UNIX_EPOCH), time(SystemTime::UNIX_EPOCH, at), machine(at));
        }
    }
}
