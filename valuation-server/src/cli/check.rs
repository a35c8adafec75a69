//! The flags of `check`.

use std::ffi::OsString;

use clap::Args;

use super::SettingArgs;
use crate::check::live::{AdminUrl, AdminUrlError, Probe};
use crate::config::ConfigError;

/// Shown below the flags.
pub(super) const EXAMPLES: &str = "Examples:
  Would serve work with this file?
    valuation-server check --config /etc/valuation-server/config.toml

  Does the running server respond? For a container's health check: exit code 0 or 1
    valuation-server check --live --url http://127.0.0.1:9000";

/// What `check` is asked.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    /// Ask the running server instead whether it responds: /livez of its operators' side, within two seconds. No
    /// database is opened and no provider is asked
    #[arg(long, group = "probe")]
    pub live: bool,

    /// As --live, whether it can store valuations: /readyz
    #[arg(long, group = "probe")]
    pub ready: bool,

    /// The operators' side of the running server, such as http://127.0.0.1:9000; then no setting is read
    /// [default: --admin-listen, on loopback if it is all addresses; no other setting is needed]
    #[arg(long, value_name = "URL", requires = "probe")]
    pub url: Option<String>,

    /// The settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Why a running server can't be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No server is named.
    #[error(transparent)]
    Server(#[from] AdminUrlError),
    /// `--url` is wrong.
    #[error("--url: {0}")]
    Url(#[source] AdminUrlError),
}

impl CheckArgs {
    /// The health check of a running server, if that is asked.
    #[must_use]
    pub fn probe(&self) -> Option<Probe> {
        match (self.live, self.ready) {
            (true, _) => Some(Probe::Live),
            (_, true) => Some(Probe::Ready),
            _ => None,
        }
    }

    /// The running server.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub fn server(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<AdminUrl, ProbeError> {
        match &self.url {
            Some(url) => AdminUrl::parse(url).map_err(ProbeError::Url),
            None => Ok(AdminUrl::of(self.settings.admin_address(environment)?)?),
        }
    }
}
