//! A policy as data: tables whose fields have the names of the builder's methods.
//!
//! A written policy states every setting that is on, defaults as well: it means the same if a later
//! version has other defaults.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::sync::OnceLock;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Backoff, Jitter, Policy, PolicyError, Probing, RetryAfter, SlowCalls, StallLimit};
use crate::ratio::Ratio;
use crate::text::scalar::{Count, Scalar, Time, Whole};

/// Tables of optional fields: the path before their names, the fields with one value, and those that are
/// tables. An unknown field is refused by its name, and an invalid value by its path; serde's derive
/// names unknown fields alone.
macro_rules! tables {
    ($($name:ident $path:literal
        { $($field:ident: $type:ty),* $(,)? } [$($table:ident: $rows:ty),* $(,)?])*) =>
    {$(
        #[derive(Default, serde::Serialize)]
        pub(super) struct $name {
            $(#[serde(skip_serializing_if = "Option::is_none")] $field: Option<$type>,)*
            $(#[serde(skip_serializing_if = "Option::is_none")] $table: Option<$rows>,)*
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const FIELDS: &[&str] = &[$(stringify!($field),)* $(stringify!($table),)*];
                struct Table;
                impl<'de> Visitor<'de> for Table {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        let fields = FIELDS.join(", ");
                        match $path {
                            "" => write!(f, "a table of {fields}"),
                            path => write!(f, "`{path}` to be a table of {fields}"),
                        }
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut read = $name::default();
                        while let Some(name) = map.next_key_seed(Name($path, FIELDS))? {
                            $(if name == stringify!($field) {
                                once(&read.$field, name)?;
                                read.$field = map.next_value_seed(Value($path, name, PhantomData))?;
                            })*
                            $(if name == stringify!($table) {
                                once(&read.$table, name)?;
                                read.$table = map.next_value()?;
                            })*
                        }
                        Ok(read)
                    }
                }
                deserializer.deserialize_struct(stringify!($name), FIELDS, Table)
            }
        }
    )*};
}

tables! {
    PolicyText "" {
        failure_rate: Rate,
        minimum_calls: Whole,
        last_calls: Count,
        consecutive_failures: Count,
        dropped_after: Time,
        dry_run: bool,
        revert_after: Time,
    } [
        window: WindowText,
        slow_calls: SlowText,
        stalled_calls: StalledText,
        probing: ProbingText,
        ramp_up: RampText,
        backoff: BackoffText,
        jitter: JitterText,
        retry_after: RetryAfterText,
    ]
    WindowText "window" { length: Time, buckets: Count } []
    SlowText "slow_calls" { longer_than: Time, more_than: Ratio, minimum_calls: Whole } []
    StalledText "stalled_calls" { after: Time, calls: Whole, share: Ratio } []
    ProbingText "probing" { max_in_flight: Count, successes: Count, failures: Count, lease: Time } []
    RampText "ramp_up" { first: Ratio, over: Time } []
    BackoffText "backoff" { factor: Ratio, max: Time, reset_after: Time } []
    JitterText "jitter" { up_to: Ratio, seed: Whole } []
    RetryAfterText "retry_after" { min: Time, max: Time } []
}

fn once<T, E: Error>(read: &Option<T>, name: &'static str) -> Result<(), E> {
    if read.is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

/// An error about a table or, with a name, about its field.
fn about<E: Error>(table: &str, name: &str, error: &E) -> E {
    // An error of `toml` ends with a line feed.
    let error = error.to_string();
    let error = error.trim_end();
    match (table, name) {
        ("", "") => E::custom(error),
        ("", path) | (path, "") => E::custom(format_args!("{path}: {error}")),
        _ => E::custom(format_args!("{table}.{name}: {error}")),
    }
}

/// The name of a field, out of those of a table.
struct Name(&'static str, &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = &'static str;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = &'static str;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<&'static str, E> {
        let Self(table, fields) = self;
        let known = fields.iter().find(|name| **name == text);
        known.copied().ok_or_else(|| about(table, "", &E::unknown_field(text, fields)))
    }
}

/// The value of a field of a table.
struct Value<T>(&'static str, &'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Value<T> {
    type Value = Option<T>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        let Self(table, name, _) = self;
        Option::<T>::deserialize(deserializer).map_err(|error| about(table, name, &error))
    }
}

/// A failure rate, or the word for none.
enum Rate {
    Off,
    Exceeds(Ratio),
}

const OFF: &str = "off";

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str(OFF),
            Self::Exceeds(rate) => rate.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let scalar = Scalar::deserialize(deserializer)?;
        if scalar.is(OFF) { Ok(Self::Off) } else { scalar.parse().map(Self::Exceeds) }
    }
}

