//! Single values for serde: durations as text such as `1m 30s`, and numbers by their exact text.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A text or a number, as its text. A float's is the shortest that gives the same float, so `0.4`
/// is four tenths exactly.
pub(crate) struct Scalar(String);

impl Scalar {
    /// # Errors
    /// The error of `T`, after the text.
    pub(crate) fn parse<T: FromStr<Err: fmt::Display>, E: Error>(&self) -> Result<T, E> {
        self.0.parse().map_err(|error| E::custom(format_args!("{:?}: {error}", self.0)))
    }

    pub(crate) fn is(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl Visitor<'_> for Texts {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            /// Not by way of `f64`, in which 0.4 of an `f32` has more digits.
            fn visit_f32<E: Error>(self, number: f32) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// A whole number. Above 2^63 − 1, which TOML's integers end with, it is written as text.
pub(crate) struct Whole(pub(crate) u64);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(number) => number.serialize(serializer),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        let refused = |_| {
            let range = format_args!("{text:?} is no whole number from 0 to {}", u64::MAX);
            D::Error::custom(range)
        };
        text.parse().map(Self).map_err(refused)
    }
}

/// A duration as text, to the nanosecond.
pub(crate) struct Time(pub(crate) Duration);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        time::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        time::deserialize(deserializer).map(Self)
    }
}

/// For `#[serde(with)]` on a duration.
pub(crate) mod time {
    use super::{Deserializer, Duration, Error, Serializer, Visitor, fmt};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        struct Times;
        impl Visitor<'_> for Times {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration as text, such as \"5m\", \"1m 30s\" or \"250ms\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
                humantime::parse_duration(text).map_err(|error| {
                    E::custom(format_args!(
                        "{text:?} is no duration such as \"5m\", \"1m 30s\" or \"250ms\": {error}"
                    ))
                })
            }
        }
        from.deserialize_str(Times)
    }
}

/// For `#[serde(with)]` on an optional duration.
pub(crate) mod optional_time {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Time};

    #[expect(clippy::ref_option, reason = "serde asks for it")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Time).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Time>::deserialize(from)?.map(|Time(time)| time))
    }
}

/// A time of the wall clock, to the nanosecond, as a text of RFC 3339 in UTC.
pub(crate) mod moment {
    use std::time::SystemTime;

    use serde::de::{Deserializer, Error};
    use serde::ser::Serializer;

    use super::{Deserialize, Scalar};

    pub(crate) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(|_| {
            D::Error::custom(format_args!(
                "{text:?} is no time: it must be like 2026-11-30T12:00:00Z"
            ))
        })
    }
}

/// The time of an event that has none.
pub(crate) fn unknown_moment() -> SystemTime {
    SystemTime::UNIX_EPOCH
}
