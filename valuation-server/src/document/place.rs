//! Where the document is.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::providers::{BaseUrl, BaseUrlError};

/// Where the document is. Its `Display` and `Debug` show no credentials and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// An `http` or `https` URL.
    Url(Arc<BaseUrl>),
}

/// The text begins as a URL and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} is not the path of a file, or a URL that begins with http:// or https://: {because}"
)]
pub struct WrongPlace {
    /// The text, redacted.
    shown: String,
    because: BaseUrlError,
}

impl Place {
    /// A URL if the text begins with `http://` or `https://`, otherwise a path.
    ///
    /// # Errors
    /// [`WrongPlace`] if the URL is wrong.
    pub fn parse(text: &OsStr) -> Result<Self, WrongPlace> {
        let url = text.to_str().filter(|text| {
            let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            matches!(scheme.as_deref(), Some("http" | "https"))
        });
        let Some(url) = url else { return Ok(Self::File(text.into())) };
        match BaseUrl::parse(url) {
            Ok(url) => Ok(Self::Url(Arc::new(url))),
            Err(because) => Err(WrongPlace { shown: BaseUrl::redacted_text(url), because }),
        }
    }

    /// What it is, for messages: `file` or `document`.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Url(_) => "document",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// The text of a place as it was given, which [`Place::parse`] takes. Its `Debug` shows no credentials and keys.
#[derive(Clone)]
pub struct PlaceArg(OsString);

impl From<OsString> for PlaceArg {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

impl PlaceArg {
    /// The text as it was given, perhaps with credentials.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Debug for PlaceArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Place::parse(&self.0) {
            Ok(place) => fmt::Debug::fmt(&place, f),
            Err(wrong) => fmt::Debug::fmt(&wrong, f),
        }
    }
}
