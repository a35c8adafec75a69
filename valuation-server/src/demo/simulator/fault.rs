//! What is wrong with a simulated provider.

use std::fmt;

use crate::config::{Ratio, RatioError};

/// What befalls a call.
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
    /// It is answered with 200 and a text that is no valuation.
    Garbage,
    /// It is answered late.
    Slow,
}

/// A mode, and the share of the calls that it befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    mode: Mode,
    share: Ratio,
    /// The seconds that answers with a status ask to be waited.
    retry_after: Option<u32>,
}

/// Why a text is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No such mode.
    #[error(
        "no mode {0:?}; there are ok, hang, reset, garbage, slow and statuses such as 500, 503, \
         429, 404"
    )]
    Mode(String),
    /// No share.
    #[error("no rate {text:?}: {source}")]
    Rate {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: RatioError,
    },
    /// A share of more than all calls.
    #[error("no rate {0:?}: it is above 1")]
    AboveOne(String),
    /// Another parameter.
    #[error("no parameter {0:?}; there are mode, rate and retry-after")]
    Parameter(String),
    /// No number of seconds.
    #[error("no retry-after {0:?}: it must be whole seconds, such as 7")]
    RetryAfter(String),
    /// Nothing was given.
    #[error("a mode or a rate is needed, such as /fault?mode=500 or /fault?rate=0.5")]
    Nothing,
}

impl Fault {
    /// Nothing is wrong.
    pub const NONE: Self = Self::always(Mode::Ok);

    /// Every call is befallen.
    #[must_use]
    pub const fn always(mode: Mode) -> Self {
        Self { mode, share: Ratio::ONE, retry_after: None }
    }

    /// An exact share of the calls is befallen, evenly spread: of any stretch of calls that the
    /// share divides, just that share.
    #[must_use]
    pub const fn share(mode: Mode, share: Ratio) -> Self {
        Self { mode, share, retry_after: None }
    }

    /// The same, with a `Retry-After` of so many seconds in the answers of [`Mode::Status`].
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
            match &*name {
                "mode" => mode = Some(parse_mode(&value)?),
                "rate" => {
                    let parsed = value.parse::<Ratio>().map_err(|source| FaultError::Rate {
                        text: value.clone().into_owned(),
                        source,
                    })?;
                    if parsed.numerator() > parsed.denominator() {
                        return Err(FaultError::AboveOne(value.into_owned()));
                    }
                    share = Some(parsed);
                }
                "retry-after" => {
                    let seconds = value.parse();
                    let wrong = |_| FaultError::RetryAfter(value.into_owned());
                    retry_after = Some(seconds.map_err(wrong)?);
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

    /// What befalls the call that is the `place`th, from 0, since the fault was set.
    pub(super) fn befalls(self, place: u64) -> Mode {
        // The number of befallen calls among the first n is n·share, rounded down; this call is
        // one of them if it makes that number grow.
        let (numerator, denominator) =
            (u128::from(self.share.numerator()), u128::from(self.share.denominator()));
        let befallen = |calls: u128| calls * numerator / denominator;
        let place = u128::from(place);
        if befallen(place + 1) > befallen(place) { self.mode } else { Mode::Ok }
    }

    /// The seconds that the answers of [`Mode::Status`] ask to be waited.
    pub(super) fn seconds(self) -> Option<u32> {
        self.retry_after
    }

    /// The mode.
    #[must_use]
    pub fn mode(self) -> Mode {
        self.mode
    }

    /// The share of the calls that it befalls.
    #[must_use]
    pub fn rate(self) -> Ratio {
        self.share
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Hang => f.write_str("hang"),
            Self::Reset => f.write_str("reset"),
            Self::Garbage => f.write_str("garbage"),
            Self::Slow => f.write_str("slow"),
        }
    }
}

fn parse_mode(text: &str) -> Result<Mode, FaultError> {
    let status = || text.parse().ok().filter(|status| (200..=999).contains(status));
    match text {
        "ok" => Ok(Mode::Ok),
        "hang" => Ok(Mode::Hang),
        "reset" => Ok(Mode::Reset),
        "garbage" => Ok(Mode::Garbage),
        "slow" => Ok(Mode::Slow),
        _ => status().map(Mode::Status).ok_or_else(|| FaultError::Mode(text.to_owned())),
    }
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
    fn befalls_an_exact_share_evenly_spread() {
        for (share, every) in [("1/2", 2), ("1/3", 3), ("99/200", 200), ("0", 1), ("1", 1)] {
            let share: Ratio = share.parse().unwrap();
            let fault = Fault::share(Mode::Reset, share);
            let befallen = |range: std::ops::Range<u64>| {
                range.filter(|n| fault.befalls(*n) != Mode::Ok).count()
            };
            let due = usize::try_from(every * u64::from(share.numerator())).unwrap()
                / share.denominator() as usize;
            for start in 0..every {
                assert_eq!(befallen(start..start + every), due, "{share} from {start}");
            }
        }
        let half = Fault::share(Mode::Reset, "0.5".parse().unwrap());
        assert_eq!(half.befalls(0), Mode::Ok);
        assert_eq!(half.befalls(1), Mode::Reset);
    }
}