impl From<Policy> for PolicyText {
    fn from(policy: Policy) -> Self {
        let by_time = policy.last_calls().is_none();
        let window = WindowText {
            length: Some(Time(policy.window())),
            buckets: Some(Count(policy.buckets())),
        };
        Self {
            failure_rate: Some(policy.failure_rate().map_or(Rate::Off, Rate::Exceeds)),
            minimum_calls: Some(Whole(policy.minimum_calls())),
            window: by_time.then_some(window),
            last_calls: policy.last_calls().map(Count),
            consecutive_failures: policy.consecutive_failures().map(Count),
            slow_calls: policy.slow_calls().map(Into::into),
            stalled_calls: policy.stalled_calls().map(Into::into),
            dropped_after: policy.dropped_after().map(Time),
            dry_run: policy.is_dry_run().then_some(true),
            revert_after: Some(Time(policy.revert_after())),
            probing: policy.probing().map(Into::into),
            ramp_up: policy
                .ramp_up()
                .map(|(first, over)| RampText { first: Some(first), over: Some(Time(over)) }),
            backoff: policy.backoff().map(Into::into),
            jitter: policy.jitter().map(|Jitter { up_to, seed }| JitterText {
                up_to: Some(up_to),
                seed: Some(Whole(seed)),
            }),
            retry_after: policy.retry_after().map(|RetryAfter { min, max }| RetryAfterText {
                min: Some(Time(min)),
                max: Some(Time(max)),
            }),
        }
    }
}

impl From<SlowCalls> for SlowText {
    fn from(slow: SlowCalls) -> Self {
        Self {
            longer_than: Some(Time(slow.longer_than)),
            more_than: Some(slow.more_than),
            minimum_calls: slow.minimum_calls.map(Whole),
        }
    }
}

impl From<(std::time::Duration, StallLimit)> for StalledText {
    fn from((after, limit): (std::time::Duration, StallLimit)) -> Self {
        let (calls, share) = match limit {
            StallLimit::Calls(calls) => (Some(Whole(calls)), None),
            StallLimit::Share(share) => (None, Some(share)),
        };
        Self { after: Some(Time(after)), calls, share }
    }
}

impl From<Probing> for ProbingText {
    fn from(Probing { max_in_flight, successes, failures, lease }: Probing) -> Self {
        Self {
            max_in_flight: Some(Count(max_in_flight)),
            successes: Some(Count(successes)),
            failures: Some(Count(failures)),
            lease: Some(Time(lease)),
        }
    }
}

impl From<Backoff> for BackoffText {
    fn from(Backoff { factor, max, reset_after }: Backoff) -> Self {
        Self { factor: Some(factor), max: Some(Time(max)), reset_after: Some(Time(reset_after)) }
    }
}

impl TryFrom<PolicyText> for Policy {
    type Error = Refused;

