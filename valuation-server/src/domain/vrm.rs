//! The registration mark of a vehicle.

use std::fmt;
use std::sync::Arc;

/// A registration mark: 1 to 7 UTF-16 units, no control characters, case kept.
///
/// The length is counted in UTF-16 units because the older service, which shares the database, does so.
/// A clone is a reference count.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vrm(Arc<str>);

/// Why a text is not a registration mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VrmError {
    /// It is empty.
    #[error("vrm must not be empty")]
    Empty,
    /// More than 7 UTF-16 units.
    #[error("vrm must be 7 characters or less")]
    TooLong,
    /// A control character (Unicode category Cc).
    #[error("vrm must not contain control characters")]
    ControlCharacter,
}

impl Vrm {
    /// The longest registration mark, in UTF-16 units.
    pub const MAX_UNITS: usize = 7;

    /// Takes a text, which is percent-decoded already.
    ///
    /// # Errors
    /// [`VrmError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, VrmError> {
        if text.is_empty() {
            return Err(VrmError::Empty);
        }
        if text.encode_utf16().nth(Self::MAX_UNITS).is_some() {
            return Err(VrmError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(VrmError::ControlCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The mark as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Vrm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_case_and_inner_spaces() {
        assert_eq!(Vrm::parse("aB 1 cD").unwrap().as_str(), "aB 1 cD");
    }

    #[test]
    fn counts_utf16_units_not_bytes_or_characters() {
        assert!(Vrm::parse("éééééééé").is_err());
        assert!(Vrm::parse("ééééééé").is_ok());
        assert!(Vrm::parse("🚗🚗🚗a").is_ok());
        assert_eq!(Vrm::parse("🚗🚗🚗🚗"), Err(VrmError::TooLong));
    }

    #[test]
    fn refuses_the_empty_and_the_unprintable() {
        assert_eq!(Vrm::parse(""), Err(VrmError::Empty));
        assert_eq!(Vrm::parse("A\u{0}"), Err(VrmError::ControlCharacter));
        assert_eq!(Vrm::parse("A\u{7f}"), Err(VrmError::ControlCharacter));
        assert_eq!(Vrm::parse("A\u{85}"), Err(VrmError::ControlCharacter));
        assert_eq!(Vrm::parse("A\r\nB"), Err(VrmError::ControlCharacter));
    }
}
