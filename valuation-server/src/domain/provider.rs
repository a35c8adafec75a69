//! The providers' names.

use std::fmt;

/// A provider of valuations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The modern and cheap one.
    SuperCar,
    /// The old and expensive one.
    Premium,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SuperCar, Self::Premium];

    /// The name in answers and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SuperCar => "SuperCar Valuations",
            Self::Premium => "Premium Car Valuations",
        }
    }

    /// The letter in entity tags. Once released it stays, and is no other provider's.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::SuperCar => 's',
            Self::Premium => 'p',
        }
    }

    /// The provider with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
