//! The configuration of the server: flags before environment before file before defaults.
//!
//! Every setting is a text until all sources are laid over one another; then each is read once,
//! by the same rule wherever it came from, and an error says where that was. The environment is a
//! parameter, so that a test has its own.

mod capacity;
mod error;
mod file;
mod setting;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::providers::{BaseUrl, DEFAULT_DEADLINE, PremiumRange};

pub use capacity::{Capacity, Durability};
pub use error::ConfigError;
pub use failover::{Ratio, RatioError};
pub use setting::{Origin, Setting};

/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "VALUATION_CONFIG";

/// The longest duration that a setting takes: far from the range of any clock.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const SHORTEST: Duration = Duration::from_millis(1);
/// The shortest window: its ten buckets take at least 1 ms each.
const SHORTEST_WINDOW: Duration = Duration::from_millis(10);
/// The most calls that probe at once: what the failover takes.
const MOST_PROBES: u32 = 1_000;

/// All that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens. Default: 127.0.0.1:3000.
    pub listen: SocketAddr,
    /// The database's file. Default: `valuations.sqlite`.
    pub database: PathBuf,
    /// Where SuperCar is reached.
    pub supercar_url: BaseUrl,
    /// Where Premium is reached.
    pub premium_url: BaseUrl,
    /// The share of failing calls that must be exceeded, below 1. At 0 any failure exceeds it.
    /// Default: 1/2.
    pub failure_rate: Ratio,
    /// The number of calls below which nothing is concluded; at least 1. Default: 10.
    pub min_calls: u32,
    /// How far back calls are counted. Default: 60 s.
    pub window: Duration,
    /// How long calls go to the fallback. Default: 5 min.
    pub revert_after: Duration,
    /// The deadline of a whole call to a provider. Default: 5 s.
    pub provider_timeout: Duration,
    /// Whether a single failed call is given to the other provider. Default: on.
    pub rescue: bool,
    /// Which of Premium's two pairs of values is taken. Default: private sale.
    pub premium_range: PremiumRange,
    /// How many calls at once probe SuperCar when its time on the fallback is over; `None` where
    /// all calls return. Default: none.
    pub probes: Option<u32>,
    /// How long until all calls have returned; `None` where they return at once. Default: none.
    pub gradual_return: Option<Duration>,
    /// The time beyond which a call to SuperCar is slow, below the deadline; `None` where none is.
    /// Default: none.
    pub slow_call: Option<Duration>,
    /// The share of slow calls that must be exceeded, below 1. Means nothing without `slow_call`.
    /// Default: 1/2.
    pub slow_rate: Ratio,
    /// Whether SuperCar's `Retry-After` says how long calls go to the fallback. Default: off.
    pub follow_retry_after: bool,
    /// How much the server takes on, and how well it keeps it.
    pub capacity: Capacity,
    /// Where each value came from; a setting that is not in it has its default.
    origins: BTreeMap<Setting, Origin>,
}

/// A setting's value as it was given.
#[derive(Clone, Debug)]
struct Given {
    text: String,
    origin: Origin,
}

