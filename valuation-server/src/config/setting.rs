//! A row of the table of settings, and the origin of a value.

use std::fmt;

use super::Setting;
use super::kinds::Form;
use crate::document::Place;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) scope: Scope,
    pub(crate) change: Change,
    pub(crate) default: Default,
    pub(crate) help: &'static str,
    /// What the documentation says in addition.
    #[cfg(test)]
    pub(crate) more: &'static str,
    pub(crate) form: Form,
}

/// Where a setting can be given; each scope includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// To `serve` and `check`.
    Serve,
    /// To `demo` as well.
    Demo,
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At once: from the configuration's document, or by an operator, since it is part of the failover's
    /// policy.
    Operator,
    /// At once, from the configuration's document.
    Reload,
    /// At the next start.
    Restart,
}

impl Change {
    /// In one word, as the documentation and the operators' page have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// The default of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    Text(&'static str),
    Differs {
        serve: &'static str,
        demo: &'static str,
    },
    /// It must be given.
    Required,
    None,
}

impl Default {
    pub(crate) fn text(self) -> Option<&'static str> {
        match self {
            Self::Text(text) | Self::Differs { serve: text, .. } => Some(text),
            Self::Required | Self::None => None,
        }
    }

    /// The demo's default, if it is not that of `serve`.
    pub(crate) fn in_demo(self) -> Option<&'static str> {
        if let Self::Differs { demo, .. } = self { Some(demo) } else { None }
    }
}

impl Setting {
    /// Whether an operator may change it while the server runs: it is part of the failover's policy.
    #[must_use]
    pub fn is_live(self) -> bool {
        self.change() == Change::Operator
    }

    /// When a change of it takes effect.
    #[must_use]
    pub fn change(self) -> Change {
        self.row().change
    }

    /// The live settings.
    pub fn live() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|setting| setting.is_live())
    }

    /// The key in the file; the flag is the same after `--`.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.row().key
    }

    /// The setting of that key, if there is one.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.key() == key)
    }

    /// What it means, in a few words.
    #[must_use]
    pub fn help(self) -> &'static str {
        self.row().help
    }

    /// The flag, such as `--failure-rate`.
    #[must_use]
    pub fn flag(self) -> String {
        format!("--{}", self.key())
    }

    /// The environment variable, such as `VALUATION_FAILURE_RATE`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("VALUATION_{}", self.key().replace('-', "_").to_ascii_uppercase())
    }
}

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The document.
    Document {
        /// Its path or URL.
        place: Place,
        /// The line of the value, from 1.
        line: usize,
    },
    /// An operator, while the server runs; until the restart.
    Operator,
    /// An operator, whose change is saved for later starts.
    Saved,
    /// It was not given.
    Default,
}

