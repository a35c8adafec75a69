//! Settings in the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{
    CA_VARIABLE, ConfigError, FILE_VARIABLE, Given, Invalid, Origin, Setting, TOKEN_VARIABLE,
    refused,
};

/// The prefix of this program's variables.
const PREFIX: &str = "VALUATION_";

/// The variables for this program that are not empty.
///
/// Kubernetes sets variables such as `VALUATION_SERVER_PORT` in every container for a service
/// `valuation-server`. They are recognized by the `…_SERVICE_HOST` that it sets with them.
pub(super) fn ours(
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> BTreeMap<String, OsString> {
    let mut ours: BTreeMap<_, _> = all
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    let services: Vec<_> = ours
        .keys()
        .filter_map(|name| Some(name.strip_suffix("SERVICE_HOST")?.to_owned()))
        .collect();
    ours.retain(|name, _| {
        !services
            .iter()
            .filter_map(|service| name.strip_prefix(service.as_str()))
            .any(|rest| rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_"))
    });
    ours
}

/// The settings in them.
pub(super) fn read(
    variables: BTreeMap<String, OsString>,
) -> Result<BTreeMap<Setting, Given>, ConfigError> {
    let mut given = BTreeMap::new();
    for (name, value) in variables {
        let (setting, origin) = (of(&name)?, Origin::Environment);
        let text = value.into_string().map_err(|value| {
            let text = value.to_string_lossy().into_owned();
            refused(setting, &Given { text, origin: origin.clone() }, Invalid::NotUnicode)
        })?;
        given.insert(setting, Given { text, origin });
    }
    Ok(given)
}

/// The similarity of two names. A common beginning counts more, since the end is often left out.
fn likeness(one: &str, other: &str) -> f64 {
    let without = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    strsim::jaro_winkler(&without(one), &without(other))
}

fn of(name: &str) -> Result<Setting, ConfigError> {
    let settings = || Setting::ALL.into_iter();
    settings().find(|setting| setting.variable() == name).ok_or_else(|| {
        let known = settings()
            .map(Setting::variable)
            .chain([FILE_VARIABLE, TOKEN_VARIABLE, CA_VARIABLE].map(str::to_owned));
        let nearest =
            known.max_by(|one, other| likeness(one, name).total_cmp(&likeness(other, name)));
        ConfigError::UnknownVariable {
            name: name.to_owned(),
            nearest: nearest.expect("there are settings"),
        }
    })
}
