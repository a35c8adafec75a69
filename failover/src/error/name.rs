//! Names of failovers, as numbers: an error is made of one load, takes no lock and has nothing to drop.
//! Each distinct text is kept until the program ends.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{PoisonError, RwLock};

static TABLE: RwLock<Table> = RwLock::new(Table { names: BTreeMap::new(), texts: Vec::new() });

struct Table {
    names: BTreeMap<&'static str, Name>,
    texts: Vec<&'static str>,
}

/// A text of the table: its index plus one.
#[derive(Clone, Copy)]
pub(crate) struct Name(NonZeroU32);

impl Name {
    /// The name with this text. `None` after 2^32 names.
    pub(crate) fn of(text: &str) -> Option<Self> {
        // A panic leaves at worst a text without a name, so poisoning is ignored, here and below.
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = table.names.get(text) {
            return Some(*name);
        }
        let next = u32::try_from(table.texts.len() + 1).ok().and_then(NonZeroU32::new);
        let name = Self(next?);
        let text: &'static str = Box::leak(text.into());
        table.texts.push(text);
        table.names.insert(text, name);
        Some(name)
    }

    pub(crate) fn text(self) -> &'static str {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(self.0.get() - 1).ok();
        index.and_then(|index| table.texts.get(index)).copied().unwrap_or_default()
    }

    /// For [`from_number`](Self::from_number); never 0.
    pub(crate) fn number(self) -> u64 {
        self.0.get().into()
    }

    #[inline]
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().and_then(NonZeroU32::new).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_one_name() {
        let names = ["prices", "", "orders", "prices"].map(|text| Name::of(text).unwrap());
        assert_eq!(names.map(Name::text), ["prices", "", "orders", "prices"]);
        assert_eq!(names[0].number(), names[3].number());
        assert_eq!(Name::from_number(names[2].number()).map(Name::text), Some("orders"));
        assert!(Name::from_number(0).is_none());
    }
}
