//! How the text of each kind of value is read. A rule explains a refusal, or leaves the text of it
//! empty where what is expected says enough.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{BaseUrl, HttpVersion, LogFormat, PremiumRange, Ratio, Secret, StallLimit};

/// The longest duration that a setting takes: far from the range of any clock.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const SHORTEST: Duration = Duration::from_millis(1);
/// The shortest window: its ten buckets take at least 1 ms each.
const SHORTEST_WINDOW: Duration = Duration::from_millis(10);
/// The shortest time of a stalled call: the failover looks four times in it.
const SHORTEST_STALL: Duration = Duration::from_millis(4);
/// The most calls that probe at once: what the failover takes.
const MOST_PROBES: u32 = 1_000;
/// The lengths of a token: long enough not to be guessed, and short enough for a header.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=256;

fn unexplained<E>(_: E) -> String {
    String::new()
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(unexplained)
}

pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" { Ok(None) } else { address(text).map(Some) }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err(String::new()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn url(text: &str) -> Result<BaseUrl, String> {
    BaseUrl::parse(text).map_err(|error| error.to_string())
}

pub(super) fn url_or_off(text: &str) -> Result<Option<BaseUrl>, String> {
    if text == "off" { Ok(None) } else { url(text).map(Some) }
}

pub(super) fn path_or_off(text: &str) -> Result<Option<PathBuf>, String> {
    if text == "off" { Ok(None) } else { path(text).map(Some) }
}

pub(super) fn http_version(text: &str) -> Result<HttpVersion, String> {
    match text {
        "1.1" => Ok(HttpVersion::Http1),
        "2" => Ok(HttpVersion::Http2),
        _ => Err(String::new()),
    }
}

/// What a header takes as it is. The refusal says nothing of the text.
pub(super) fn token(text: &str) -> Result<Secret, String> {
    let plain = TOKEN.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(Secret::from(text)) } else { Err(String::new()) }
}

pub(super) fn below_one(text: &str) -> Result<Ratio, String> {
    match text.parse::<Ratio>() {
        Ok(Ratio::ONE) => Err("nothing exceeds 1".to_owned()),
        Ok(ratio) if ratio.numerator() > ratio.denominator() => Err("it is above 1".to_owned()),
        other => other.map_err(|error| error.to_string()),
    }
}

pub(super) fn min_calls(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|calls| *calls >= 1).ok_or_else(String::new)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (SHORTEST..=LONGEST).contains(&duration) { Ok(duration) } else { Err(String::new()) }
}

pub(super) fn duration_or_off(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" { Ok(None) } else { duration(text).map(Some) }
}

/// No call is seen to take longer than the deadline, so a time from there on would never be met.
pub(super) fn slow_call(
    text: &str,
    provider_timeout: Duration,
) -> Result<Option<Duration>, String> {
    let slow_call = duration_or_off(text)?;
    if slow_call.is_some_and(|time| time >= provider_timeout) {
        let deadline = humantime::format_duration(provider_timeout);
        return Err(format!("calls end after {deadline}"));
    }
    Ok(slow_call)
}

/// A call is seen to be stalled up to a quarter of the time after it: later than the deadline, it has
/// ended.
pub(super) fn stalled_calls(
    text: &str,
    provider_timeout: Duration,
) -> Result<Option<Duration>, String> {
    let stalled_calls = duration_or_off(text)?;
    match stalled_calls {
        Some(time) if time < SHORTEST_STALL => Err(String::new()),
        Some(time) if time.saturating_mul(5) > provider_timeout.saturating_mul(4) => {
            let deadline = humantime::format_duration(provider_timeout);
            Err(format!("calls end after {deadline}"))
        }
        _ => Ok(stalled_calls),
    }
}

pub(super) fn stalled_limit(text: &str) -> Result<StallLimit, String> {
    match text.parse() {
        Ok(calls) if calls >= 1 => Ok(StallLimit::Calls(calls)),
        _ => below_one(text).map(StallLimit::Share),
    }
}

pub(super) fn client_error_streak(text: &str) -> Result<bool, String> {
    match text {
        "warn" => Ok(false),
        "failure" => Ok(true),
        _ => Err(String::new()),
    }
}

pub(super) fn probes(text: &str) -> Result<Option<u32>, String> {
    let probes: u32 =
        text.parse().ok().filter(|probes| *probes <= MOST_PROBES).ok_or_else(String::new)?;
    Ok((probes > 0).then_some(probes))
}

pub(super) fn window(text: &str) -> Result<Duration, String> {
    let window = duration(text)?;
    if window >= SHORTEST_WINDOW { Ok(window) } else { Err(String::new()) }
}

pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(String::new()),
    }
}

pub(super) fn premium_range(text: &str) -> Result<PremiumRange, String> {
    match text {
        "private-sale" => Ok(PremiumRange::PrivateSale),
        "dealership" => Ok(PremiumRange::Dealership),
        _ => Err(String::new()),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(String::new()),
    }
}
