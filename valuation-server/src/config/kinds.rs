//! The kinds of values: how a text is read, how a value is shown, and what an error says is expected.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use failover::Ratio;
use failover::policy::StallLimit;
use humantime::format_duration;

use super::secret::REDACTED;
use super::{Invalid, Secret};
use crate::providers::BaseUrl;

/// The longest duration that a setting takes: far from the range of any clock.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most permits for probes that the failover takes.
const MOST_PROBES: u32 = 1_000;
/// The lengths of a token: long enough not to be guessed, and short enough for a header.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=256;
/// The units of a size, and the powers of two that they stand for.
const UNITS: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];

/// A kind of value.
pub(super) trait Kind {
    type Value;
    /// Reads a text. The error is [`Invalid::Form`] if `form().expected` says enough.
    fn read(&self, text: &str) -> Result<Self::Value, Invalid>;
    /// The value in a spelling that `read` takes, without its secrets; `None` if it is not set.
    fn show(&self, value: &Self::Value) -> Option<Shown>;
    fn form(&self) -> Form;
    /// The value if nothing is given and there is no default; `None` if a value is required.
    fn unset(&self) -> Option<Self::Value> {
        None
    }
}

/// What can be said of a kind without a value.
#[derive(Debug)]
pub(crate) struct Form {
    /// What a text must be, for errors.
    pub(crate) expected: String,
    /// How `--help` names the value.
    pub(crate) name: &'static str,
    /// Whether a text that begins with a hyphen is a value, if perhaps a wrong one.
    pub(crate) hyphen: bool,
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

fn shown(value: &(impl ToString + ?Sized)) -> Option<Shown> {
    Some(Shown { text: value.to_string(), redacted: false })
}

fn form(name: &'static str, expected: impl Into<String>) -> Form {
    Form { expected: expected.into(), name, hyphen: false, redact: str::to_owned }
}

fn numeric(name: &'static str, expected: impl Into<String>) -> Form {
    Form { hyphen: true, ..form(name, expected) }
}

/// A value of another kind, or `off`.
pub(super) struct Optional<K>(pub(super) K);

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;
    fn read(&self, text: &str) -> Result<Self::Value, Invalid> {
        if text == "off" { Ok(None) } else { self.0.read(text).map(Some) }
    }
    fn show(&self, value: &Self::Value) -> Option<Shown> {
        value.as_ref().map_or_else(|| shown("off"), |value| self.0.show(value))
    }
    fn form(&self) -> Form {
        let form = self.0.form();
        Form { expected: format!("off, or {}", form.expected), ..form }
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(
    pub(super) &'static str,
    pub(super) &'static [(&'static str, T)],
);

