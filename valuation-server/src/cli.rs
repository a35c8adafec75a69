//! The command line: commands and flags, and the configuration from them.
//!
//! Each setting may be given as a flag, as an environment variable such as `VALUATION_FAILURE_RATE`,
//! or in the file, such as `failure-rate = 0.5`. The flags come from the table of settings.

mod check;
mod completions;
mod man;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError, Scope, Setting, Sources};
use crate::document::PlaceArg;
use crate::providers::BaseUrl;
use crate::tools::{
    ArchiveArgs, BackupArgs, ExportArgs, LogsArgs, MigrateArgs, ReportArgs, RollupsArgs,
};

pub use check::{CheckArgs, ProbeError};
pub use completions::CompletionsArgs;
pub use man::{ManArgs, ManError};

/// Car valuations over HTTP, from two providers, with failover between them.
#[derive(Clone, Debug, Parser)]
#[command(version, about, max_term_width = 100)]
#[command(after_help = "The help of each command has examples: valuation-server serve --help")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve valuations from the two configured providers
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Say whether `serve` would work: its configuration, the database, the providers. Nothing is
    /// created, changed or bought. With --live or --ready: whether the running server is healthy
    #[command(after_help = check::EXAMPLES)]
    Check(CheckArgs),
    /// Say from the log of provider calls how available and how fast each provider was: for a service level
    /// agreement. A server may be running
    Report(ReportArgs),
    /// Move old rows of the log of provider calls to a file of their own, in small steps. A server may be
    /// running
    Archive(ArchiveArgs),
    /// Show the log of provider calls, newest last, and follow it. A server may be running
    Logs(LogsArgs),
    /// Write the log of provider calls as CSV or JSON lines. A server may be running
    Export(ExportArgs),
    /// Copy the database into a file, and verify the copy. A server may be running
    Backup(BackupArgs),
    /// Build the hourly sums that `report` reads, of a log that was written without them. A server may be
    /// running; a database of an earlier version or of the older service is migrated, as `serve` does
    Rollups(RollupsArgs),
    /// Move the database from SQLite to PostgreSQL or back, and compare both. A server may be running on the one
    /// that is moved
    Migrate(MigrateArgs),
    /// Try it: simulated providers on loopback, a database in a temporary folder
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Print a script with which a shell completes commands and flags
    #[command(after_help = completions::EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command
    #[command(after_help = man::EXAMPLES)]
    Man(ManArgs),
}

/// Shown below the flags of `serve`.
const SERVE_EXAMPLES: &str = "Examples:
  The least that must be given, and the operators' page on http://127.0.0.1:9000:
    valuation-server serve --supercar-url https://supercar.example \\
      --premium-url https://premium.example --admin-listen 127.0.0.1:9000

  With a file, which keeps keys off the command line:
    valuation-server serve --config /etc/valuation-server/config.toml

  With a key of Consul, which may change while it runs (its token: VALUATION_CONFIG_TOKEN):
    valuation-server serve --config 'http://127.0.0.1:8500/v1/kv/valuation/config?raw'

  Where did each setting come from?
    valuation-server serve --config /etc/valuation-server/config.toml --print-config

Exit status:
  0 stopped cleanly, 1 could not start, 2 a setting is wrong, 3 something was cut off at the stop,
  4 provider calls are in the log alone, 130 ended by a second signal";

/// Shown below the flags of `demo`.
const DEMO_EXAMPLES: &str = "Examples:
  Look around, until Ctrl-C:
    valuation-server demo

  A whole outage, in a minute or so:
    valuation-server demo --scenario outage --quick

  Three servers that fail over as one:
    valuation-server demo --nodes 3 --scenario outage";

/// The flags of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Print the configuration and where each value came from, and end
    #[arg(long)]
    pub print_config: bool,

    /// The settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// The settings as flags, and the document that has others.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingArgs {
    /// A TOML file with settings, or its http:// or https:// URL; its keys are the flags' names. The running server
    /// reads it again when it changes [env: VALUATION_CONFIG]
    #[arg(long, value_name = "FILE|URL")]
    pub config: Option<PlaceArg>,

    #[command(flatten)]
    flags: Flags<false>,
}

/// The settings given as flags: those of the table, or those that the demo takes.
#[derive(Clone, Default)]
struct Flags<const DEMO: bool>(BTreeMap<Setting, String>);

impl<const DEMO: bool> Flags<DEMO> {
    fn settings() -> impl Iterator<Item = Setting> {
        Setting::ALL.into_iter().filter(|setting| !DEMO || setting.row().scope >= Scope::Demo)
    }
}

