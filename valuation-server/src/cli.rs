//! The command line: what it takes, and the configuration that comes of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError, Secret, Setting};
use crate::providers::BaseUrl;

/// Car valuations over HTTP, from two providers, with failover between them.
#[derive(Clone, Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve valuations from the two configured providers
    Serve(ServeArgs),
    /// Say whether `serve` would work: its configuration, the database, the providers. Nothing is
    /// created, changed or bought
    Check(SettingArgs),
    /// Try it: simulated providers on loopback, a database in a temporary folder
    Demo(DemoArgs),
}

/// The flags of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Print the configuration and where each value came from, and end
    #[arg(long)]
    pub print_config: bool,

    #[command(flatten)]
    settings: SettingArgs,
}

/// The settings, as flags.
///
/// Each may be given as an environment variable as well, such as `VALUATION_FAILURE_RATE`, or in
/// the file, such as `failure-rate = 0.5`. A flag goes before a variable, a variable before the
/// file.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingArgs {
    /// A TOML file with settings; its keys are the flags' names [env: VALUATION_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where to listen [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// The database's file [default: valuations.sqlite]
    #[arg(long, value_name = "FILE")]
    database: Option<String>,

    /// Where SuperCar Valuations, the primary provider, is reached
    #[arg(long, value_name = "URL")]
    supercar_url: Option<Secret>,

    /// Where Premium Car Valuations, the fallback provider, is reached
    #[arg(long, value_name = "URL")]
    premium_url: Option<Secret>,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    transport: TransportArgs,

    #[command(flatten)]
    operation: OperationArgs,

    #[command(flatten)]
    capacity: CapacityArgs,
}

/// The flags that say how the providers are connected to.
#[derive(Args, Clone, Debug, Default)]
struct TransportArgs {
    /// The version of HTTP that the providers are asked by: 1.1, with a connection for each request,
    /// or 2, with connections that are kept [default: 1.1]
    #[arg(long, value_name = "VERSION")]
    provider_http: Option<String>,

    /// The HTTP proxy that the providers are asked through; the system's proxies are not used
    /// [default: off]
    #[arg(long, value_name = "URL")]
    provider_proxy: Option<Secret>,

    /// A PEM file of certificate authorities to trust in addition to the system's [default: off]
    #[arg(long, value_name = "FILE")]
    provider_ca: Option<String>,

    /// A PEM file with the client certificate to show the providers, and its private key
    /// [default: off]
    #[arg(long, value_name = "FILE")]
    provider_client_cert: Option<String>,
}

/// The flags of the operators' side.
#[derive(Args, Clone, Debug, Default)]
struct OperationArgs {
    /// Where the operators' side listens: health, metrics, orders to the failover. Beyond loopback
    /// it needs a token [default: off, in the demo 127.0.0.1:9000]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,

    /// What an operator must send as `Authorization: Bearer …`. Other users of the machine can see
    /// a flag; the variable VALUATION_ADMIN_TOKEN or the file is better [default: none]
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    admin_token: Option<Secret>,

    /// The form of the log's lines on standard error: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,

    /// Whether each request leaves a line in the log, with its client's address: on or off
    /// [default: off]
    #[arg(long, value_name = "ON|OFF")]
    access_log: Option<String>,
}

/// The flags that say how much is taken on, and how well it is kept.
#[derive(Args, Clone, Debug, Default)]
struct CapacityArgs {
    /// How many clients may be connected at once; more are told 503 [default: 8000]
    #[arg(long, value_name = "CONNECTIONS", allow_hyphen_values = true)]
    max_connections: Option<String>,

    /// How many vehicles may be asked about at once; a PUT for one more is answered 503 at once
    /// [default: 1000]
    #[arg(long, value_name = "VEHICLES", allow_hyphen_values = true)]
    max_puts: Option<String>,

    /// How much memory stored valuations are kept in: a size such as 64MiB, or off
    /// [default: 16MiB]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    cache: Option<String>,

    /// What an answered valuation survives: full (a power loss) or normal (the end of the process,
    /// and perhaps not a power loss) [default: full]
    #[arg(long, value_name = "DURABILITY")]
    durability: Option<String>,
}

/// The flags that say when to fail over and how to ask the providers.
#[derive(Args, Clone, Debug, Default)]
struct PolicyArgs {
    /// The share of failing calls that must be exceeded: 0.5, 1/3 or 50% [default: 0.5]
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    failure_rate: Option<String>,