    fn try_from(text: PolicyText) -> Result<Self, Refused> {
        let mut builder = Policy::builder();
        let plain = Self::default();
        match text.failure_rate {
            Some(Rate::Off) => builder = builder.without_failure_rate(),
            Some(Rate::Exceeds(rate)) => builder = builder.failure_rate(rate),
            None => {}
        }
        if let Some(Whole(calls)) = text.minimum_calls {
            builder = builder.minimum_calls(calls);
        }
        match (text.window, text.last_calls) {
            (Some(_), Some(_)) => return Err(Refused::TwoWindows),
            (Some(WindowText { length, buckets }), None) => {
                let length = length.map_or(plain.window, |Time(length)| length);
                let buckets = buckets.map_or(plain.buckets, |Count(buckets)| buckets);
                builder = builder.window(length, buckets);
            }
            (None, Some(Count(calls))) => builder = builder.last_calls(calls),
            (None, None) => {}
        }
        if let Some(Count(failures)) = text.consecutive_failures {
            builder = builder.consecutive_failures(failures);
        }
        if let Some(slow) = text.slow_calls {
            builder = builder.slow_calls(slow.try_into()?);
        }
        if let Some(StalledText { after, calls, share }) = text.stalled_calls {
            let Time(after) = after.ok_or(Refused::Missing("stalled_calls", "after"))?;
            let limit = match (calls, share) {
                (Some(Whole(calls)), None) => StallLimit::Calls(calls),
                (None, Some(share)) => StallLimit::Share(share),
                _ => return Err(Refused::StallLimit),
            };
            builder = builder.stalled_calls(after, limit);
        }
        if let Some(Time(after)) = text.dropped_after {
            builder = builder.dropped_after(after);
        }
        if text.dry_run == Some(true) {
            builder = builder.dry_run();
        }
        let revert_after = text.revert_after.map_or(plain.revert_after, |Time(after)| after);
        builder = builder.revert_after(revert_after);
        if let Some(probing) = text.probing {
            builder = builder.probing(probing.try_into()?);
        }
        if let Some(RampText { first, over }) = text.ramp_up {
            let first = first.ok_or(Refused::Missing("ramp_up", "first"))?;
            let Time(over) = over.ok_or(Refused::Missing("ramp_up", "over"))?;
            builder = builder.ramp_up(first, over);
        }
        if let Some(BackoffText { factor, max, reset_after }) = text.backoff {
            let backoff = Backoff::new(factor.ok_or(Refused::Missing("backoff", "factor"))?);
            // The default gives way to a longer `revert_after`: nobody wrote it.
            let max = max.map_or(backoff.max.max(revert_after), |Time(max)| max);
            let reset_after = reset_after.map_or(backoff.reset_after, |Time(time)| time);
            builder = builder.backoff(backoff.max(max).reset_after(reset_after));
        }
        if let Some(JitterText { up_to, seed }) = text.jitter {
            let up_to = up_to.ok_or(Refused::Missing("jitter", "up_to"))?;
            builder = builder.jitter(up_to, seed.map_or_else(seed_of_process, |Whole(seed)| seed));
        }
        if let Some(RetryAfterText { min, max }) = text.retry_after {
            let Time(min) = min.ok_or(Refused::Missing("retry_after", "min"))?;
            let Time(max) = max.ok_or(Refused::Missing("retry_after", "max"))?;
            builder = builder.retry_after(RetryAfter::between(min, max));
        }
        builder.build().map_err(Refused::Policy)
    }
}

impl TryFrom<SlowText> for SlowCalls {
    type Error = Refused;
    fn try_from(text: SlowText) -> Result<Self, Refused> {
        let Time(time) = text.longer_than.ok_or(Refused::Missing("slow_calls", "longer_than"))?;
        let mut slow = Self::longer_than(time);
        slow.more_than = text.more_than.unwrap_or(slow.more_than);
        slow.minimum_calls = text.minimum_calls.map(|Whole(calls)| calls);
        Ok(slow)
    }
}

impl TryFrom<ProbingText> for Probing {
    type Error = Refused;
    fn try_from(text: ProbingText) -> Result<Self, Refused> {
        let missing = Refused::Missing("probing", "max_in_flight");
        let Count(max_in_flight) = text.max_in_flight.ok_or(missing)?;
        let plain = Self::new(max_in_flight);
        Ok(plain
            .successes(text.successes.map_or(plain.successes, |Count(count)| count))
            .failures(text.failures.map_or(plain.failures, |Count(count)| count))
            .lease(text.lease.map_or(plain.lease, |Time(lease)| lease)))
    }
}

/// Random, since processes that read one file must not return at once; and the same for a whole
/// process, so that an unchanged file is an unchanged policy.
fn seed_of_process() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().hash_one("jitter"))
}

/// Why tables whose values can all be read are no policy.
#[derive(Debug)]
pub(super) enum Refused {
    Policy(PolicyError),
    /// A table and the field that it lacks.
    Missing(&'static str, &'static str),
    TwoWindows,
    StallLimit,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Missing(table, field) => write!(f, "{table}: missing field `{field}`"),
            Self::TwoWindows => f.write_str("`window` and `last_calls` can't both be given"),
            Self::StallLimit => {
                f.write_str("stalled_calls: exactly one of `calls` and `share` must be given")
            }
        }
    }
}
