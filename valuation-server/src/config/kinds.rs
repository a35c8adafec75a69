//! The kinds of values that settings have.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use failover::Ratio;
use failover::policy::StallLimit;
use http::HeaderValue;
use humantime::format_duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use super::secret::REDACTED;
use super::{Invalid, Secret};
use crate::domain::Money;
use crate::providers::BaseUrl;

/// The longest duration that a setting takes: far from the range of any clock.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most permits for probes that the failover takes.
const MOST_PROBES: u32 = 1_000;
/// The length of a token: too long to guess, and short enough for a header.
const TOKEN: RangeInclusive<usize> = 16..=256;
/// The units of a size, as powers of two.
const UNITS: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];

/// A kind of value: how a text is read, how a value is shown, and how both are described.
pub(super) struct Kind<T> {
    pub(super) form: Form,
    read: Box<Read<T>>,
    show: Box<Show<T>>,
    /// The value if nothing is given and there is no default; `None` if a value is required.
    pub(super) unset: Option<T>,
}

type Read<T> = dyn Fn(&str) -> Result<T, Invalid>;
type Show<T> = dyn Fn(&T) -> Option<Shown>;

impl<T> Kind<T> {
    /// Reads a text. The error is [`Invalid::Form`] if `form.expected` says enough.
    pub(super) fn read(&self, text: &str) -> Result<T, Invalid> {
        (self.read)(text)
    }

    /// The value in a spelling that `read` takes, without its secrets; `None` if it is not set.
    pub(super) fn show(&self, value: &T) -> Option<Shown> {
        (self.show)(value)
    }
}

/// The description of a kind.
#[derive(Debug)]
pub(crate) struct Form {
    /// What a text must be, for errors.
    pub(crate) expected: String,
    /// How `--help` names the value.
    pub(crate) name: &'static str,
    /// Whether a text that begins with a hyphen is a value, even if a wrong one.
    pub(crate) hyphen: bool,
    /// Whether it is a list, which may be given in parts.
    pub(crate) list: bool,
    /// Whether it may be given as a flag.
    pub(crate) on_command_line: bool,
    /// How a text is shown in an error.
    pub(crate) redact: fn(&str) -> String,
}

/// A value as it may be shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) text: String,
    /// Whether `text` leaves out a secret, so that it can't be read back.
    pub(super) redacted: bool,
}

pub(super) fn shown(value: &(impl ToString + ?Sized)) -> Option<Shown> {
    Some(Shown { text: value.to_string(), redacted: false })
}

/// A kind whose values are shown by their `Display`.
pub(super) fn plain<T: Display + 'static>(
    name: &'static str,
    expected: impl Into<String>,
    read: impl Fn(&str) -> Result<T, Invalid> + 'static,
) -> Kind<T> {
    shown_by(name, expected, read, shown)
}

pub(super) fn shown_by<T>(
    name: &'static str,
    expected: impl Into<String>,
    read: impl Fn(&str) -> Result<T, Invalid> + 'static,
    show: impl Fn(&T) -> Option<Shown> + 'static,
) -> Kind<T> {
    let form = Form {
        expected: expected.into(),
        name,
        hyphen: false,
        list: false,
        on_command_line: true,
        redact: str::to_owned,
    };
    Kind { form, read: Box::new(read), show: Box::new(show), unset: None }
}

/// The same kind, whose texts may begin with a hyphen.
fn numeric<T>(mut kind: Kind<T>) -> Kind<T> {
    kind.form.hyphen = true;
    kind
}

/// A value of another kind, or `off`.
pub(super) fn optional<T: 'static>(kind: Kind<T>) -> Kind<Option<T>> {
    let Kind { form, read, show, .. } = kind;
    Kind {
        form: Form { expected: format!("off, or {}", form.expected), ..form },
        read: Box::new(move |text| if text == "off" { Ok(None) } else { read(text).map(Some) }),
        show: Box::new(move |value| value.as_ref().map_or_else(|| shown("off"), &show)),
        unset: None,
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy + PartialEq>(
    name: &'static str,
    words: &'static [(&'static str, T)],
) -> Kind<T> {
    let expected: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    shown_by(
        name,
        expected.join(" or "),
        |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or(Invalid::Form)
        },
        |value| words.iter().find(|(_, known)| known == value).and_then(|(word, _)| shown(*word)),
    )
}

pub(super) fn on_off() -> Kind<bool> {
    choice("ON|OFF", &[("on", true), ("off", false)])
}

pub(super) fn address() -> Kind<SocketAddr> {
    let expected = "an IP address and a port, such as 127.0.0.1:3000 or [::1]:3000";
    plain("ADDRESS", expected, |text| text.parse().map_err(|_| Invalid::Form))
}