    /// The number of calls below which nothing is concluded [default: 10]
    #[arg(long, value_name = "CALLS", allow_hyphen_values = true)]
    min_calls: Option<String>,

    /// How far back calls are counted [default: 60s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    window: Option<String>,

    /// How long calls go to the fallback [default: 5m, in the demo 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    revert_after: Option<String>,

    /// The deadline of a whole call to a provider [default: 5s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    provider_timeout: Option<String>,

    /// Whether a single failed call is given to the other provider: on or off [default: on]
    #[arg(long, value_name = "ON|OFF")]
    rescue: Option<String>,

    /// Which of Premium's values are taken: private-sale or dealership [default: private-sale]
    #[arg(long, value_name = "RANGE")]
    premium_range: Option<String>,

    #[command(flatten)]
    options: OptionArgs,
}

/// The flags of what decides beside the failure rate.
#[derive(Args, Clone, Debug, Default)]
struct OptionArgs {
    /// How many calls at once probe SuperCar when its time on the fallback is over; 3 successes
    /// bring the others back, a failure keeps them away as long again [default: 0, which is off]
    #[arg(long, value_name = "CALLS", allow_hyphen_values = true)]
    probes: Option<String>,

    /// How long until all calls have returned to SuperCar, from a tenth of them on [default: off]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    ramp_up: Option<String>,

    /// The time beyond which a call to SuperCar is slow; too many of them fail over as well
    /// [default: off]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    slow_call: Option<String>,

    /// The share of slow calls that must be exceeded, with --slow-call [default: 0.5]
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    slow_rate: Option<String>,

    /// Whether SuperCar's Retry-After, from 1s to 10m, takes the place of --revert-after: on or
    /// off [default: off]
    #[arg(long, value_name = "ON|OFF")]
    follow_retry_after: Option<String>,

    /// The time beyond which a call that has not ended is stalled; too many of them fail over before
    /// they time out [default: off]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    stalled_calls: Option<String>,

    /// How many stalled calls are too many, with --stalled-calls: a number of calls, or the share
    /// that must be exceeded of the calls made in as long a time [default: 0.5]
    #[arg(long, value_name = "CALLS|SHARE", allow_hyphen_values = true)]
    stalled_limit: Option<String>,

    /// Whether calls go back to SuperCar early if Premium fails by the same thresholds: on or off
    /// [default: on]
    #[arg(long, value_name = "ON|OFF")]
    watch_fallback: Option<String>,

    /// What it means if a provider answers with client errors only (404, 401, 403, ...): warn, or
    /// failure, which counts them as failures too, so that they fail over [default: warn]
    #[arg(long, value_name = "WARN|FAILURE")]
    client_error_streak: Option<String>,
}

/// The flags of `demo`. It reads neither the environment nor a file, so that it runs the same
/// everywhere.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Where to listen [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// Play a story and end, instead of waiting for requests
    #[arg(long, value_name = "STORY")]
    pub scenario: Option<Scenario>,

    /// Play the story with a revert after 5s instead of 30s
    #[arg(long, requires = "scenario")]
    pub quick: bool,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    operation: OperationArgs,
}

/// A story that the demo plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// SuperCar breaks, calls fail over, SuperCar recovers, calls revert
    Outage,
}

/// Where the demo's operators' side listens if this port is free; elsewhere if not.
const ADMIN_PORT: u16 = 9000;

/// The demo's time until the revert, unless it is given: short enough to wait for.
const DEMO_REVERT_AFTER: Duration = Duration::from_secs(30);
/// The same in a quick story.
const QUICK_REVERT_AFTER: Duration = Duration::from_secs(5);

impl ServeArgs {
    /// The configuration from these flags, the environment and the file.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong.
    pub fn config(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, ConfigError> {
        self.settings.config(environment)
    }
}

impl SettingArgs {
    /// The configuration from these flags, the environment and the file.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong.
    pub fn config(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, ConfigError> {
        let mut flags = self.policy.flags();
        self.transport.add_to(&mut flags);
        self.operation.add_to(&mut flags);
        insert(&mut flags, Setting::Listen, self.listen.as_ref());
        insert(&mut flags, Setting::Database, self.database.as_ref());
        insert_secret(&mut flags, Setting::SupercarUrl, self.supercar_url.as_ref());
        insert_secret(&mut flags, Setting::PremiumUrl, self.premium_url.as_ref());
        insert(&mut flags, Setting::MaxConnections, self.capacity.max_connections.as_ref());
        insert(&mut flags, Setting::MaxPuts, self.capacity.max_puts.as_ref());
        insert(&mut flags, Setting::Cache, self.capacity.cache.as_ref());
        insert(&mut flags, Setting::Durability, self.capacity.durability.as_ref());
        Config::load(&flags, self.config.as_deref(), environment)
    }
}

impl DemoArgs {
    /// Whether the operators' address was given, so that no other will do.
    #[must_use]
    pub fn has_admin_listen(&self) -> bool {
        self.operation.admin_listen.is_some()
    }

