//! The configuration as an operator reads it: each value, and where it came from.

use std::fmt::Write as _;
use std::path::Path;

use humantime::format_duration;

use super::secret::REDACTED;
use super::{Config, Durability, LogFormat, Origin, Setting, StallLimit};
use crate::providers::{BaseUrl, PremiumRange};

impl Config {
    /// A setting's value in the spelling that it is given in; `None` where it is not set and has no
    /// default. Credentials and keys in a URL are redacted, and so is the token.
    #[must_use]
    pub fn shown(&self, setting: Setting) -> Option<String> {
        let on = |on| if on { "on" } else { "off" }.to_owned();
        let duration = |time| format_duration(time).to_string();
        let or_off = |time: Option<_>| time.map_or_else(|| "off".to_owned(), duration);
        let path_or_off =
            |path: Option<&Path>| path.map_or("off".to_owned(), |path| path.display().to_string());
        Some(match setting {
            Setting::Listen => self.listen.to_string(),
            Setting::Database => self.database.display().to_string(),
            Setting::SupercarUrl => self.supercar_url.redacted(),
            Setting::PremiumUrl => self.premium_url.redacted(),
            Setting::FailureRate => self.failure_rate.to_string(),
            Setting::MinCalls => self.min_calls.to_string(),
            Setting::Window => duration(self.window),
            Setting::RevertAfter => duration(self.revert_after),
            Setting::ProviderTimeout => duration(self.provider_timeout),
            Setting::ProviderHttp => self.transport.http.to_string(),
            Setting::ProviderProxy => {
                self.transport.proxy.as_ref().map_or_else(|| "off".to_owned(), BaseUrl::redacted)
            }
            Setting::ProviderCa => path_or_off(self.transport.ca.as_deref()),
            Setting::ProviderClientCert => path_or_off(self.transport.client_cert.as_deref()),
            Setting::Rescue => on(self.rescue),
            Setting::PremiumRange => match self.premium_range {
                PremiumRange::PrivateSale => "private-sale".to_owned(),
                PremiumRange::Dealership => "dealership".to_owned(),
            },
            Setting::Probes => self.probes.unwrap_or(0).to_string(),
            Setting::RampUp => or_off(self.ramp_up),
            Setting::SlowCall => or_off(self.slow_call),
            Setting::SlowRate => self.slow_rate.to_string(),
            Setting::FollowRetryAfter => on(self.follow_retry_after),
            Setting::StalledCalls => or_off(self.stalled_calls),
            Setting::StalledLimit => match self.stalled_limit {
                StallLimit::Calls(calls) => calls.to_string(),
                StallLimit::Share(share) => share.to_string(),
            },
            Setting::WatchFallback => on(self.watch_fallback),
            Setting::ClientErrorStreak => {
                if self.client_errors_as_failures { "failure" } else { "warn" }.to_owned()
            }
            Setting::AdminListen => {
                self.admin_listen.map_or_else(|| "off".to_owned(), |address| address.to_string())
            }
            Setting::AdminToken => return self.admin_token.as_ref().map(|_| REDACTED.to_owned()),
            Setting::LogFormat => match self.log_format {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
            Setting::AccessLog => on(self.access_log),
            Setting::MaxConnections => self.capacity.max_connections.to_string(),
            Setting::MaxPuts => self.capacity.max_puts.to_string(),
            Setting::Cache => {
                self.capacity.cache.map_or_else(|| "off".to_owned(), super::capacity::size)
            }
            Setting::Durability => match self.capacity.durability {
                Durability::Full => "full".to_owned(),
                Durability::Normal => "normal".to_owned(),
            },
        })
    }

    /// Whether the value of a setting is shown redacted.
    fn is_secret(&self, setting: Setting) -> bool {
        match setting {
            Setting::SupercarUrl => self.supercar_url.has_secrets(),
            Setting::PremiumUrl => self.premium_url.has_secrets(),
            Setting::AdminToken => self.admin_token.is_some(),
            _ => false,
        }
    }

    /// All settings as a file that `--config` takes, each with where its value came from as a
    /// comment. A secret is a comment as well: it has to be given where it was given before, or in
    /// the file by hand.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for setting in Setting::ALL {
            let is_secret = self.is_secret(setting);
            let line = match self.shown(setting) {
                Some(value) => {
                    let hidden = if is_secret { "# " } else { "" };
                    format!("{hidden}{} = {}", setting.key(), toml::Value::from(value))
                }
                None => format!("# {} is not set", setting.key()),
            };
            let from = match self.origin(setting) {
                Origin::Flag => format!("flag {}", setting.flag()),
                Origin::Environment => format!("environment {}", setting.variable()),
                origin @ Origin::File { .. } => format!("file {origin}"),
                origin => origin.to_string(),
            };
            let again = if is_secret { "; a secret, to be given again" } else { "" };
            writeln!(text, "{line:<44} # {from}{again}").expect("a text is written to memory");
        }
        text
    }
}