/// A path.
pub(super) fn file(expected: &'static str) -> Kind<PathBuf> {
    let read = |text: &str| Some(text.into()).filter(|_| !text.is_empty()).ok_or(Invalid::Form);
    shown_by("FILE", expected, read, |path: &PathBuf| shown(&path.display()))
}

/// A text that is not empty.
pub(super) fn text(name: &'static str, expected: &'static str) -> Kind<String> {
    let read = |text: &str| Some(text.into()).filter(|_| !text.is_empty()).ok_or(Invalid::Form);
    plain(name, expected, read)
}

/// Directives of the log's filter.
pub(super) fn log_level() -> Kind<String> {
    let expected = "a level (error, warn, info, debug, trace or off), perhaps with others for modules, such as \
                    info or valuation_server=debug,info";
    let read = |text: &str| {
        let right = !text.trim().is_empty() && EnvFilter::builder().parse(text).is_ok();
        // A word that is no level is the name of a module to the filter: a mistyped level would show everything.
        let named = text.split(',').map(str::trim);
        let bare = named.filter(|part| !part.contains(['=', '[']));
        let is_level = |part: &str| part.parse::<LevelFilter>().is_ok();
        if right && bare.clone().all(is_level) { Ok(text.to_owned()) } else { Err(Invalid::Form) }
    };
    plain("LEVEL", expected, read)
}

/// A URL, perhaps with credentials and keys.
pub(super) fn url(such_as: &str) -> Kind<BaseUrl> {
    let expected = format!("a URL that begins with http:// or https://, such as {such_as}");
    let show = |url: &BaseUrl| Some(Shown { text: url.redacted(), redacted: url.has_secrets() });
    let mut kind = shown_by("URL", expected, |text| Ok(BaseUrl::parse(text)?), show);
    kind.form.redact = BaseUrl::redacted_text;
    kind
}

/// A token that can be sent in a header unchanged.
pub(super) fn token() -> Kind<Option<Secret>> {
    let (from, to) = (TOKEN.start(), TOKEN.end());
    let expected = format!("a text of {from} to {to} visible ASCII characters without spaces");
    let read = |text: &str| {
        let plain = TOKEN.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if plain { Ok(Some(Secret::from(text))) } else { Err(Invalid::Form) }
    };
    let redacted = || Shown { text: REDACTED.to_owned(), redacted: true };
    let show = move |token: &Option<Secret>| token.as_ref().map(|_| redacted());
    let mut kind = numeric(shown_by("TOKEN", expected, read, show));
    kind.form.redact = |_| REDACTED.to_owned();
    kind.unset = Some(None);
    kind
}

/// A list, separated by commas; `off` for none.
pub(super) fn list<T: 'static>(
    name: &'static str,
    expected: impl Into<String>,
    read: impl Fn(&str) -> Result<T, Invalid> + 'static,
    text: impl Fn(&T) -> Option<String> + 'static,
) -> Kind<Vec<T>> {
    let read = move |given: &str| match given {
        "off" => Ok(Vec::new()),
        list => list.split(',').map(|part| read(part.trim())).collect(),
    };
    let show = move |values: &Vec<T>| {
        let texts: Vec<_> = values.iter().filter_map(&text).collect();
        shown(&if texts.is_empty() { "off".to_owned() } else { texts.join(",") })
    };
    let mut kind = shown_by(name, expected, read, show);
    kind.form.list = true;
    kind
}

/// A list of origins.
pub(super) fn origins() -> Kind<Vec<HeaderValue>> {
    let expected = "off, or origins without a path and a default port, such as \
                    https://cars.example or http://localhost:5173";
    let origin = |text: &str| {
        let is_exact = Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
        });
        HeaderValue::from_str(text).ok().filter(|_| is_exact).ok_or(Invalid::Form)
    };
    list("ORIGIN", expected, origin, |origin| origin.to_str().ok().map(str::to_owned))
}

/// A whole number in a range.
pub(super) fn whole<T: FromStr + PartialOrd + Display + 'static>(
    unit: &'static str,
    range: RangeInclusive<T>,
    such_as: &str,
) -> Kind<T> {
    let (from, to) = (range.start(), range.end());
    let expected = format!("a whole number from {from} to {to}, such as {such_as}");
    let read = move |text: &str| {
        text.parse().ok().filter(|number| range.contains(number)).ok_or(Invalid::Form)
    };
    numeric(plain(unit, expected, read))
}