/// Shows the keys alone: some values are secrets.
impl<const DEMO: bool> fmt::Debug for Flags<DEMO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<const DEMO: bool> Args for Flags<DEMO> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(Self::settings().map(arg))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<const DEMO: bool> FromArgMatches for Flags<DEMO> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |s: Setting| {
            let parts: Vec<_> = matches.get_many::<String>(s.row().key)?.cloned().collect();
            Some((s, parts.join(",")))
        };
        Ok(Self(Self::settings().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

fn arg(setting: Setting) -> Arg {
    let row = setting.row();
    let default = match (row.default.text(), row.default.in_demo()) {
        (None, _) => String::new(),
        (Some(text), None) => format!(" [default: {text}]"),
        (Some(text), Some(demo)) => format!(" [default: {text}, in the demo {demo}]"),
    };
    let action = if row.form.list { ArgAction::Append } else { ArgAction::Set };
    Arg::new(row.key)
        .action(action)
        .long(row.key)
        .value_name(row.form.name)
        .allow_hyphen_values(row.form.hyphen)
        .hide(!row.form.on_command_line)
        .help(format!("{}{default}", row.help))
}

/// The flags of `demo`. It reads neither the environment nor a file, so that it is the same
/// everywhere.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Play a story and end, instead of waiting for requests
    #[arg(long, value_name = "STORY")]
    pub scenario: Option<Scenario>,

    /// Play the story with a revert after 5s instead of 30s
    #[arg(long, requires = "scenario")]
    pub quick: bool,

    /// Start this many servers, from 2 to 9, which fail over as one, instead of one server alone
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(2..=9))]
    pub nodes: Option<u8>,

    /// The bus of the servers: udp needs nothing; the others start a private redis-server, nats-server
    /// or tansu from the PATH [default: udp]
    #[arg(long, value_name = "BUS", requires = "nodes")]
    pub cluster: Option<DemoBus>,

    #[command(flatten)]
    flags: Flags<true>,
}

/// The bus of the demo's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoBus {
    /// Datagrams on loopback
    Udp,
    /// A private redis-server
    Redis,
    /// A private nats-server
    Nats,
    /// A private tansu, which speaks Kafka's protocol
    Kafka,
}

/// A story that the demo plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// SuperCar breaks, calls fail over, SuperCar recovers, calls revert
    Outage,
}

/// The time until the revert in a quick story.
const QUICK_REVERT_AFTER: &str = "5s";
/// The window in a fleet's story, which has several outages: each is noticed within seconds.
const STORY_WINDOW: &str = "3s";

impl SettingArgs {
    /// These flags, the environment and the place of the document.
    ///
    /// # Errors
    /// As [`Sources::new`].
    pub fn sources(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Sources, ConfigError> {
        let place = self.config.as_ref().map(PlaceArg::as_os_str);
        Sources::new(&self.flags.0, place, environment)
    }

    /// The configuration from these flags, the environment and the document as it is now.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong.
    pub fn config(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, ConfigError> {
        let sources = self.sources(environment)?;
        sources.config(sources.read()?.as_ref())
    }

    /// The address of the operators' side alone: no other setting needs to be there.
    fn admin_address(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Option<SocketAddr>, ConfigError> {
        let place = self.config.as_ref().map(PlaceArg::as_os_str);
        Config::admin_address(&self.flags.0, place, environment)
    }
}

impl DemoArgs {
    /// Whether the operators' address was given: then it is not replaced by another.
    #[must_use]
    pub fn has_admin_listen(&self) -> bool {
        self.flags.0.contains_key(&Setting::AdminListen)
    }

    /// The configuration of the demo's server, with the demo's database and simulated providers.
    ///
    /// # Errors
    /// [`ConfigError`] names the first flag that is wrong.
    pub fn config(
        &self,
        database: &Path,
        supercar_url: BaseUrl,
        premium_url: BaseUrl,
    ) -> Result<Config, ConfigError> {
        self.node_config(BTreeMap::new(), database, supercar_url, premium_url)
    }

    /// As [`config`](Self::config), with settings that are no flags of the demo.
    ///
    /// # Errors
    /// [`ConfigError`] names the first flag that is wrong.
    pub fn node_config(
        &self,
        mut more: BTreeMap<Setting, String>,
        database: &Path,
        supercar_url: BaseUrl,
        premium_url: BaseUrl,
    ) -> Result<Config, ConfigError> {
        more.extend(self.flags.0.clone());
        let mut default = |setting, text: &str| {
            more.entry(setting).or_insert_with(|| text.to_owned());
        };
        if self.quick {
            default(Setting::RevertAfter, QUICK_REVERT_AFTER);
        }
        if self.scenario.is_some() && self.nodes.is_some() {
            default(Setting::Window, STORY_WINDOW);
        }
        for setting in Setting::ALL {
            if let Some(text) = setting.row().default.in_demo() {
                default(setting, text);
            }
        }
        Config::with_providers(&more, database, supercar_url, premium_url)
    }

    /// The bus of the servers.
    #[must_use]
    pub fn bus(&self) -> DemoBus {
        self.cluster.unwrap_or(DemoBus::Udp)
    }
}
