//! What is wrong with a simulated provider.

use std::fmt;

use crate::config::{Ratio, RatioError};

/// What happens to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is answered.
    #[default]
    Ok,
    /// It is answered with this status and no valuation.
    Status(u16),
    /// It is never answered.
    Hang,
    /// Its connection is reset.
    Reset,
    /// It is answered with 200 and a text that is not a valuation.
    Garbage,
    /// It is answered late.
    Slow,
}

/// The modes with a name of their own.
const NAMES: [(&str, Mode); 5] = [
    ("ok", Mode::Ok),
    ("hang", Mode::Hang),
    ("reset", Mode::Reset),
    ("garbage", Mode::Garbage),
    ("slow", Mode::Slow),
];

/// A mode, and the share of the calls that it affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happens to an affected call.
    pub mode: Mode,
    /// The share of the calls that are affected, exact and evenly spread.
    pub share: Ratio,
    /// The `Retry-After`, in seconds, in the answers of [`Mode::Status`].
    pub retry_after: Option<u32>,
}

/// Why a text is not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// There is no such mode.
    #[error(
        "no mode {0:?}; there are ok, hang, reset, garbage, slow and statuses such as 500, 503, \
         429, 404"
    )]
    Mode(String),
    /// Not a share.
    #[error("no rate {0:?}: {1}")]
    Rate(String, RatioError),
    /// A share of more than all calls.
    #[error("no rate {0:?}: it is above 1")]
    AboveOne(String),
    /// Another parameter.
    #[error("no parameter {0:?}; there are mode, rate and retry-after")]
    Parameter(String),
    /// Not a number of seconds.
    #[error("no retry-after {0:?}: it must be whole seconds, such as 7")]
    RetryAfter(String),
    /// Neither a mode nor a rate is given.
    #[error("a mode or a rate is needed, such as /fault?mode=500 or /fault?rate=0.5")]
    Nothing,
}

impl Fault {
    /// Every call is answered.
    pub const NONE: Self = Self::always(Mode::Ok);

    /// Every call is affected.
    #[must_use]
    pub const fn always(mode: Mode) -> Self {
        Self::share(mode, Ratio::ONE)
    }

    /// This share of the calls is affected.
    #[must_use]
    pub const fn share(mode: Mode, share: Ratio) -> Self {
        Self { mode, share, retry_after: None }
    }

    /// The same, with a `Retry-After` of this many seconds.
    #[must_use]
    pub const fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Reads the parameters of a query, such as `mode=503&rate=1/3`.
    ///
    /// # Errors
    /// [`FaultError`] names the parameter that is wrong.
    pub fn parse(query: &str) -> Result<Self, FaultError> {
        let (mut mode, mut share, mut retry_after) = (None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let text = || value.clone().into_owned();
            match &*name {
                "mode" => mode = Some(parse_mode(&value).ok_or_else(|| FaultError::Mode(text()))?),
                "rate" => {
                    let wrong = |error| FaultError::Rate(text(), error);
                    let parsed = value.parse::<Ratio>().map_err(wrong)?;
                    if parsed.numerator() > parsed.denominator() {
                        return Err(FaultError::AboveOne(text()));
                    }
                    share = Some(parsed);
                }
                "retry-after" => {
                    let seconds = value.parse().map_err(|_| FaultError::RetryAfter(text()))?;
                    retry_after = Some(seconds);
                }
                _ => return Err(FaultError::Parameter(name.into_owned())),
            }
        }
        if mode.is_none() && share.is_none() {
            return Err(FaultError::Nothing);
        }
        let (mode, share) = (mode.unwrap_or(Mode::Status(500)), share.unwrap_or(Ratio::ONE));
        Ok(Self { mode, share, retry_after })
    }

    /// What happens to the call with this index, from 0, since the fault was set.
    pub(super) fn mode_of(self, index: u64) -> Mode {
        // Of the first n calls n·share are affected, rounded down. A call is affected if that number
        // rises with it.
        let (numerator, denominator) =
            (u128::from(self.share.numerator()), u128::from(self.share.denominator()));
        let affected = |calls: u128| calls * numerator / denominator;
        let index = u128::from(index);
        if affected(index + 1) > affected(index) { self.mode } else { Mode::Ok }
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, NAMES.iter().find(|(_, mode)| mode == self)) {
            (Self::Status(status), _) => write!(f, "{status}"),
            (_, name) => f.write_str(name.map_or("", |(name, _)| name)),
        }
    }
}

fn parse_mode(text: &str) -> Option<Mode> {
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
    let status = || text.parse().ok().filter(|status| (200..=999).contains(status));
    named.or_else(|| status().map(Mode::Status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_modes_and_rates() {
        let half: Ratio = "0.5".parse().unwrap();
        for (query, expected) in [
            ("mode=ok", Fault::NONE),
            ("mode=500", Fault::always(Mode::Status(500))),
            ("mode=hang", Fault::always(Mode::Hang)),
            ("rate=0.5", Fault::share(Mode::Status(500), half)),
            ("mode=reset&rate=50%25", Fault::share(Mode::Reset, half)),
            ("mode=503&retry-after=7", Fault::always(Mode::Status(503)).retry_after(7)),
        ] {
            assert_eq!(Fault::parse(query), Ok(expected), "{query}");
        }
        for query in [
            "",
            "mode=",
            "mode=50",
            "mode=1000",
            "mode=x",
            "rate=2",
            "rate=",
            "a=b",
            "retry-after=7",
        ] {
            assert!(Fault::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn affects_an_exact_share_evenly_spread() {
        for (share, every) in [("1/2", 2), ("1/3", 3), ("99/200", 200), ("0", 1), ("1", 1)] {
            let share: Ratio = share.parse().unwrap();
            let fault = Fault::share(Mode::Reset, share);
            let affected = |range: std::ops::Range<u64>| {
                range.filter(|n| fault.mode_of(*n) != Mode::Ok).count()
            };
            let due = usize::try_from(every * u64::from(share.numerator())).unwrap()
                / share.denominator() as usize;
            for start in 0..every {
                assert_eq!(affected(start..start + every), due, "{share} from {start}");
            }
        }
        let half = Fault::share(Mode::Reset, "0.5".parse().unwrap());
        assert_eq!(half.mode_of(0), Mode::Ok);
        assert_eq!(half.mode_of(1), Mode::Reset);
    }
}
