//! The configuration of the server: flags before environment before file before defaults.
//!
//! Every setting is a text until all sources are laid over one another; then each is read once,
//! by the same rule wherever it came from, and an error says where that was. The environment is a
//! parameter, so that a test has its own.

mod capacity;
mod environment;
mod error;
mod file;
mod rules;
mod secret;
mod setting;
mod shown;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::providers::{BaseUrl, DEFAULT_DEADLINE, HttpVersion, PremiumRange, Transport};

pub use capacity::{Capacity, Durability};
pub use error::ConfigError;
pub use failover::Ratio;
pub use failover::policy::StallLimit;
pub use failover::ratio::RatioError;
pub use secret::Secret;
pub use setting::{Origin, Setting};

/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "VALUATION_CONFIG";

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
    /// How the providers are connected to. Default: HTTP/1.1, no proxy, the system's trust, no client
    /// certificate.
    pub transport: Transport,
    /// Whether a single failed call is given to the other provider. Default: on.
    pub rescue: bool,
    /// Which of Premium's two pairs of values is taken. Default: private sale.
    pub premium_range: PremiumRange,
    /// How many calls at once probe SuperCar when its time on the fallback is over; `None` where
    /// all calls return. Default: none.
    pub probes: Option<u32>,
    /// How long until all calls have returned; `None` where they return at once. Default: none.
    pub ramp_up: Option<Duration>,
    /// The time beyond which a call to SuperCar is slow, below the deadline; `None` where none is.
    /// Default: none.
    pub slow_call: Option<Duration>,
    /// The share of slow calls that must be exceeded, below 1. Means nothing without `slow_call`.
    /// Default: 1/2.
    pub slow_rate: Ratio,
    /// Whether SuperCar's `Retry-After` says how long calls go to the fallback. Default: off.
    pub follow_retry_after: bool,
    /// The time beyond which a call to a provider is stalled, so far below the deadline that it is
    /// seen before it; `None` if none is. Default: none.
    pub stalled_calls: Option<Duration>,
    /// How many stalled calls are too many. Means nothing without `stalled_calls`. Default: more than
    /// half of the calls of as long a time.
    pub stalled_limit: StallLimit,
    /// Whether a failing Premium ends the time on the fallback. Default: on.
    pub watch_fallback: bool,
    /// Whether a provider's client errors are failures while it gives nothing else. Default: off.
    pub client_errors_as_failures: bool,
    /// Where the operators' side listens, which is a loopback address or needs a token; `None` where
    /// there is no such side. Default: none.
    pub admin_listen: Option<SocketAddr>,
    /// What an operator has to show; `None` where nothing. Default: none.
    pub admin_token: Option<Secret>,
    /// The form of the log's lines. Default: text.
    pub log_format: LogFormat,
    /// Whether each request leaves a line in the log. Default: off.
    pub access_log: bool,
    /// How much the server takes on, and how well it keeps it.
    pub capacity: Capacity,
    /// Where each value came from; a setting that is not in it has its default.
    origins: BTreeMap<Setting, Origin>,
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// A setting's value as it was given.
#[derive(Clone, Debug)]
struct Given {
    text: String,
    origin: Origin,
}

impl Config {
    /// Reads the configuration.
    ///
    /// `file` is the file that a flag named; without it, the one that [`FILE_VARIABLE`] names is
    /// read, and without that none. `environment` is what [`std::env::vars_os`] gives. A variable
    /// that is set to nothing counts as not set.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong.
    pub fn load(
        flags: &BTreeMap<Setting, String>,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut variables = environment::ours(environment);
        let named = variables.remove(FILE_VARIABLE).map(PathBuf::from);
        let file = file.map(Path::to_owned).or(named);
        let mut given = file.as_deref().map(file::read).transpose()?.unwrap_or_default();
        given.extend(environment::read(variables)?);
        for (&setting, text) in flags {
            given.insert(setting, Given { text: text.clone(), origin: Origin::Flag });
        }
        let urls = [Setting::SupercarUrl, Setting::PremiumUrl];
        let missing = || urls.into_iter().filter(|url| !given.contains_key(url)).collect();
        let url = |setting| {
            let Some(Given { text, origin }) = given.get(&setting) else {
                return Err(ConfigError::Missing(missing()));
            };
            rules::url(text).map_err(|because| refused(setting, origin, text, because))
        };
        let (supercar_url, premium_url) = (url(Setting::SupercarUrl)?, url(Setting::PremiumUrl)?);
        let database = PathBuf::from("valuations.sqlite");
        Self::defaults(database, supercar_url, premium_url).with(&given)
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
        Self::defaults(database.to_owned(), supercar_url, premium_url).with(&given)
    }

    /// This configuration with an operator's changes. The settings must be among
    /// [`Setting::POLICY`]; what else is given changes nothing that runs.
    ///
    /// # Errors
    /// [`ConfigError`] names the first change that is wrong.
    pub fn amended(&self, changes: &BTreeMap<Setting, String>) -> Result<Self, ConfigError> {
        let given = changes
            .iter()
            .map(|(s, text)| (*s, Given { text: text.clone(), origin: Origin::Operator }))
            .collect();
        self.clone().with(&given)
    }

    /// Where the value of `setting` came from.
    #[must_use]
    pub fn origin(&self, setting: Setting) -> &Origin {
        self.origins.get(&setting).unwrap_or(&Origin::Default)
    }

