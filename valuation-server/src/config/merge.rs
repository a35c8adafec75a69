//! The configuration of a running server, when its sources or an operator want another one.

use std::collections::BTreeMap;

use super::{Change, Config, ConfigError, Given, Origin, Setting, refused};

/// An operator's value of a setting, which replaces that of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The value, as a text.
    pub value: String,
    /// Whether it is saved for later starts.
    pub saved: bool,
}

impl Config {
    /// The configuration of a server that runs with this one, after its sources have given `sources`, with
    /// an operator's values: a setting that waits for a restart keeps its value.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that does not take the operator's value, or whose value makes no
    /// sense together with the others.
    pub fn reloaded(
        &self,
        sources: &Self,
        overrides: &BTreeMap<Setting, Override>,
    ) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        for setting in Setting::ALL {
            if setting.change() != Change::Restart || !self.differs(sources, setting) {
                next.take(setting, sources);
                next.origins.insert(setting, sources.origin(setting).clone());
            }
        }
        next.overridden(overrides)
    }

    /// This configuration with an operator's values.
    ///
    /// # Errors
    /// As [`reloaded`](Self::reloaded).
    pub fn overridden(
        mut self,
        overrides: &BTreeMap<Setting, Override>,
    ) -> Result<Self, ConfigError> {
        let given: BTreeMap<_, _> = overrides
            .iter()
            .map(|(setting, Override { value, saved })| {
                let origin = if *saved { Origin::Saved } else { Origin::Operator };
                (*setting, Given { text: value.clone(), origin })
            })
            .collect();
        for (&setting, given) in &given {
            self.set(setting, &given.text).map_err(|because| refused(setting, given, because))?;
        }
        self.checked(&given)
    }

    /// The same, with the value of one setting from another configuration.
    #[must_use]
    pub fn keeping(mut self, setting: Setting, from: &Self) -> Self {
        self.take(setting, from);
        self.origins.insert(setting, from.origin(setting).clone());
        self
    }

    /// The settings whose values differ.
    pub fn changes(&self, other: &Self) -> Vec<Setting> {
        Setting::ALL.into_iter().filter(|setting| self.differs(other, *setting)).collect()
    }
}