/// The number of probes; 0 is none.
pub(super) fn probes() -> Kind<Option<u32>> {
    let expected = format!("a whole number from 0 (no probing) to {MOST_PROBES}, such as 3");
    let read = |text: &str| {
        let probes = text.parse().ok().filter(|probes| *probes <= MOST_PROBES);
        probes.map(|probes| (probes > 0).then_some(probes)).ok_or(Invalid::Form)
    };
    numeric(shown_by("CALLS", expected, read, |probes| shown(&probes.unwrap_or(0))))
}

fn read_share(text: &str) -> Result<Ratio, Invalid> {
    match text.parse::<Ratio>()? {
        Ratio::ONE => Err(Invalid::One),
        ratio if ratio.numerator() > ratio.denominator() => Err(Invalid::AboveOne),
        ratio => Ok(ratio),
    }
}

/// A share below 1 of the calls or failures that `of` names.
pub(super) fn share(of: &str) -> Kind<Ratio> {
    let expected = format!(
        "a share from 0 (any {of} exceeds it) to below 1 (which nothing could exceed), \
         such as 0.5, 1/3 or 50%"
    );
    numeric(plain("SHARE", expected, read_share))
}

/// A number of calls, or a share.
pub(super) fn stall_limit() -> Kind<StallLimit> {
    let expected = "a number of calls from 1, such as 20, or a share below 1 (which nothing \
                    could exceed), such as 0.5, 1/3 or 50%";
    let read = |text: &str| match text.parse() {
        Ok(calls) if calls >= 1 => Ok(StallLimit::Calls(calls)),
        _ => read_share(text).map(StallLimit::Share),
    };
    let show = |limit: &StallLimit| match limit {
        StallLimit::Calls(calls) => shown(calls),
        StallLimit::Share(share) => shown(share),
    };
    numeric(shown_by("CALLS|SHARE", expected, read, show))
}

/// A duration from this many milliseconds to [`LONGEST`].
pub(super) fn time(from: u64) -> Kind<Duration> {
    time_to(from, "to 30days", "500ms, 60s or 5m")
}

/// The same, with a lower maximum, which is checked elsewhere, and examples.
pub(super) fn time_to(from: u64, to: &str, such_as: &str) -> Kind<Duration> {
    let from = Duration::from_millis(from);
    let least = format_duration(from);
    let expected = format!("a duration with its unit, from {least} {to}, such as {such_as}");
    let read = move |text: &str| {
        let time = humantime::parse_duration(text)?;
        if (from..=LONGEST).contains(&time) { Ok(time) } else { Err(Invalid::Form) }
    };
    numeric(shown_by("DURATION", expected, read, |time| shown(&format_duration(*time))))
}

/// An amount of money in whole pence. More decimals would have to be rounded.
pub(super) fn price(such_as: &str) -> Kind<Money> {
    let expected =
        format!("pounds with at most two decimals, up to {}, such as {such_as}", Money::MAX);
    let read = |text: &str| Money::parse_exact(text).map_err(|_| Invalid::Form);
    numeric(plain("POUNDS", expected, read))
}

/// A size in bytes with a binary unit.
pub(super) fn size() -> Kind<u64> {
    let read = |text: &str| {
        let parsed = UNITS.into_iter().find_map(|(unit, shift)| {
            let count: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            count.checked_mul(1 << shift)
        });
        parsed.filter(|bytes| (1 << 10..=1 << 40).contains(bytes)).ok_or(Invalid::Form)
    };
    let show = |bytes: &u64| {
        let (unit, shift) = UNITS[usize::from(bytes.is_multiple_of(1 << 20))];
        shown(&format!("{}{unit}", bytes >> shift))
    };
    let expected = "a size with its unit, from 1KiB to 1024GiB, such as 64MiB";
    numeric(shown_by("SIZE", expected, read, show))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_plain_pounds_and_pence_and_nothing_is_rounded() {
        for (text, pence) in [("0.20", 20), ("0.2", 20), ("3", 300), ("0", 0), (".05", 5)] {
            assert_eq!(price("0.20").read(text).map(Money::pence).ok(), Some(pence), "{text}");
        }
        for text in ["", ".", "0.205", "-1", "£1", "1,50", "2e1", "1.0.0", "100000000", "0.20 "] {
            assert!(price("0.20").read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_with_a_binary_unit() {
        for (text, bytes) in [("1KiB", 1 << 10), ("64MiB", 64 << 20), ("2 GiB", 2 << 30)] {
            assert_eq!(optional(size()).read(text).ok(), Some(Some(bytes)), "{text}");
        }
        assert_eq!(optional(size()).read("off").ok(), Some(None));
        for text in ["", "64", "64MB", "0MiB", "-1MiB", "1.5MiB", "MiB", "99999999999GiB"] {
            assert!(optional(size()).read(text).is_err(), "{text}");
        }
    }
}
