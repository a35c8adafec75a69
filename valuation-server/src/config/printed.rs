//! The configuration for operators: each value, and where it came from.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::{Timestamp, Unit};

use super::kinds::Shown;
use super::{Config, Origin, Setting};

impl Config {
    /// A setting's value in the spelling that it is given in; `None` if it is not set and has no
    /// default. Credentials and keys in a URL are redacted, and so is the token.
    #[must_use]
    pub fn shown(&self, setting: Setting) -> Option<String> {
        self.show(setting).map(|shown| shown.text)
    }

    /// Where a setting's value came from, in words: `flag --listen`, `file config.toml, line 3`, `default`.
    #[must_use]
    pub fn source(&self, setting: Setting) -> String {
        match self.origin(setting) {
            Origin::Flag => format!("flag {}", setting.flag()),
            Origin::Environment => format!("environment {}", setting.variable()),
            origin @ Origin::Document { place, .. } => format!("{} {origin}", place.noun()),
            origin => origin.to_string(),
        }
    }

    /// All settings as a file that `--config` takes, each with the origin of its value in a comment. A
    /// secret is commented out: it must be given again.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.to_toml_since(None)
    }

    /// As [`to_toml`](Self::to_toml), with the time since when the document is as it is, if that is known.
    #[must_use]
    pub fn to_toml_since(&self, document: Option<SystemTime>) -> String {
        let since = document.and_then(|at| Timestamp::try_from(at).ok());
        let since = since.and_then(|at| at.round(Unit::Second).ok());
        let since = since.map_or_else(String::new, |at| format!(", since {at}"));
        let mut text = String::new();
        for setting in Setting::ALL {
            let key = setting.key();
            let (line, again) = match self.show(setting) {
                None => (format!("# {key} is not set"), ""),
                Some(Shown { text, redacted: false }) => {
                    (format!("{key} = {}", toml::Value::from(text)), "")
                }
                Some(Shown { text, redacted: true }) => {
                    let line = format!("# {key} = {}", toml::Value::from(text));
                    (line, "; a secret, to be given again")
                }
            };
            let mut from = self.source(setting);
            if matches!(self.origin(setting), Origin::Document { .. }) {
                from += &since;
            }
            writeln!(text, "{line:<44} # {from}{again}").expect("a text is written to memory");
        }
        text
    }
}
