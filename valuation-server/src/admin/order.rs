//! A command as an operator gave it, and the forced route that it may lead to.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Command;

/// Which nodes an operator's order is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The node that it was sent to.
    #[default]
    Node,
    /// All nodes of its cluster.
    Fleet,
}

/// The future of [`Failover::execute`](super::Failover::execute).
pub type Executed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A command as an operator gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub command: Command,
    /// The address of the operator.
    pub by: String,
    /// When it was given.
    pub at: Timestamp,
    /// When a forced route ends. `None`: when it is released.
    pub until: Option<Timestamp>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Which nodes it is for.
    pub scope: Scope,
}

/// A change of a policy as an operator gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// The settings by name, and their values as texts. `None` takes an operator's earlier change back, a saved
    /// one, too: the value of the configuration is in force again.
    pub settings: BTreeMap<String, Option<String>>,
    /// Whether it is saved for later starts. Otherwise it lasts until the next one.
    pub persist: bool,
    /// The address of the operator.
    pub by: String,
    /// When it was given.
    pub at: Timestamp,
    /// Which nodes it is for.
    pub scope: Scope,
}

/// A forced route. Its JSON is the same in answers and in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The forced route.
    pub route: ForcedRoute,
    /// The address of the operator.
    pub by: String,
    /// When it was ordered.
    #[serde(with = "utc")]
    pub since: Timestamp,
    /// When it ends. `None`: when it is released.
    #[serde(with = "utc::optional")]
    pub until: Option<Timestamp>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// The route that an order names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForcedRoute {
    /// All calls go to the primary.
    Primary,
    /// All calls go to the fallback.
    Fallback,
}

impl Instruction {
    /// The forced route; `None` if the command forces none.
    #[must_use]
    pub fn order(&self) -> Option<Order> {
        let route = match self.command {
            Command::ForcePrimary => ForcedRoute::Primary,
            Command::ForceFallback => ForcedRoute::Fallback,
            Command::Auto | Command::Reset => return None,
        };
        let (by, reason) = (self.by.clone(), self.reason.clone());
        Some(Order { route, by, since: self.at, until: self.until, reason })
    }
}

/// The command with its end and its reason.
impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.command.name())?;
        if let Some(order) = self.order() {
            write!(f, " {}", order.end())?;
        }
        if self.scope == Scope::Fleet {
            f.write_str(" for the whole fleet")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// The settings with their values, and whether they are saved.
impl fmt::Display for PolicyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.scope == Scope::Fleet { " for the whole fleet" } else { "" };
        let setting = |(name, value): (&String, &Option<String>)| match value {
            Some(value) => format!("{name} = {value}"),
            None => format!("{name} as configured"),
        };
        let settings: Vec<_> = self.settings.iter().map(setting).collect();
        let saved = if self.persist { ", saved for later starts" } else { "" };
        write!(f, "policy{whose}: {}{saved}", settings.join(", "))
    }
}

impl Order {
    /// "until 14:00:05 UTC", with the date if that is not the day of the order; or "until it is
    /// released".
    #[must_use]
    pub fn end(&self) -> String {
        let Some(until) = self.until else { return "until it is released".to_owned() };
        let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
        let time = until.strftime("%H:%M:%S UTC");
        if day(until) == day(self.since) {
            format!("until {time}")
        } else {
            format!("until {} {time}", day(until))
        }
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) mod utc {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{time:.3}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }

    /// The same, or `null`.
    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Error, Serializer, Timestamp};

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, to),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(until: Option<&str>) -> Order {
        let time = |text: &str| text.parse().unwrap();
        let (since, until) = (time("2026-11-30T12:00:05.250Z"), until.map(time));
        let (route, by) = (ForcedRoute::Fallback, "127.0.0.1:5".into());
        Order { route, by, since, until, reason: None }
    }

    #[test]
    fn the_end_has_a_date_if_it_is_on_another_day() {
        assert_eq!(order(None).end(), "until it is released");
        assert_eq!(order(Some("2026-11-30T14:00:05Z")).end(), "until 14:00:05 UTC");
        assert_eq!(order(Some("2026-12-01T00:00:00Z")).end(), "until 2026-12-01 00:00:00 UTC");
    }

    #[test]
    fn an_order_is_the_same_after_it_was_written_and_read() {
        for until in [None, Some("2026-12-01T00:00:00Z")] {
            let order = order(until);
            let text = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order, "{text}");
        }
        assert_eq!(
            serde_json::to_string(&order(None)).unwrap(),
            r#"{"route":"fallback","by":"127.0.0.1:5","since":"2026-11-30T12:00:05.250Z","until":null,"reason":null}"#
        );
        assert!(serde_json::from_str::<Order>(r#"{"route":"sideways"}"#).is_err());
    }
}