    /// The configuration of the demo's server, with the database and the simulated providers that
    /// the demo has made.
    ///
    /// # Errors
    /// [`ConfigError`] names the first flag that is wrong.
    pub fn config(
        &self,
        database: &Path,
        supercar_url: BaseUrl,
        premium_url: BaseUrl,
    ) -> Result<Config, ConfigError> {
        let mut flags = self.policy.flags();
        self.operation.add_to(&mut flags);
        insert(&mut flags, Setting::Listen, self.listen.as_ref());
        // Here there is always something for operators to look at.
        flags
            .entry(Setting::AdminListen)
            .or_insert_with(|| format!("{}:{ADMIN_PORT}", Ipv4Addr::LOCALHOST));
        let mut config = Config::with_providers(&flags, database, supercar_url, premium_url)?;
        if self.policy.revert_after.is_none() {
            config.revert_after = if self.quick { QUICK_REVERT_AFTER } else { DEMO_REVERT_AFTER };
        }
        Ok(config)
    }
}

impl PolicyArgs {
    fn flags(&self) -> BTreeMap<Setting, String> {
        let mut flags = BTreeMap::new();
        insert(&mut flags, Setting::FailureRate, self.failure_rate.as_ref());
        insert(&mut flags, Setting::MinCalls, self.min_calls.as_ref());
        insert(&mut flags, Setting::Window, self.window.as_ref());
        insert(&mut flags, Setting::RevertAfter, self.revert_after.as_ref());
        insert(&mut flags, Setting::ProviderTimeout, self.provider_timeout.as_ref());
        insert(&mut flags, Setting::Rescue, self.rescue.as_ref());
        insert(&mut flags, Setting::PremiumRange, self.premium_range.as_ref());
        insert(&mut flags, Setting::Probes, self.options.probes.as_ref());
        insert(&mut flags, Setting::RampUp, self.options.ramp_up.as_ref());
        insert(&mut flags, Setting::SlowCall, self.options.slow_call.as_ref());
        insert(&mut flags, Setting::SlowRate, self.options.slow_rate.as_ref());
        insert(&mut flags, Setting::FollowRetryAfter, self.options.follow_retry_after.as_ref());
        insert(&mut flags, Setting::StalledCalls, self.options.stalled_calls.as_ref());
        insert(&mut flags, Setting::StalledLimit, self.options.stalled_limit.as_ref());
        insert(&mut flags, Setting::WatchFallback, self.options.watch_fallback.as_ref());
        insert(&mut flags, Setting::ClientErrorStreak, self.options.client_error_streak.as_ref());
        flags
    }
}

impl TransportArgs {
    fn add_to(&self, flags: &mut BTreeMap<Setting, String>) {
        insert(flags, Setting::ProviderHttp, self.provider_http.as_ref());
        insert_secret(flags, Setting::ProviderProxy, self.provider_proxy.as_ref());
        insert(flags, Setting::ProviderCa, self.provider_ca.as_ref());
        insert(flags, Setting::ProviderClientCert, self.provider_client_cert.as_ref());
    }
}

impl OperationArgs {
    fn add_to(&self, flags: &mut BTreeMap<Setting, String>) {
        insert(flags, Setting::AdminListen, self.admin_listen.as_ref());
        insert_secret(flags, Setting::AdminToken, self.admin_token.as_ref());
        insert(flags, Setting::LogFormat, self.log_format.as_ref());
        insert(flags, Setting::AccessLog, self.access_log.as_ref());
    }
}

fn insert_secret(flags: &mut BTreeMap<Setting, String>, setting: Setting, text: Option<&Secret>) {
    if let Some(text) = text {
        flags.insert(setting, text.expose().to_owned());
    }
}

fn insert(flags: &mut BTreeMap<Setting, String>, setting: Setting, text: Option<&String>) {
    if let Some(text) = text {
        flags.insert(setting, text.clone());
    }
}