/// The environment: a variable's value by its name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Config {
    /// Reads the configuration.
    ///
    /// `file` is the file that a flag named; without it, the one that [`FILE_VARIABLE`] names is
    /// read, and without that none. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong.
    pub fn load(
        flags: &BTreeMap<Setting, String>,
        file: Option<&Path>,
        environment: Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let file = file.map(Path::to_owned).or_else(|| variable(FILE_VARIABLE).map(PathBuf::from));
        let mut given = file.as_deref().map(file::read).transpose()?.unwrap_or_default();
        for setting in Setting::ALL {
            if let Some(value) = variable(&setting.variable()) {
                let origin = Origin::Environment;
                let text = value.into_string().map_err(|value| {
                    let because = "it is not Unicode".to_owned();
                    refused(setting, &origin, &value.to_string_lossy(), because)
                })?;
                given.insert(setting, Given { text, origin });
            }
        }
        for (&setting, text) in flags {
            given.insert(setting, Given { text: text.clone(), origin: Origin::Flag });
        }
        let urls = [Setting::SupercarUrl, Setting::PremiumUrl];
        let missing = || urls.into_iter().filter(|url| !given.contains_key(url)).collect();
        let url = |setting| {
            value(&given, setting, |text| BaseUrl::parse(text).map_err(|e| e.to_string()))?
                .ok_or_else(|| ConfigError::Missing(missing()))
        };
        let (supercar_url, premium_url) = (url(Setting::SupercarUrl)?, url(Setting::PremiumUrl)?);
        let database = value(&given, Setting::Database, database)?
            .unwrap_or_else(|| PathBuf::from("valuations.sqlite"));
        Self::read(&given, database, supercar_url, premium_url)
    }

    /// The configuration from flags alone, around a database and providers that are there already.
    ///
    /// # Errors
    /// [`ConfigError`] names the first flag that is wrong.
    pub fn with_providers(
        flags: &BTreeMap<Setting, String>,
        database: &Path,
        supercar_url: BaseUrl,
        premium_url: BaseUrl,
    ) -> Result<Self, ConfigError> {
        let given = flags
            .iter()
            .map(|(s, text)| (*s, Given { text: text.clone(), origin: Origin::Flag }))
            .collect();
        Self::read(&given, database.to_owned(), supercar_url, premium_url)
    }

    /// Where the value of `setting` came from.
    #[must_use]
    pub fn origin(&self, setting: Setting) -> &Origin {
        self.origins.get(&setting).unwrap_or(&Origin::Default)
    }

    fn read(
        given: &BTreeMap<Setting, Given>,
        database: PathBuf,
        supercar_url: BaseUrl,
        premium_url: BaseUrl,
    ) -> Result<Self, ConfigError> {
        let duration = |setting, default| {
            value(given, setting, duration).map(|given| given.unwrap_or(default))
        };
        let provider_timeout = duration(Setting::ProviderTimeout, DEFAULT_DEADLINE)?;
        let slow_call = |text: &str| slow_call(text, provider_timeout);
        Ok(Self {
            database,
            supercar_url,
            premium_url,
            listen: value(given, Setting::Listen, |text| text.parse().map_err(unexplained))?
                .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 3000))),
            failure_rate: value(given, Setting::FailureRate, below_one)?.unwrap_or(Ratio::HALF),
            min_calls: value(given, Setting::MinCalls, min_calls)?.unwrap_or(10),
            window: value(given, Setting::Window, window)?.unwrap_or(Duration::from_secs(60)),
            revert_after: duration(Setting::RevertAfter, Duration::from_secs(300))?,
            provider_timeout,
            rescue: value(given, Setting::Rescue, on_or_off)?.unwrap_or(true),
            premium_range: value(given, Setting::PremiumRange, premium_range)?.unwrap_or_default(),
            probes: value(given, Setting::Probes, probes)?.flatten(),
            gradual_return: value(given, Setting::GradualReturn, duration_or_off)?.flatten(),
            slow_call: value(given, Setting::SlowCall, slow_call)?.flatten(),
            slow_rate: value(given, Setting::SlowRate, below_one)?.unwrap_or(Ratio::HALF),
            follow_retry_after: value(given, Setting::FollowRetryAfter, on_or_off)?
                .unwrap_or(false),
            capacity: Capacity::read(given)?,
            origins: given.iter().map(|(s, given)| (*s, given.origin.clone())).collect(),
        })
    }
}

/// Reads one value by its rule, which explains a refusal or leaves it at the empty text.
fn value<T>(
    given: &BTreeMap<Setting, Given>,
    setting: Setting,
    rule: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let Some(given) = given.get(&setting) else { return Ok(None) };
    rule(&given.text)
        .map(Some)
        .map_err(|because| refused(setting, &given.origin, &given.text, because))
}

fn refused(setting: Setting, origin: &Origin, text: &str, because: String) -> ConfigError {
    ConfigError::Value {
        setting,
        place: origin.place(setting),
        value: match setting {
            Setting::SupercarUrl | Setting::PremiumUrl => BaseUrl::redacted_text(text),
            _ => text.to_owned(),
        },
        expected: setting.expected(),
        because: if because.is_empty() { because } else { format!(": {because}") },
    }
}

/// A refusal to which what is expected says enough.
fn unexplained<E>(_: E) -> String {
    String::new()
}

fn database(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err(String::new()) } else { Ok(PathBuf::from(text)) }
}

fn below_one(text: &str) -> Result<Ratio, String> {
    match text.parse::<Ratio>() {
        Ok(Ratio::ONE) => Err("nothing exceeds 1".to_owned()),
        Ok(ratio) if ratio.numerator() > ratio.denominator() => Err("it is above 1".to_owned()),
        other => other.map_err(|error| error.to_string()),
    }
}

fn min_calls(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|calls| *calls >= 1).ok_or_else(String::new)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (SHORTEST..=LONGEST).contains(&duration) { Ok(duration) } else { Err(String::new()) }
}

fn duration_or_off(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" { Ok(None) } else { duration(text).map(Some) }
}

/// No call is seen to take longer than the deadline, so a time from there on would never be met.
fn slow_call(text: &str, provider_timeout: Duration) -> Result<Option<Duration>, String> {
    let slow_call = duration_or_off(text)?;
    if slow_call.is_some_and(|time| time >= provider_timeout) {
        let deadline = humantime::format_duration(provider_timeout);
        return Err(format!("calls end after {deadline}"));
    }
    Ok(slow_call)
}

fn probes(text: &str) -> Result<Option<u32>, String> {
    let probes: u32 =
        text.parse().ok().filter(|probes| *probes <= MOST_PROBES).ok_or_else(String::new)?;
    Ok((probes > 0).then_some(probes))
}

fn window(text: &str) -> Result<Duration, String> {
    duration(text).and_then(
        |window| {
            if window >= SHORTEST_WINDOW { Ok(window) } else { Err(String::new()) }
        },
    )
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(String::new()),
    }
}

fn premium_range(text: &str) -> Result<PremiumRange, String> {
    match text {
        "private-sale" => Ok(PremiumRange::PrivateSale),
        "dealership" => Ok(PremiumRange::Dealership),
        _ => Err(String::new()),
    }
}
