//! The configuration of the server: flags before environment before document before defaults.
//!
//! Each setting is a row of `table.rs`. Its value stays a text until all sources are merged; then the
//! kind in its row reads it once, and an error says where it was given. The environment is a parameter
//! for tests.
//!
//! To add a setting: add its row, use the field of [`Config`] that the row makes, test it, and run
//! the tests once with `UPDATE_SETTINGS=1`, which writes the files that list all settings. If a change of it
//! takes effect while the server runs, `app/live.rs` makes it so.

mod cluster;
mod database;
mod environment;
mod error;
mod file;
mod fleet_kinds;
mod kinds;
mod merge;
mod printed;
mod secret;
mod setting;
mod sources;
mod status;
mod table;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::domain::shortened;
use crate::providers::{BaseUrl, Transport};
use kinds::Kind;
use setting::Default;

pub use crate::store::{Durability, Location};
pub use cluster::{ClusterUrl, Engine};
pub use database::{DatabaseArg, is_node_name};
pub use error::{ConfigError, Invalid};
pub use failover::Ratio;
pub use failover::cluster::Label;
pub use failover::cluster::bus::peers::Peer;
pub use failover::policy::StallLimit;
pub use failover::ratio::RatioError;
pub use merge::Override;
pub use secret::Secret;
pub(crate) use setting::Scope;
pub use setting::{Change, Origin};
pub use sources::{CA_VARIABLE, FILE_VARIABLE, Sources, TOKEN_VARIABLE};
pub use status::{Applied, Seen, Status, Trouble};
pub use table::{Config, Setting};

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// A setting's value as it was given.
#[derive(Clone, Debug)]
struct Given {
    text: String,
    origin: Origin,
}

fn given(
    texts: &BTreeMap<Setting, String>,
    origin: &Origin,
) -> impl Iterator<Item = (Setting, Given)> {
    texts.iter().map(|(s, text)| (*s, Given { text: text.clone(), origin: origin.clone() }))
}