pub(super) const ON_OFF: Choice<bool> = Choice("ON|OFF", &[("on", true), ("off", false)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;
    fn read(&self, text: &str) -> Result<T, Invalid> {
        let found = self.1.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or(Invalid::Form)
    }
    fn show(&self, value: &T) -> Option<Shown> {
        self.1.iter().find(|(_, known)| known == value).and_then(|(word, _)| shown(word))
    }
    fn form(&self) -> Form {
        let words: Vec<_> = self.1.iter().map(|(word, _)| *word).collect();
        form(self.0, words.join(" or "))
    }
}

pub(super) struct Address;

impl Kind for Address {
    type Value = SocketAddr;
    fn read(&self, text: &str) -> Result<SocketAddr, Invalid> {
        text.parse().map_err(|_| Invalid::Form)
    }
    fn show(&self, value: &SocketAddr) -> Option<Shown> {
        shown(value)
    }
    fn form(&self) -> Form {
        form("ADDRESS", "an IP address and a port, such as 127.0.0.1:3000 or [::1]:3000")
    }
}

/// A path, and what an error says is expected.
pub(super) struct File(pub(super) &'static str);

impl Kind for File {
    type Value = PathBuf;
    fn read(&self, text: &str) -> Result<PathBuf, Invalid> {
        if text.is_empty() { Err(Invalid::Form) } else { Ok(PathBuf::from(text)) }
    }
    fn show(&self, value: &PathBuf) -> Option<Shown> {
        shown(&value.display())
    }
    fn form(&self) -> Form {
        form("FILE", self.0)
    }
}

/// A URL, perhaps with credentials and keys, and an example.
pub(super) struct Url(pub(super) &'static str);

impl Kind for Url {
    type Value = BaseUrl;
    fn read(&self, text: &str) -> Result<BaseUrl, Invalid> {
        Ok(BaseUrl::parse(text)?)
    }
    fn show(&self, value: &BaseUrl) -> Option<Shown> {
        Some(Shown { text: value.redacted(), redacted: value.has_secrets() })
    }
    fn form(&self) -> Form {
        let expected = format!("a URL that begins with http:// or https://, such as {}", self.0);
        Form { redact: BaseUrl::redacted_text, ..form("URL", expected) }
    }
}

/// A token that a header takes as it is, if it is set.
pub(super) struct Token;

impl Kind for Token {
    type Value = Option<Secret>;
    fn read(&self, text: &str) -> Result<Self::Value, Invalid> {
        let plain = TOKEN.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if plain { Ok(Some(Secret::from(text))) } else { Err(Invalid::Form) }
    }
    fn show(&self, value: &Self::Value) -> Option<Shown> {
        value.as_ref().map(|_| Shown { text: REDACTED.to_owned(), redacted: true })
    }
    fn form(&self) -> Form {
        let (from, to) = (TOKEN.start(), TOKEN.end());
        let expected = format!("a text of {from} to {to} visible ASCII characters without spaces");
        Form { redact: |_| REDACTED.to_owned(), ..numeric("TOKEN", expected) }
    }
    fn unset(&self) -> Option<Self::Value> {
        Some(None)
    }
}

/// A whole number in a range.
pub(super) struct Whole<T> {
    pub(super) unit: &'static str,
    pub(super) from: T,
    pub(super) to: T,
    pub(super) such_as: &'static str,
}

impl<T: FromStr + PartialOrd + Display> Kind for Whole<T> {
    type Value = T;
    fn read(&self, text: &str) -> Result<T, Invalid> {
        let number = text.parse().ok();
        number.filter(|number| (&self.from..=&self.to).contains(&number)).ok_or(Invalid::Form)
    }
    fn show(&self, value: &T) -> Option<Shown> {
        shown(value)
    }
    fn form(&self) -> Form {
        let Self { unit, from, to, such_as } = self;
        numeric(unit, format!("a whole number from {from} to {to}, such as {such_as}"))
    }
}

/// The number of probes; 0 is none.
pub(super) struct Probes;

impl Kind for Probes {
    type Value = Option<u32>;
    fn read(&self, text: &str) -> Result<Self::Value, Invalid> {
        let probes = text.parse().ok().filter(|probes| *probes <= MOST_PROBES);
        probes.map(|probes| (probes > 0).then_some(probes)).ok_or(Invalid::Form)
    }
    fn show(&self, value: &Self::Value) -> Option<Shown> {
        shown(&value.unwrap_or(0))
    }
    fn form(&self) -> Form {
        let expected = format!("a whole number from 0 (no probing) to {MOST_PROBES}, such as 3");
        numeric("CALLS", expected)
    }
}

/// A share below 1, and what any one of exceeds 0.
pub(super) struct Share(pub(super) &'static str);

impl Kind for Share {
    type Value = Ratio;
    fn read(&self, text: &str) -> Result<Ratio, Invalid> {
        match text.parse::<Ratio>()? {
            Ratio::ONE => Err(Invalid::One),
            ratio if ratio.numerator() > ratio.denominator() => Err(Invalid::AboveOne),
            ratio => Ok(ratio),
        }
    }
    fn show(&self, value: &Ratio) -> Option<Shown> {
        shown(value)
    }
    fn form(&self) -> Form {
        let expected = format!(
            "a share from 0 (any {} exceeds it) to below 1 (which nothing could exceed), \
             such as 0.5, 1/3 or 50%",
            self.0
        );
        numeric("SHARE", expected)
    }
}

/// A number of calls, or a share.
pub(super) struct Stalled;

impl Kind for Stalled {
    type Value = StallLimit;
    fn read(&self, text: &str) -> Result<StallLimit, Invalid> {
        match text.parse() {
            Ok(calls) if calls >= 1 => Ok(StallLimit::Calls(calls)),
            _ => Share("").read(text).map(StallLimit::Share),
        }
    }
    fn show(&self, value: &StallLimit) -> Option<Shown> {
        match value {
            StallLimit::Calls(calls) => shown(calls),
            StallLimit::Share(share) => shown(share),
        }
    }
    fn form(&self) -> Form {
        let expected = "a number of calls from 1, such as 20, or a share below 1 (which nothing \
                        could exceed), such as 0.5, 1/3 or 50%";
        numeric("CALLS|SHARE", expected)
    }
}

/// A duration.
pub(super) struct Time {
    pub(super) from: Duration,
    /// The upper limit in words; [`LONGEST`] holds in any case.
    pub(super) to: &'static str,
    pub(super) such_as: &'static str,
}

/// A duration from so many milliseconds on.
pub(super) const fn time(from: u64) -> Time {
    Time { from: Duration::from_millis(from), to: "to 30days", such_as: "500ms, 60s or 5m" }
}

impl Kind for Time {
    type Value = Duration;
    fn read(&self, text: &str) -> Result<Duration, Invalid> {
        let time = humantime::parse_duration(text)?;
        if (self.from..=LONGEST).contains(&time) { Ok(time) } else { Err(Invalid::Form) }
    }
    fn show(&self, value: &Duration) -> Option<Shown> {
        shown(&format_duration(*value))
    }
    fn form(&self) -> Form {
        let Self { from, to, such_as } = self;
        let from = format_duration(*from);
        let expected = format!("a duration with its unit, from {from} {to}, such as {such_as}");
        numeric("DURATION", expected)
    }
}

/// A size in bytes with a binary unit.
pub(super) struct Size;

impl Kind for Size {
    type Value = u64;
    fn read(&self, text: &str) -> Result<u64, Invalid> {
        let parsed = UNITS.into_iter().find_map(|(unit, shift)| {
            let count: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            count.checked_mul(1 << shift)
        });
        parsed.filter(|bytes| (1 << 10..=1 << 40).contains(bytes)).ok_or(Invalid::Form)
    }
    fn show(&self, value: &u64) -> Option<Shown> {
        let (unit, shift) = UNITS[usize::from(value.is_multiple_of(1 << 20))];
        shown(&format!("{}{unit}", value >> shift))
    }
    fn form(&self) -> Form {
        numeric("SIZE", "a size with its unit, from 1KiB to 1024GiB, such as 64MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_binary_unit() {
        for (text, bytes) in [("1KiB", 1 << 10), ("64MiB", 64 << 20), ("2 GiB", 2 << 30)] {
            assert_eq!(Optional(Size).read(text).ok(), Some(Some(bytes)), "{text}");
        }
        assert_eq!(Optional(Size).read("off").ok(), Some(None));
        for text in ["", "64", "64MB", "0MiB", "-1MiB", "1.5MiB", "MiB", "99999999999GiB"] {
            assert!(Optional(Size).read(text).is_err(), "{text}");
        }
    }
}
