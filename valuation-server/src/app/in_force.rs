//! The configuration in force: that of the sources, with an operator's changes of the policy.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::{Config, ConfigError, Override, Setting};

/// A configuration, and how it came about. Changes give another one.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    config: Config,
    /// What flags, the environment and the document say, including what waits for a restart.
    sources: Config,
    /// Until the restart, over the saved ones.
    temporary: OperatorChanges,
    saved: OperatorChanges,
    /// When a change was last taken back.
    taken_back: BTreeMap<Setting, Timestamp>,
}

pub(super) type OperatorChanges = BTreeMap<Setting, OperatorChange>;

/// An operator's change of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OperatorChange {
    /// The value, as it was given.
    pub(super) value: String,
    /// The operator's address.
    pub(super) by: String,
    pub(super) at: Timestamp,
}

/// What an operator changes at once.
#[derive(Clone, Debug)]
pub(super) struct Amendment {
    /// `None` takes the earlier change back, a saved one, too.
    pub(super) settings: BTreeMap<Setting, Option<String>>,
    /// Whether it is saved for later starts.
    pub(super) persist: bool,
    pub(super) by: String,
    pub(super) at: Timestamp,
}

impl InForce {
    /// The configuration of a start.
    pub(super) fn new(config: Config) -> Self {
        let (temporary, saved, taken_back) = Default::default();
        Self { sources: config.clone(), config, temporary, saved, taken_back }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The operator's change of a setting that is in force, and whether it is saved.
    pub(super) fn change(&self, setting: Setting) -> Option<(&OperatorChange, bool)> {
        let saved = || self.saved.get(&setting).map(|change| (change, true));
        self.temporary.get(&setting).map(|change| (change, false)).or_else(saved)
    }

    /// The settings that an operator has changed.
    pub(super) fn changed(&self) -> Vec<Setting> {
        self.saved.keys().chain(self.temporary.keys()).copied().collect()
    }

    /// When an operator's change of a setting was last taken back.
    pub(super) fn taken_back(&self, setting: Setting) -> Option<Timestamp> {
        self.taken_back.get(&setting).copied()
    }

    /// The changes that later starts have as well.
    pub(super) fn saved(&self) -> &OperatorChanges {
        &self.saved
    }

    /// After the sources have given another configuration. Those of `kept` wait for a restart, too.
    pub(super) fn with_sources(
        self,
        sources: Config,
        kept: &[Setting],
    ) -> Result<Self, ConfigError> {
        let applicable =
            kept.iter().fold(sources.clone(), |next, kept| next.keeping(*kept, &self.config));
        let config = self.config.reloaded(&applicable, &self.overrides())?;
        Ok(Self { config, sources, ..self })
    }

    /// After an operator's changes of the policy.
    pub(super) fn amended(mut self, amendment: &Amendment) -> Result<Self, ConfigError> {
        let Amendment { settings, persist, by, at } = amendment;
        for (setting, value) in settings {
            self.temporary.remove(setting);
            let Some(value) = value.clone() else {
                self.saved.remove(setting);
                self.taken_back.insert(*setting, *at);
                continue;
            };
            let change = OperatorChange { value, by: by.clone(), at: *at };
            let changes = if *persist { &mut self.saved } else { &mut self.temporary };
            changes.insert(*setting, change);
        }
        self.overridden()
    }

    /// With the changes that were saved before the start.
    pub(super) fn with_saved(self, saved: OperatorChanges) -> Result<Self, ConfigError> {
        Self { saved, ..self }.overridden()
    }

    /// What the next start would use: the sources and the saved changes.
    pub(super) fn at_restart(&self) -> Config {
        let saved = overrides(&self.saved, true).collect();
        // Saved changes that make no sense there are left out at a start.
        self.sources.clone().overridden(&saved).unwrap_or_else(|_| self.sources.clone())
    }

    fn overridden(self) -> Result<Self, ConfigError> {
        let base = Setting::live()
            .fold(self.config.clone(), |next, setting| next.keeping(setting, &self.sources));
        Ok(Self { config: base.overridden(&self.overrides())?, ..self })
    }

    fn overrides(&self) -> BTreeMap<Setting, Override> {
        overrides(&self.saved, true).chain(overrides(&self.temporary, false)).collect()
    }
}

fn overrides(changes: &OperatorChanges, saved: bool) -> impl Iterator<Item = (Setting, Override)> {
    changes
        .iter()
        .map(move |(setting, change)| (*setting, Override { value: change.value.clone(), saved }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Origin;
    use crate::providers::BaseUrl;

    fn start(settings: &[(Setting, &str)]) -> Config {
        let url = || BaseUrl::parse("http://127.0.0.1:1").unwrap();
        let flags = settings.iter().map(|(setting, value)| (*setting, (*value).to_owned()));
        Config::with_providers(&flags.collect(), Path::new("v.sqlite"), url(), url()).unwrap()
    }

    fn amendment(value: Option<&str>, persist: bool) -> Amendment {
        Amendment {
            settings: BTreeMap::from([(Setting::MinCalls, value.map(str::to_owned))]),
            persist,
            by: "here".into(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_change_until_the_restart_is_over_a_saved_one_and_that_over_the_sources() {
        let setting = Setting::MinCalls;
        let values = |now: &InForce| {
            let origin = now.config().origin(setting).clone();
            (now.config().min_calls, origin, now.at_restart().min_calls)
        };
        let now = InForce::new(start(&[(setting, "5")]));
        assert_eq!(values(&now), (5, Origin::Flag, 5));
        let now = now.amended(&amendment(Some("6"), true)).unwrap();
        assert_eq!(values(&now), (6, Origin::Saved, 6));
        let now = now.amended(&amendment(Some("7"), false)).unwrap();
        assert_eq!(values(&now), (7, Origin::Operator, 6));
        let now = now.with_sources(start(&[(setting, "8")]), &[]).unwrap();
        assert_eq!(values(&now), (7, Origin::Operator, 6));
        assert!(now.clone().amended(&amendment(Some("0"), true)).is_err());
        let now = now.amended(&amendment(None, false)).unwrap();
        assert_eq!(values(&now), (8, Origin::Flag, 8));
        assert!(now.saved().is_empty() && now.change(setting).is_none());
    }
}
