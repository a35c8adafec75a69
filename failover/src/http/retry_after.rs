//! A server's own word on when to come back.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// How long a response asks its caller to wait, by its `Retry-After` (RFC 9110, section 10.2.3).
///
/// Seconds are taken as they are. A date is counted from the response's own `Date`, so that
/// neither this machine's wall clock nor the difference between the two machines' matters; without
/// that header a date says nothing. A date that has passed is a time of zero. Of the three forms
/// of dates the one that servers must send is read, `Sun, 06 Nov 1994 08:49:37 GMT`, and not the
/// two obsolete ones.
///
/// The server says what it likes, up to 584 billion years: bound it before you rely on it. `None`
/// where the header is missing or can't be read.
///
/// ```
/// use std::time::Duration;
/// use failover::http::retry_after;
///
/// let response = http::Response::builder().header("retry-after", "120").body(()).unwrap();
/// assert_eq!(retry_after(response.headers()), Some(Duration::from_secs(120)));
///
/// let response = http::Response::builder()
///     .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
///     .header("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")
///     .body(())
///     .unwrap();
/// assert_eq!(retry_after(response.headers()), Some(Duration::from_secs(30)));
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.as_bytes();
    let seconds = match number(value) {
        Some(seconds) => seconds,
        None => seconds_of(value)?.saturating_sub(seconds_of(headers.get(DATE)?.as_bytes())?),
    };
    Some(Duration::from_secs(seconds))
}

/// Digits, and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A date as servers send it, in seconds since the beginning of the year 0 of the Gregorian
/// calendar. The name of the day must be one, but need not be the right one.
fn seconds_of(date: &[u8]) -> Option<u64> {
    let date: &[u8; 29] = date.try_into().ok()?;
    // Places:  Sun, 06 Nov 1994 08:49:37 GMT
    let shape = [(3, &b", "[..]), (7, b" "), (11, b" "), (16, b" "), (19, b":"), (22, b":")];
    let shaped = shape.iter().all(|&(at, text)| date[at..].starts_with(text));
    if !shaped || !date.ends_with(b" GMT") || !DAYS.contains(&&date[..3]) {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == &date[8..11])? as u64 + 1;
    let (year, day) = (number(&date[12..16])?, number(&date[5..7])?);
    let (hour, minute) = (number(&date[17..19])?, number(&date[20..22])?);
    let second = number(&date[23..25])?;
    // A leap second is written as 60.
    if day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_before_year(year) + (1..month).map(|m| days_in(year, m)).sum::<u64>() + day;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// How many days the years from 0 up to this one have, itself not included.
fn days_before_year(year: u64) -> u64 {
    // Of the years below `year`, the multiples of n number ceil(year / n).
    year * 365 + year.div_ceil(4) - year.div_ceil(100) + year.div_ceil(400)
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(date: &str, retry_after: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, date.parse().unwrap());
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        super::retry_after(&headers).map(|time| time.as_secs())
    }

    #[test]
    fn seconds_are_digits_and_nothing_else() {
        for (text, seconds) in [("0", Some(0)), ("007", Some(7)), ("86400", Some(86_400))] {
            assert_eq!(between("nonsense", text), seconds);
        }
        for text in ["", "-1", "+1", "1.5", "1 ", "12 s", "soon", "99999999999999999999"] {
            assert_eq!(between("Sun, 06 Nov 1994 08:49:37 GMT", text), None, "{text:?}");
        }
    }

    #[test]
    fn dates_are_counted_over_months_years_and_leap_days() {
        let day = 86_400;
        let cases = [
            ("Mon, 28 Feb 2000 23:59:59 GMT", "Wed, 01 Mar 2000 00:00:00 GMT", day + 1),
            ("Sun, 28 Feb 1900 00:00:00 GMT", "Thu, 01 Mar 1900 00:00:00 GMT", day),
            ("Thu, 31 Dec 2026 23:59:50 GMT", "Fri, 01 Jan 2027 00:00:00 GMT", 10),
            ("Sat, 01 Jan 2000 00:00:00 GMT", "Wed, 01 Jan 2400 00:00:00 GMT", 146_097 * day),
            ("Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 19 Jan 2038 03:14:08 GMT", 1 << 31),
            ("Sat, 31 Dec 2016 23:59:60 GMT", "Sun, 01 Jan 2017 00:00:01 GMT", 1),
        ];
        for (date, retry_after, seconds) in cases {
            assert_eq!(between(date, retry_after), Some(seconds), "{date} to {retry_after}");
        }
    }

    #[test]
    fn a_date_that_has_passed_is_no_time() {
        let (early, late) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(between(late, early), Some(0));
    }

    #[test]
    fn what_is_no_such_date_says_nothing() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for text in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 31 Jun 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Day, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(between(date, text), None, "{text}");
            assert_eq!(between(text, date), None, "{text}");
        }
    }
}