/// What the environment and the document set.
fn around(
    place: Option<&OsStr>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<Setting, Given>, ConfigError> {
    let sources = Sources::new(&BTreeMap::new(), place, environment)?;
    sources.merged(sources.read()?.as_ref())
}

impl Config {
    /// Reads the configuration once: [`Sources`] with the document as it is now.
    ///
    /// `place` is the path or the URL of the document that a flag named; without it, the one that
    /// [`FILE_VARIABLE`] names is read, if any. `environment` is as [`std::env::vars_os`] gives it. An empty
    /// variable counts as not set.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong.
    pub fn load(
        flags: &BTreeMap<Setting, String>,
        place: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let sources = Sources::new(flags, place.map(Path::as_os_str), environment)?;
        sources.config(sources.read()?.as_ref())
    }

    /// The address of the operators' side alone, from where [`load`](Self::load) takes it, whatever else is not
    /// set. With its flag nothing else is read.
    ///
    /// # Errors
    /// [`ConfigError`], as [`load`](Self::load).
    pub fn admin_address(
        flags: &BTreeMap<Setting, String>,
        place: Option<&OsStr>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Option<SocketAddr>, ConfigError> {
        let setting = Setting::AdminListen;
        let mut merged: BTreeMap<_, _> = given(flags, &Origin::Flag).collect();
        if !merged.contains_key(&setting) {
            merged = around(place, environment)?;
        }
        match merged.get(&setting) {
            Some(_) => value(setting, kinds::optional(kinds::address()), &merged),
            None => Ok(None),
        }
    }

    /// The configuration from flags alone, for a database and providers that exist already.
    ///
    /// # Errors
    /// [`ConfigError`] names the first flag that is wrong.
    pub fn with_providers(
        flags: &BTreeMap<Setting, String>,
        database: &Path,
        supercar_url: BaseUrl,
        premium_url: BaseUrl,
    ) -> Result<Self, ConfigError> {
        let mut merged: BTreeMap<_, _> = given(flags, &Origin::Flag).collect();
        // Placeholders, replaced below: a `BaseUrl` does not give its text with secrets.
        for setting in Setting::ALL.into_iter().filter(|s| s.row().default == Default::Required) {
            let text = "http://replaced.invalid".to_owned();
            merged.insert(setting, Given { text, origin: Origin::Default });
        }
        let config = Self::from_given(merged)?;
        Ok(Self { database: database.into(), supercar_url, premium_url, ..config })
    }

    /// Where the value of `setting` came from.
    #[must_use]
    pub fn origin(&self, setting: Setting) -> &Origin {
        self.origins.get(&setting).unwrap_or(&Origin::Default)
    }

    /// How the providers are connected to.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport {
            http: self.provider_http,
            proxy: self.provider_proxy.clone(),
            ca: self.provider_ca.clone(),
            client_cert: self.provider_client_cert.clone(),
        }
    }

    fn from_given(mut given: BTreeMap<Setting, Given>) -> Result<Self, ConfigError> {
        let mut missing = Vec::new();
        for setting in Setting::ALL {
            let default = setting.row().default;
            if let Some(text) = default.text() {
                let default = || Given { text: text.to_owned(), origin: Origin::Default };
                given.entry(setting).or_insert_with(default);
            } else if default == Default::Required && !given.contains_key(&setting) {
                missing.push(setting);
            }
        }
        if missing.is_empty() {
            Self::read(&given)?.checked(&given)
        } else {
            Err(ConfigError::Missing(missing))
        }
    }

    /// Checks the rules that need more than one setting, and records the origins of `given`.
    fn checked(mut self, given: &BTreeMap<Setting, Given>) -> Result<Self, ConfigError> {
        self.origins.extend(given.iter().map(|(s, given)| (*s, given.origin.clone())));
        let deadline = self.provider_timeout;
        // A call takes no longer than the deadline.
        let slow_is_late = self.slow_call.is_some_and(|time| time >= deadline);
        // A stalled call is detected up to a quarter of the time late, and ends at the deadline.
        let is_late = |time: Duration| time.saturating_mul(5) > deadline.saturating_mul(4);
        let stalled_is_late = self.stalled_calls.is_some_and(is_late);
        // Any client of the operators' side controls the server.
        let is_remote = self.admin_listen.is_some_and(|at| !at.ip().to_canonical().is_loopback());
        let database = self.database_trouble();
        let cluster = self.cluster_trouble();
        let (setting, because) = if slow_is_late {
            (Setting::SlowCall, Invalid::AfterDeadline(deadline))
        } else if stalled_is_late {
            (Setting::StalledCalls, Invalid::AfterDeadline(deadline))
        } else if is_remote && self.admin_token.is_none() {
            (Setting::AdminListen, Invalid::Unguarded)
        } else if let Some(trouble) = database.or(cluster) {
            trouble
        } else {
            return Ok(self);
        };
        let kept = || Given {
            text: self.shown(setting).unwrap_or_default(),
            origin: self.origin(setting).clone(),
        };
        Err(refused(setting, &given.get(&setting).cloned().unwrap_or_else(kept), because))
    }
}

/// The value of a setting: as given, or unset.
fn value<T>(
    setting: Setting,
    kind: Kind<T>,
    given: &BTreeMap<Setting, Given>,
) -> Result<T, ConfigError> {
    match given.get(&setting) {
        Some(given) => kind.read(&given.text).map_err(|because| refused(setting, given, because)),
        None => kind.unset.ok_or_else(|| ConfigError::Missing(vec![setting])),
    }
}

/// The longest value or key of a document that an error shows, in characters.
const SHOWN: usize = 200;

fn refused(setting: Setting, given: &Given, because: Invalid) -> ConfigError {
    ConfigError::Value {
        setting,
        place: given.origin.place(setting),
        value: shortened(&(setting.row().form.redact)(&given.text), SHOWN),
        because,
    }
}