    fn defaults(database: PathBuf, supercar_url: BaseUrl, premium_url: BaseUrl) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            database,
            supercar_url,
            premium_url,
            failure_rate: Ratio::HALF,
            min_calls: 10,
            window: Duration::from_secs(60),
            revert_after: Duration::from_secs(300),
            provider_timeout: DEFAULT_DEADLINE,
            transport: Transport::default(),
            rescue: true,
            premium_range: PremiumRange::default(),
            probes: None,
            ramp_up: None,
            slow_call: None,
            slow_rate: Ratio::HALF,
            follow_retry_after: false,
            stalled_calls: None,
            stalled_limit: StallLimit::Share(Ratio::HALF),
            watch_fallback: true,
            client_errors_as_failures: false,
            admin_listen: None,
            admin_token: None,
            log_format: LogFormat::Text,
            access_log: false,
            capacity: Capacity::default(),
            origins: BTreeMap::new(),
        }
    }

    fn with(mut self, given: &BTreeMap<Setting, Given>) -> Result<Self, ConfigError> {
        for (&setting, Given { text, origin }) in given {
            self.set(setting, text).map_err(|because| refused(setting, origin, text, because))?;
            self.origins.insert(setting, origin.clone());
        }
        self.check_admin()?;
        Ok(self)
    }

    /// Reads one value by its rule, which explains a refusal or leaves it at the empty text. In the
    /// order of the settings: the rules of slow and stalled calls look at the deadline.
    fn set(&mut self, setting: Setting, text: &str) -> Result<(), String> {
        match setting {
            Setting::Listen => self.listen = rules::address(text)?,
            Setting::Database => self.database = rules::path(text)?,
            Setting::SupercarUrl => self.supercar_url = rules::url(text)?,
            Setting::PremiumUrl => self.premium_url = rules::url(text)?,
            Setting::FailureRate => self.failure_rate = rules::below_one(text)?,
            Setting::MinCalls => self.min_calls = rules::min_calls(text)?,
            Setting::Window => self.window = rules::window(text)?,
            Setting::RevertAfter => self.revert_after = rules::duration(text)?,
            Setting::ProviderTimeout => self.provider_timeout = rules::duration(text)?,
            Setting::ProviderHttp => self.transport.http = rules::http_version(text)?,
            Setting::ProviderProxy => self.transport.proxy = rules::url_or_off(text)?,
            Setting::ProviderCa => self.transport.ca = rules::path_or_off(text)?,
            Setting::ProviderClientCert => self.transport.client_cert = rules::path_or_off(text)?,
            Setting::Rescue => self.rescue = rules::on_or_off(text)?,
            Setting::PremiumRange => self.premium_range = rules::premium_range(text)?,
            Setting::Probes => self.probes = rules::probes(text)?,
            Setting::RampUp => self.ramp_up = rules::duration_or_off(text)?,
            Setting::SlowCall => self.slow_call = rules::slow_call(text, self.provider_timeout)?,
            Setting::SlowRate => self.slow_rate = rules::below_one(text)?,
            Setting::FollowRetryAfter => self.follow_retry_after = rules::on_or_off(text)?,
            Setting::StalledCalls => {
                self.stalled_calls = rules::stalled_calls(text, self.provider_timeout)?;
            }
            Setting::StalledLimit => self.stalled_limit = rules::stalled_limit(text)?,
            Setting::WatchFallback => self.watch_fallback = rules::on_or_off(text)?,
            Setting::ClientErrorStreak => {
                self.client_errors_as_failures = rules::client_error_streak(text)?;
            }
            Setting::AdminListen => self.admin_listen = rules::address_or_off(text)?,
            Setting::AdminToken => self.admin_token = Some(rules::token(text)?),
            Setting::LogFormat => self.log_format = rules::log_format(text)?,
            Setting::AccessLog => self.access_log = rules::on_or_off(text)?,
            Setting::MaxConnections => self.capacity.max_connections = capacity::number(text)?,
            Setting::MaxPuts => self.capacity.max_puts = capacity::number(text)?,
            Setting::Cache => self.capacity.cache = capacity::size_or_off(text)?,
            Setting::Durability => self.capacity.durability = capacity::durability(text)?,
        }
        Ok(())
    }

    /// Whoever reaches the operators' side commands the server.
    fn check_admin(&self) -> Result<(), ConfigError> {
        let setting = Setting::AdminListen;
        match self.admin_listen {
            Some(address)
                if self.admin_token.is_none() && !address.ip().to_canonical().is_loopback() =>
            {
                let because = "whoever reaches it there commands the server: choose a loopback \
                               address, or set admin-token (VALUATION_ADMIN_TOKEN)";
                let text = address.to_string();
                Err(refused(setting, self.origin(setting), &text, because.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn refused(setting: Setting, origin: &Origin, text: &str, because: String) -> ConfigError {
    ConfigError::Value {
        setting,
        place: origin.place(setting),
        value: match setting {
            Setting::SupercarUrl | Setting::PremiumUrl | Setting::ProviderProxy => {
                BaseUrl::redacted_text(text)
            }
            Setting::AdminToken => secret::REDACTED.to_owned(),
            _ => text.to_owned(),
        },
        expected: setting.expected(),
        because: if because.is_empty() { because } else { format!(": {because}") },
    }
}
