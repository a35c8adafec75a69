//! Where a database is, as a user names it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::postgres::address::{AddressError, PostgresAddress};

/// Where a database is, or an archive of its log. Shown, it is what an error may say of it: without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL.
    Server(Box<PostgresAddress>),
}

impl Location {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }
}

impl FromStr for Location {
    type Err = AddressError;

    /// A URL `postgres://…` or `postgresql://…` is a server, any other text a path. Text that is meant for a server
    /// and is no such URL is refused: as a path it would be shown, and may have a password.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if PostgresAddress::is_url(text) {
            return text.parse().map(|address| Self::Server(Box::new(address)));
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
        match text.split_once("://") {
            // The store says itself that it takes no URI of SQLite.
            Some((scheme, _)) if scheme.chars().all(is_part) && scheme != "file" => {
                Err(AddressError::Scheme(scheme.to_owned()))
            }
            _ if text.contains("password=") => Err(AddressError::Parameters),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(address) => address.fmt(f),
        }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PostgresAddress> for Location {
    fn from(address: PostgresAddress) -> Self {
        Self::Server(Box::new(address))
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_path_unless_it_is_meant_for_a_server() {
        for path in ["v.sqlite", "/a b/v", "./x:y", ":memory:", "file:v", "file://v", "/a/b://c"] {
            assert_eq!(path.parse(), Ok(Location::File(path.into())), "{path}");
        }
        for url in ["postgres://h/v", "postgresql://u:secret@h/v"] {
            let location: Location = url.parse().unwrap();
            assert_eq!(location.file(), None);
            assert!(!format!("{location} {location:?}").contains("secret"), "{url}");
        }
        for (text, wrong) in [
            ("mysql://u:secret@h/v", AddressError::Scheme("mysql".to_owned())),
            ("POSTGRES://u:secret@h/v", AddressError::Scheme("POSTGRES".to_owned())),
            ("host=h password=secret", AddressError::Parameters),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(error.to_string().contains("expected postgres://USER@HOST"), "{error}");
            assert_eq!(error, wrong, "{text}");
        }
    }
}