impl Origin {
    /// The name of `setting` where it was given.
    #[must_use]
    pub fn place(&self, setting: Setting) -> String {
        match self {
            Self::Flag => setting.flag(),
            Self::Environment => setting.variable(),
            Self::Document { place, line } => format!("{} ({place}, line {line})", setting.key()),
            Self::Operator | Self::Saved => setting.key().to_owned(),
            Self::Default => format!("{} (default)", setting.key()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::Document { place, line } => write!(f, "{place}, line {line}"),
            Self::Operator => f.write_str("operator"),
            Self::Saved => f.write_str("operator, saved"),
            Self::Default => f.write_str("default"),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Compares the files that list all settings with the table. `UPDATE_SETTINGS=1` writes them.

    use std::fmt::Write as _;
    use std::path::Path;
    use std::{env, fs};

    use super::*;

    /// Compares a file of the workspace with the wanted text, or writes it.
    fn hold(path: &str, wanted: impl Fn(&str) -> String) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let found = fs::read_to_string(&path).unwrap_or_default();
        let wanted = wanted(&found);
        if env::var_os("UPDATE_SETTINGS").is_some() {
            fs::write(&path, &wanted).unwrap();
        } else {
            assert_eq!(found, wanted, "{}: run this test with UPDATE_SETTINGS=1", path.display());
        }
    }

    fn documentation() -> String {
        let mut text = "\
# Settings

The test `config::setting` writes this table from `src/config/table.rs`.

A flag has precedence over an environment variable, a variable over the [document](configuration.md), a file or
URL, that `--config` or `VALUATION_CONFIG` names, the document over the default. It is TOML; its keys are the flags' names
without `--`.

The column \"change\" says when another value takes effect: `operator`: at once, in the file as well as by an
operator's command (`PUT /admin/failovers/valuations/policy`); `reload`: at once, in the file; `restart`: at the
next start. [operating.md](operating.md#settings) has the details.

| flag | environment | default | change | meaning |
|---|---|---|---|---|
"
        .to_owned();
        for setting in Setting::ALL {
            let Row { change, default, help, more, form, .. } = setting.row();
            let default = match default {
                Default::Text(text) => format!("`{text}`"),
                Default::Differs { serve, demo } => format!("`{serve}`, in the demo `{demo}`"),
                Default::Required => "must be set".to_owned(),
                Default::None => "–".to_owned(),
            };
            let change = change.as_str();
            let more = if more.is_empty() { String::new() } else { format!(" {more}.") };
            let flag = if form.on_command_line {
                format!("`{}`", setting.flag())
            } else {
                "–".to_owned()
            };
            let (variable, expected) = (setting.variable(), form.expected);
            writeln!(
                text,
                "| {flag} | `{variable}` | {default} | {change} | {help}.{more} Takes {expected}. |"
            )
            .unwrap();
        }
        text
    }

    const EXAMPLE: &str = "valuation-server/packaging/config.example.toml";

    /// The value that the example shows if there is no default.
    fn shown_in_example(setting: Setting) -> &'static str {
        match setting {
            Setting::SupercarUrl => "https://supercar.example/v1",
            Setting::PremiumUrl => "https://premium.example/v1",
            Setting::DatabasePassword => "<the password of the role>",
            // Refused, so that nobody runs with a secret that everybody knows.
            _ => "<what `openssl rand -hex 32` prints>",
        }
    }

    fn example() -> String {
        let mut text = "\
# Settings of valuation-server, all of them, with their defaults: for `serve --config FILE`, or
# VALUATION_CONFIG=FILE. `valuation-server check --config FILE` says whether it is right.
# Flags and VALUATION_* variables override this file. It may hold keys: let nobody else read it.
#
# The test `config::setting` writes this file from `src/config/table.rs`.
"
        .to_owned();
        for setting in Setting::ALL {
            let Row { key, default, help, more, form, .. } = setting.row();
            let more = if more.is_empty() { String::new() } else { format!(" {more}.") };
            let state = match default {
                Default::Required => " Must be set.",
                Default::None => " Not set by default.",
                _ => "",
            };
            let words = format!("{help}.{more} Takes {}.{state}", form.expected);
            text.push_str("\n#");
            let mut column = 1;
            for word in words.split_whitespace() {
                if column + 1 + word.chars().count() > 100 {
                    text.push_str("\n#");
                    column = 1;
                }
                text.push(' ');
                text.push_str(word);
                column += 1 + word.chars().count();
            }
            let value = default.text().unwrap_or_else(|| shown_in_example(setting));
            writeln!(text, "\n#{key} = {}", toml::Value::from(value)).unwrap();
        }
        text
    }

    #[test]
    fn the_example_of_a_file_is_what_the_table_gives() {
        hold(EXAMPLE, |_| example());
    }

    /// The file with every setting in force; a line of words has a space after its `#`.
    #[test]
    fn the_example_without_its_comment_signs_is_the_default_and_its_secrets_are_refused() {
        use std::collections::BTreeMap;

        use crate::config::Config;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let load = |text: String| {
            fs::write(&path, text).unwrap();
            Config::load(&BTreeMap::new(), Some(&path), [])
        };
        let in_force = |line: &str| {
            let setting = line.strip_prefix('#').filter(|rest| !rest.is_empty());
            setting.filter(|rest| !rest.starts_with(' ')).map(|rest| format!("{rest}\n"))
        };
        let lines: Vec<String> = example().lines().filter_map(in_force).collect();
        assert_eq!(lines.len(), Setting::ALL.len());
        let (secrets, others): (Vec<String>, Vec<String>) =
            lines.into_iter().partition(|line| line.contains("= \"<"));
        let given = load(others.concat()).unwrap();
        let urls = others.iter().filter(|line| line.contains("-url = ")).cloned();
        let defaults = load(urls.collect()).unwrap();
        for setting in Setting::ALL {
            assert_eq!(given.shown(setting), defaults.shown(setting), "{}", setting.key());
        }
        assert_eq!(secrets.len(), 3);
        for secret in secrets {
            let error = load(others.concat() + &secret).unwrap_err().to_string();
            let expected = if secret.starts_with(Setting::DatabasePassword.key()) {
                "--database is a file"
            } else {
                "without spaces"
            };
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_documentation_is_what_the_table_gives() {
        hold("valuation-server/docs/settings.md", |_| documentation());
    }

    /// A fuzzer hardly ever finds the name of a setting by itself.
    #[test]
    fn the_fuzzers_dictionary_and_its_largest_seed_name_every_setting() {
        let key = |line: &str| Some(line.split_once(" = ")?.0.trim_start_matches('"').to_owned());
        hold("fuzz/dictionaries/config_file.dict", |found| {
            let keys = Setting::ALL.map(|setting| format!("\"{} = \"", setting.key()));
            let others = found.lines().filter(|line| key(line).is_none()).map(str::to_owned);
            keys.into_iter().chain(others).map(|line| line + "\n").collect()
        });
        hold("fuzz/seeds/config_file/all", |found| {
            let line = |setting: Setting| {
                let kept = found.lines().find(|line| key(line).as_deref() == Some(setting.key()));
                kept.map_or_else(
                    || format!("{} = \"off\"\n", setting.key()),
                    |line| format!("{line}\n"),
                )
            };
            Setting::ALL.into_iter().map(line).collect()
        });
    }
}
