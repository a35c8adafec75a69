//! What can be wrong with a configuration.

use std::io;
use std::path::PathBuf;

use super::Setting;

/// Why there is no configuration. Each text names the setting where it was given, the value, and
/// what would be right; credentials and keys in a URL are redacted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is not what its setting takes.
    #[error("{place}: {value:?} is not {expected}{because}")]
    Value {
        /// The setting.
        setting: Setting,
        /// Where the value was given: a flag, a variable, or a key with its file and line.
        place: String,
        /// The value, redacted.
        value: String,
        /// What it must be.
        expected: &'static str,
        /// What is wrong with it, where that is not clear from the above; begins with a colon.
        because: String,
    },
    /// One or both of the providers' URLs are given nowhere.
    #[error("serve needs to know where the providers are: set {}", missing_urls(.0))]
    Missing(Vec<Setting>),
    /// The file can't be read.
    #[error("the configuration file {} can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML in line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the reader of TOML says.
        message: String,
    },
    /// A variable is named like a setting's and is none. Its value may be a secret.
    #[error("there is no setting {name}; the nearest is {nearest}")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The setting's variable whose name is the most like it.
        nearest: String,
    },
    /// The file has a key that is no setting.
    #[error(
        "the configuration file {} has an unknown key {key:?} in line {line}; there are {}",
        path.display(), keys()
    )]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
}

fn missing_urls(settings: &[Setting]) -> String {
    let ways: Vec<String> = settings
        .iter()
        .map(|s| format!("{} (or {}, or {} in the file)", s.flag(), s.variable(), s.key()))
        .collect();
    ways.join(" and ")
}

fn keys() -> String {
    Setting::ALL.map(Setting::key).join(", ")
}
