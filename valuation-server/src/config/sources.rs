//! Where settings are given: flags, the environment, and a document.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use super::{Config, ConfigError, Given, Origin, Setting, environment, file, given};
use crate::document::{self, Access, Document, Place};

/// The environment variable that names the document.
pub const FILE_VARIABLE: &str = "VALUATION_CONFIG";
/// The environment variable with the token that a document at a URL is asked for with.
pub const TOKEN_VARIABLE: &str = "VALUATION_CONFIG_TOKEN";
/// The environment variable that names a PEM file of certificate authorities for a document at a URL.
pub const CA_VARIABLE: &str = "VALUATION_CONFIG_CA";

/// Where settings are given. Flags and the environment are taken once and stay; the document at
/// [`place`](Self::place) may change.
#[derive(Clone)]
pub struct Sources {
    flags: BTreeMap<Setting, Given>,
    environment: BTreeMap<Setting, Given>,
    place: Option<Place>,
    access: Access,
}

/// Shows no value: some are secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Sources {
    /// Takes the flags, and the environment as [`std::env::vars_os`] gives it. An empty variable counts as not set.
    ///
    /// `place` is the path or the URL that a flag named; without it, the one that [`FILE_VARIABLE`] names counts.
    /// Nothing is read.
    ///
    /// # Errors
    /// [`ConfigError`] if a variable is wrong by its name, or the place is.
    pub fn new(
        flags: &BTreeMap<Setting, String>,
        place: Option<&OsStr>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut variables = environment::ours(environment);
        let named = variables.remove(FILE_VARIABLE);
        let token = variables.remove(TOKEN_VARIABLE);
        let ca = variables.remove(CA_VARIABLE).map(PathBuf::from);
        // A token that is not Unicode is as wrong as one with spaces.
        let token = token.map(|token| token.into_string().unwrap_or_default());
        let access = Access::new(token.as_deref(), ca)
            .map_err(|because| ConfigError::Token { variable: TOKEN_VARIABLE, because })?;
        let place = place.map(OsStr::to_owned).or(named);
        let place = place.map(|place| Place::parse(&place)).transpose()?;
        Ok(Self {
            flags: given(flags, &Origin::Flag).collect(),
            environment: environment::read(variables)?,
            place,
            access,
        })
    }

    /// Where the document is, if there is one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// What a document at a URL is asked for with.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Reads the document once, if there is one. Blocks: for a URL up to ten seconds.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`].
    pub fn read(&self) -> Result<Option<Document>, ConfigError> {
        let read = |place| {
            document::read(place, &self.access)
                .map_err(|because| ConfigError::Unreadable { place: place.clone(), because })
        };
        self.place.as_ref().map(read).transpose()
    }

    /// The configuration with this document, as it was read.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong.
    pub fn config(&self, document: Option<&Document>) -> Result<Config, ConfigError> {
        Config::from_given(self.merged(document)?)
    }

    /// What is given: flags before the environment before the document.
    pub(super) fn merged(
        &self,
        document: Option<&Document>,
    ) -> Result<BTreeMap<Setting, Given>, ConfigError> {
        let mut merged = match document {
            Some(document) => file::parse(&document.text, &document.place)?,
            None => BTreeMap::new(),
        };
        merged.extend(self.environment.clone());
        merged.extend(self.flags.clone());
        Ok(merged)
    }
}
