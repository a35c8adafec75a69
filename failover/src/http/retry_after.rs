//! `Retry-After`.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};
use httpdate::parse_http_date;

/// The time in a response's `Retry-After` (RFC 9110, section 10.2.3); `None` if the header is missing
/// or invalid.
///
/// A date is relative to the response's own `Date`, so the wall clocks of the two machines may
/// differ. Without a `Date` it is ignored; a date in the past is zero, as it
/// is with `Retry-After: 0`: the shortest time that the policy allows.
///
/// The value is not bounded: see [`RetryAfter::between`](crate::policy::RetryAfter::between).
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
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let value = text(RETRY_AFTER)?;
    // `u64::from_str` alone would take a sign.
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let (until, now) = (parse_http_date(value).ok()?, parse_http_date(text(DATE)?).ok()?);
    Some(until.duration_since(now).unwrap_or_default())
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
            ("Thu, 31 Dec 2026 23:59:50 GMT", "Fri, 01 Jan 2027 00:00:00 GMT", 10),
            ("Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2400 00:00:00 GMT", 146_097 * day),
            ("Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 19 Jan 2038 03:14:08 GMT", 1 << 31),
            // The two obsolete forms.
            ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:38 1994", 1),
        ];
        for (date, retry_after, seconds) in cases {
            assert_eq!(between(date, retry_after), Some(seconds), "{date} to {retry_after}");
        }
    }

    #[test]
    fn a_date_in_the_past_is_zero() {
        let (early, late) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(between(late, early), Some(0));
    }

    #[test]
    fn an_invalid_date_is_ignored() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for text in [
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
