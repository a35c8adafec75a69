//! Single values for serde: durations as text such as `1m 30s`, and numbers by their exact text.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// The key of a number's text in the table that `serde_json` makes of a number with its feature
/// `arbitrary_precision`, which any crate of a program may enable for all.
const NUMBER: &str = "$serde_json::private::Number";

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
        impl<'de> Visitor<'de> for Texts {
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
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                if map.next_key::<String>()?.as_deref() != Some(NUMBER) {
                    return Err(A::Error::invalid_type(Unexpected::Map, &self));
                }
                let text: String = map.next_value()?;
                match text.parse::<f64>() {
                    Ok(number) if text.contains(['.', 'e', 'E']) => self.visit_f64(number),
                    _ => Ok(Scalar(text)),
                }
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
        whole(deserializer, u64::MAX).map(Self)
    }
}

/// A whole number of 32 bits.
pub(crate) struct Count(pub(crate) u32);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(deserializer, u32::MAX).map(Self)
    }
}

/// A whole number up to the largest of its type, as a number or a text.
fn whole<'de, T: FromStr + fmt::Display + Copy, D: Deserializer<'de>>(
    deserializer: D,
    most: T,
) -> Result<T, D::Error> {
    let Scalar(text) = Scalar::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom(format_args!("{text:?} is no whole number from 0 to {most}")))
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

/// A duration as it is written, to the nanosecond. Its longest unit is the day: months and years have no
/// fixed length.
pub(crate) struct Written(pub(crate) Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 60 * 60;
        let Self(time) = self;
        let (days, rest) = (time.as_secs() / DAY, time.as_secs() % DAY);
        let rest = Duration::new(rest, time.subsec_nanos());
        match days {
            0 => return humantime::format_duration(rest).fmt(f),
            1 => f.write_str("1day")?,
            _ => write!(f, "{days}days")?,
        }
        if rest.is_zero() { Ok(()) } else { write!(f, " {}", humantime::format_duration(rest)) }
    }
}

/// The first unit of a text that has no fixed length, as written.
fn month_or_year(text: &str) -> Option<&str> {
    let mut units = text.split(|c: char| !c.is_ascii_alphabetic());
    units.find(|unit| {
        matches!(*unit, "M" | "month" | "months" | "y" | "yr" | "yrs" | "year" | "years")
    })
}

/// For `#[serde(with)]` on a duration.
pub(crate) mod time {
    use super::{Deserializer, Duration, Error, Serializer, Visitor, Written, fmt, month_or_year};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Written(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        struct Times;
        impl Visitor<'_> for Times {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration as text, such as \"5m\", \"1m 30s\" or \"250ms\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
                if let Some(unit) = month_or_year(text) {
                    return Err(E::custom(format_args!(
                        "{text:?} has the unit `{unit}`, and months and years have no fixed length: \
                         write `m` for minutes, `days` for days"
                    )));
                }
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
