//! The configuration for operators: each value, and where it came from.

use std::fmt::Write as _;

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
            origin @ Origin::File { .. } => format!("file {origin}"),
            origin => origin.to_string(),
        }
    }

    /// All settings as a file that `--config` takes, each with the origin of its value in a comment. A
    /// secret is commented out: it must be given again.
    #[must_use]
    pub fn to_toml(&self) -> String {
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
            let from = self.source(setting);
            writeln!(text, "{line:<44} # {from}{again}").expect("a text is written to memory");
        }
        text
    }
}
