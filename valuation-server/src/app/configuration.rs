//! The configuration in force, as the operators see it.

use std::time::SystemTime;

use failover::clock::Clock;

use super::live::Live;
use crate::admin::Warning;
use crate::config::{Seen, Setting, Trouble};
use crate::web::operator::{self, Configuration, Document, SettingInForce};

/// The configuration of a running server, and when it began.
#[derive(Debug)]
pub(super) struct Configured<Clk: Clock> {
    live: Live<Clk>,
    started: SystemTime,
}

impl<Clk: Clock> Configured<Clk> {
    /// Of a server that begins now.
    pub(super) fn new(live: Live<Clk>) -> Self {
        Self { live, started: SystemTime::now() }
    }

    pub(super) fn shown(&self) -> Configuration {
        let Seen { place, read_at, since, refused, unreachable, .. } = self.live.status().seen();
        let in_force = self.live.providers.in_force();
        let (config, next) = (in_force.config(), in_force.at_restart());
        let setting = |setting: Setting| {
            let change = in_force.change(setting);
            let ordered = change.map(|(change, _)| change.at).or(in_force.taken_back(setting));
            let ordered = ordered.map(SystemTime::from);
            let applied = since.get(&setting).copied();
            let since = if change.is_some() { ordered } else { ordered.max(applied) };
            SettingInForce {
                key: setting.key(),
                value: config.shown(setting),
                source: config.source(setting),
                by: change.map(|(change, _)| change.by.clone()),
                since: since.unwrap_or(self.started),
                change: setting.change().as_str(),
                waits: config.differs(&next, setting),
                at_restart: next.shown(setting),
            }
        };
        Configuration {
            document: place.map(|place| Document {
                place,
                read_at: read_at.unwrap_or(self.started),
                refused: refused.map(trouble),
                unreachable: unreachable.map(trouble),
            }),
            settings: Setting::ALL.map(setting).into(),
        }
    }

    /// What is wrong with the newest document.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Warning> {
        let Seen { place, refused, unreachable, .. } = self.live.status().seen();
        let place = place.unwrap_or_default();
        let text = |what: &str, trouble: &Trouble| {
            let because = &trouble.because;
            format!("configuration: {place} {what}, and the earlier one stays in force: {because}")
        };
        let refused = refused
            .map(|trouble| Warning { kind: "configRefused", text: text("is refused", &trouble) });
        let unreachable = unreachable.map(|trouble| Warning {
            kind: "configUnreachable",
            text: text("can't be read", &trouble),
        });
        refused.into_iter().chain(unreachable)
    }
}

fn trouble(Trouble { at, because }: Trouble) -> operator::Trouble {
    operator::Trouble { at, because }
}
