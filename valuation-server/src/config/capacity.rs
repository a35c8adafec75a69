//! How much the server takes on, and how well it keeps it.

pub use crate::store::Durability;

/// How much the server takes on, and how well it keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// How many clients may be connected at once. Default: 8,000.
    pub max_connections: usize,
    /// How many vehicles may be asked about at once. Default: 1,000.
    pub max_puts: usize,
    /// How many bytes stored valuations may take in memory, about; `None` for none. Default:
    /// 16 MiB.
    pub cache: Option<u64>,
    /// What an answered commit survives. Default: a power loss.
    pub durability: Durability,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            max_connections: 8_000,
            max_puts: 1_000,
            cache: Some(16 << 20),
            durability: Durability::Full,
        }
    }
}

pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| (1..=100_000).contains(number)).ok_or_else(String::new)
}

pub(super) fn size_or_off(text: &str) -> Result<Option<u64>, String> {
    if text == "off" {
        return Ok(None);
    }
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let parsed = units.into_iter().find_map(|(unit, shift)| {
        let count: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        count.checked_mul(1 << shift)
    });
    parsed.filter(|bytes| (1 << 10..=1 << 40).contains(bytes)).map(Some).ok_or_else(String::new)
}

pub(super) fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "full" => Ok(Durability::Full),
        "normal" => Ok(Durability::Normal),
        _ => Err(String::new()),
    }
}

/// What [`size_or_off`] reads back.
pub(super) fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{}MiB", bytes >> 20)
    } else {
        format!("{}KiB", bytes >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_binary_unit() {
        for (text, bytes) in [("1KiB", 1 << 10), ("64MiB", 64 << 20), ("2 GiB", 2 << 30)] {
            assert_eq!(size_or_off(text), Ok(Some(bytes)), "{text}");
        }
        assert_eq!(size_or_off("off"), Ok(None));
        for text in ["", "64", "64MB", "0MiB", "-1MiB", "1.5MiB", "MiB", "99999999999GiB"] {
            assert!(size_or_off(text).is_err(), "{text}");
        }
    }
}
