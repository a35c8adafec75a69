//! The terms as people give them: flags of the command, or parameters of the operators' page.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::percent::Percent;
use super::periods::By;
use super::terms::{Excluded, Fallback, Slow, Terms};
use super::times;
use crate::domain::{Money, Provider, printable};

/// The terms as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermArgs {
    /// The start; the period of the first call if it is `None`.
    pub from: Option<String>,
    /// The end; that of the period of the last call if it is `None`.
    pub to: Option<String>,
    /// The name of the only provider, or the beginning of it.
    pub provider: Option<String>,
    /// The length of the periods; a month if it is `None`.
    pub by: Option<String>,
    /// The time zone; UTC if it is `None`.
    pub time_zone: Option<String>,
    /// The agreed availability.
    pub target: Option<String>,
    /// The duration above which a call is slow.
    pub slow: Option<String>,
    /// What is not counted, as `FROM/TO=NAME`.
    pub exclude: Vec<String>,
}

/// A term that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{term}: {message}")]
pub struct WrongTerm {
    /// Its name: of the flag, and of the parameter.
    pub term: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl TermArgs {
    /// The names of the terms.
    pub const NAMES: [&'static str; 8] =
        ["from", "to", "provider", "by", "time-zone", "target", "slow", "exclude"];

    /// Sets the term of this name. An empty text is as none; `exclude` may have several lines, and may be
    /// set again, which adds to it. False if there is no such term.
    pub fn set(&mut self, name: &str, text: &str) -> bool {
        let given = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let term = match name {
            "from" => &mut self.from,
            "to" => &mut self.to,
            "provider" => &mut self.provider,
            "by" => &mut self.by,
            "time-zone" => &mut self.time_zone,
            "target" => &mut self.target,
            "slow" => &mut self.slow,
            "exclude" => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                self.exclude.extend(lines.map(str::to_owned));
                return true;
            }
            _ => return false,
        };
        *term = given;
        true
    }

    /// What is asked for, of at most `most_periods` periods.
    ///
    /// # Errors
    /// Each term that can't be read. A wrong time zone alone is named if there is one, since the times are
    /// read in it.
    pub fn terms(
        &self,
        fallback_price: Option<Money>,
        most_periods: usize,
    ) -> Result<Terms, Vec<WrongTerm>> {
        let zone = times::zone(self.time_zone.as_deref().unwrap_or("UTC"));
        let zone = zone.map_err(|error| vec![wrong("time-zone", &error)])?;
        let mut found = Vec::new();
        let from = read("from", self.from.as_ref(), |text| times::minute(text, &zone), &mut found);
        let to = read("to", self.to.as_ref(), |text| times::minute(text, &zone), &mut found);
        let by = read("by", self.by.as_ref(), By::from_str, &mut found);
        let target = read("target", self.target.as_ref(), Percent::from_str, &mut found);
        let slow = read("slow", self.slow.as_ref(), Slow::from_str, &mut found);
        let minute = |text: &str| times::minute(text, &zone).map_err(|error| error.to_string());
        let mut excluded = Vec::new();
        for text in &self.exclude {
            excluded.extend(read("exclude", Some(text), |text| window(text, minute), &mut found));
        }
        if !found.is_empty() {
            return Err(found);
        }
        let fallback = |price| Fallback { provider: Provider::Premium.name().to_owned(), price };
        Ok(Terms {
            by: by.unwrap_or(By::Month),
            from,
            to,
            provider: self.provider.as_deref().map(provider),
            target,
            slow,
            excluded,
            fallback: fallback_price.map(fallback),
            most_periods,
            zone,
        })
    }
}

fn wrong(term: &'static str, error: &impl ToString) -> WrongTerm {
    WrongTerm { term, message: error.to_string() }
}

/// A term that is given, if it can be read; otherwise what is wrong goes to `found`.
fn read<T, E: ToString>(
    term: &'static str,
    given: Option<&String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
    found: &mut Vec<WrongTerm>,
) -> Option<T> {
    match given.map(|text| parse(text))? {
        Ok(term) => Some(term),
        Err(error) => {
            found.push(wrong(term, &error));
            None
        }
    }
}

/// An excluded window.
fn window(given: &str, minute: impl Fn(&str) -> Result<i64, String>) -> Result<Excluded, String> {
    let wrong = || {
        format!(
            "{given}: write FROM/TO=NAME, such as 2026-05-03T01:00/2026-05-03T03:00=maintenance"
        )
    };
    let (range, name) = given.split_once('=').ok_or_else(wrong)?;
    let (start, end) = range.split_once('/').ok_or_else(wrong)?;
    let name = name.trim();
    if name.is_empty() {
        return Err(wrong());
    }
    let (start, end) = (minute(start.trim())?, minute(end.trim())?);
    if start >= end {
        return Err(format!("{given}: its end is not after its start"));
    }
    Ok(Excluded { start, end, name: name.to_owned() })
}

/// A name that no call in the log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProvider {
    name: String,
    others: Vec<String>,
}

impl NoProvider {
    /// The error, if the log has calls, of these names, and none of `name`.
    #[must_use]
    pub fn found(name: &str, others: BTreeSet<String>) -> Option<Self> {
        let is_missing = !others.is_empty() && !others.contains(name);
        let others = others.into_iter().collect();
        is_missing.then(|| Self { name: name.to_owned(), others })
    }
}

impl fmt::Display for NoProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = printable(&self.others.join(", "));
        write!(
            f,
            "--provider {}: the log has no such provider, but {others}",
            printable(&self.name)
        )
    }
}

/// A known provider by the beginning of its name, or the name as it is given: the log may have others.
#[must_use]
pub fn provider(given: &str) -> String {
    let begins = |provider: &Provider| {
        provider.name().get(..given.len()).is_some_and(|start| start.eq_ignore_ascii_case(given))
    };
    match Provider::ALL.into_iter().find(|provider| !given.is_empty() && begins(provider)) {
        Some(provider) => provider.name().to_owned(),
        None => given.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_term_is_named_and_an_empty_one_is_none() {
        let mut given = TermArgs::default();
        for name in TermArgs::NAMES {
            assert!(given.set(name, " \r\n "), "{name}");
        }
        assert_eq!(given, TermArgs::default());
        assert!(!given.set("database", "x"));
        for (name, text) in [("from", "soon"), ("by", "year"), ("target", "101"), ("slow", "2")] {
            given.set(name, text);
        }
        given.set("exclude", "2026-01-01/2026-01-02=new year\r\n\r\n2026-01-02/2026-01-01=x\n?");
        let wrong = given.terms(None, 9).unwrap_err();
        let terms: Vec<_> = wrong.iter().map(|wrong| wrong.term).collect();
        assert_eq!(terms, ["from", "by", "target", "slow", "exclude", "exclude"]);
        given.set("time-zone", "Mars");
        assert_eq!(given.terms(None, 9).unwrap_err()[0].term, "time-zone");
    }

    #[test]
    fn a_provider_is_found_by_the_beginning_of_its_name() {
        for (text, name) in
            [("supercar", "SuperCar Valuations"), ("Prem", "Premium Car Valuations"), ("é", "é")]
        {
            let given = TermArgs { provider: Some(text.to_owned()), ..TermArgs::default() };
            assert_eq!(given.terms(None, 9).unwrap().provider.as_deref(), Some(name));
        }
    }
}
