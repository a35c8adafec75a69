//! What nodes have in common: labels such as `zone=a`, and the scopes that they make.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The most labels of a node.
pub(crate) const MOST_LABELS: usize = 8;
/// The longest name of a failover, and the longest key or value of a label, in bytes.
pub(crate) const LONGEST_NAME: usize = 64;

/// A key and a value, such as `zone=a`: both of 1 to 64 bytes, printable, without `=` and `,`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    pub(crate) key: Arc<str>,
    pub(crate) value: Arc<str>,
}

/// Why a text is not a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelError(String);

impl Label {
    /// A label.
    ///
    /// # Errors
    /// [`LabelError`] if the key or the value is empty, longer than 64 bytes, or has a character that
    /// is not printable, `=` or `,`.
    pub fn new(key: &str, value: &str) -> Result<Self, LabelError> {
        if is_name(key) && is_name(value) {
            return Ok(Self { key: key.into(), value: value.into() });
        }
        Err(LabelError(format!("{key}={value}")))
    }

    /// The key, such as `zone`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value, such as `a`.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Whether a text can be a key, a value, or the name of a failover in a cluster.
pub(crate) fn is_name(text: &str) -> bool {
    let sound = |c: char| !c.is_control() && c != '=' && c != ',';
    (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(sound)
}

impl FromStr for Label {
    type Err = LabelError;

    /// From `zone=a`.
    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (key, value) = text.split_once('=').ok_or_else(|| LabelError(text.to_owned()))?;
        Self::new(key.trim(), value.trim())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a label: it must be a key and a value such as zone=a, each of 1 to \
             {LONGEST_NAME} bytes, printable, without '=' and ','",
            self.0
        )
    }
}

impl std::error::Error for LabelError {}

/// The nodes that a decision is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All nodes of the cluster.
    #[default]
    Fleet,
    /// The nodes with this label.
    Label(Label),
}

impl Scope {
    /// Whether a node with these labels is in the scope.
    pub(crate) fn has(&self, labels: &[Label]) -> bool {
        match self {
            Self::Fleet => true,
            Self::Label(label) => labels.contains(label),
        }
    }
}

impl fmt::Display for Scope {
    /// `fleet`, or the label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Label(label) => label.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_and_a_value() {
        let label: Label = "zone=eu-west 1".parse().unwrap();
        assert_eq!((label.key(), label.value()), ("zone", "eu-west 1"));
        assert_eq!(label.to_string(), "zone=eu-west 1");
        let long = format!("zone={}", "a".repeat(65));
        for text in ["", "zone", "=a", "zone=", "a=b=c", "zone=a,b", "zone=\u{7}", &long] {
            let error = text.parse::<Label>().unwrap_err().to_string();
            assert!(error.contains("such as zone=a"), "{error}");
        }
    }

    #[test]
    fn a_scope_has_all_nodes_or_those_with_its_label() {
        let labels = ["version=2", "zone=a"].map(|text| text.parse::<Label>().unwrap());
        assert!(Scope::Fleet.has(&labels) && Scope::Fleet.has(&[]));
        assert!(Scope::Label("zone=a".parse().unwrap()).has(&labels));
        assert!(!Scope::Label("zone=b".parse().unwrap()).has(&labels));
    }
}
