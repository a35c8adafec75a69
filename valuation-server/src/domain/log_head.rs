//! A head of the hash chain over the log of provider calls.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// A head of the hash chain over the log: it binds all rows up to an id. As text `ID-HEX`, the value of the
/// header `audit-log-head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogHead {
    /// The id of the last row.
    pub last_id: i64,
    /// The hash of the rows and of everything before them.
    pub hash: [u8; 32],
}

impl fmt::Display for LogHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.last_id)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is no head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no head of the log; write it as in the header audit-log-head: an id, -, and 64 hexadecimal \
     digits"
)]
pub struct LogHeadError(String);

impl FromStr for LogHead {
    type Err = LogHeadError;

    fn from_str(text: &str) -> Result<Self, LogHeadError> {
        let parsed = || {
            let (id, digits) = text.split_once('-')?;
            let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            if digits.len() != 64
                || !is_hexadecimal
                || !id.bytes().all(|digit| digit.is_ascii_digit())
            {
                return None;
            }
            let mut hash = [0; 32];
            for (at, byte) in hash.iter_mut().enumerate() {
                *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
            }
            Some(Self { last_id: id.parse().ok()?, hash })
        };
        parsed().ok_or_else(|| {
            let mut shown = String::new();
            for c in text.chars().take(100) {
                let _ = if c.is_control() { shown.write_char('?') } else { shown.write_char(c) };
            }
            LogHeadError(shown)
        })
    }
}

/// The newest committed head. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct NewestHead(Arc<Mutex<Option<LogHead>>>);

impl NewestHead {
    /// Replaces it.
    pub fn set(&self, head: LogHead) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
    }

    /// The head; `None` before the first one. The lock is held for a copy of 40 bytes.
    #[must_use]
    pub fn get(&self) -> Option<LogHead> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written_and_nothing_else_is() {
        let mut hash = [1; 32];
        hash[..3].copy_from_slice(&[0xe8, 0xe9, 0x0a]);
        let head = LogHead { last_id: 1_234, hash };
        let text = head.to_string();
        assert!(text.starts_with("1234-e8e9"), "{text}");
        assert_eq!(text.parse(), Ok(head));
        assert_eq!(text.to_uppercase().parse(), Ok(head));
        for wrong in [
            "",
            "-",
            "1",
            &text[..text.len() - 1],
            &format!("{text}0"),
            &text.replace("1234", "-5"),
            &text.replace("1234", "+5"),
            &text.replace("1234", "99999999999999999999"),
            &text.replace("e8", "+8"),
            &text.replace("e8", "ü"),
        ] {
            let error = wrong.parse::<LogHead>().unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{wrong}: {error}");
        }
    }
}
