//! A provider's base URL, and its redaction.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

pub(crate) const REDACTED: &str = "REDACTED";

/// The URL under which a provider's paths begin: `http` or `https`, perhaps with a path prefix,
/// credentials, and parameters of every request, such as a key.
///
/// Its `Display` and `Debug` show it [redacted](BaseUrl::redacted).
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a text is not a base URL. No variant has the text: it may contain a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It is not an absolute URL.
    #[error("it is no URL: {0}")]
    NotAUrl(url::ParseError),
    /// A scheme that is not supported.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// White space or a control character, which a URL parser would drop silently.
    #[error("it contains white space or a control character")]
    Space,
    /// It was copied from redacted output.
    #[error("it has REDACTED in place of a secret")]
    Redacted,
    /// A fragment is never sent, so it is a mistake.
    #[error("it has a fragment (#)")]
    Fragment,
}

impl BaseUrl {
    /// Takes an absolute URL.
    ///
    /// # Errors
    /// [`BaseUrlError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(BaseUrlError::Space);
        }
        let url = Url::parse(text).map_err(BaseUrlError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BaseUrlError::Scheme);
        }
        if url.fragment().is_some() {
            return Err(BaseUrlError::Fragment);
        }
        let is_redacted = |parameter| matches!(key(parameter), Some((_, REDACTED)));
        if [url.username(), url.password().unwrap_or_default()].contains(&REDACTED)
            || url.query().is_some_and(|query| query.split('&').any(is_redacted))
        {
            return Err(BaseUrlError::Redacted);
        }
        Ok(Self(url))
    }

    /// Whether a part of it must not be shown.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.redacted() != self.0.as_str()
    }

    /// Whether it is reached over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The credentials as a header, marked as sensitive (RFC 7617); `None` if there are none.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = (self.0.username(), self.0.password());
        if user.is_empty() && password.is_none() {
            return None;
        }
        let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let pair = [decoded(user), decoded(password.unwrap_or_default())].join(&b':');
        let mut header =
            HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// The URL, with its credentials.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The URL with its credentials and the values of key-like parameters replaced.
    #[must_use]
    pub fn redacted(&self) -> String {
        redacted(&self.0)
    }

    /// A text that should be a URL, as it may be shown: redacted if it is one, otherwise without all that
    /// is before an `@` or after a `?`.
    #[must_use]
    pub fn redacted_text(text: &str) -> String {
        if let Ok(url) = Url::parse(text)
            && url.has_host()
        {
            return redacted(&url);
        }
        let (shown, query) = text.split_once(['?', '#']).map_or((text, false), |(s, _)| (s, true));
        let shown = shown
            .rsplit_once('@')
            .map_or_else(|| shown.to_owned(), |(_, after)| format!("{REDACTED}@{after}"));
        if query { format!("{shown}?{REDACTED}") } else { shown }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BaseUrl").field(&self.redacted()).finish()
    }
}

/// `url` as it may be stored and shown.
pub(super) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    if !shown.username().is_empty() || shown.password().is_some() {
        // Both can fail only for URLs without a host, which have no credentials.
        let _ = shown.set_username(REDACTED);
        let _ = shown.set_password(None);
    }
    if let Some(query) = url.query() {
        let query: Vec<_> = query.split('&').map(redacted_parameter).collect();
        shown.set_query(Some(&query.join("&")));
    }
    shown.into()
}

/// `url` as it is sent: the credentials are in a header.
pub(crate) fn without_credentials(mut url: Url) -> Url {
    // Both can fail only for URLs without a host, and http and https have one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn redacted_parameter(parameter: &str) -> String {
    key(parameter).map_or_else(|| parameter.to_owned(), |(name, _)| format!("{name}={REDACTED}"))
}

/// The name and the value of a parameter that carries a secret.
fn key(parameter: &str) -> Option<(&str, &str)> {
    parameter.split_once('=').filter(|(name, _)| is_key_like(name))
}

/// Whether a parameter with this name carries a secret. A false positive only hides a constant of the
/// configuration.
fn is_key_like(name: &str) -> bool {
    const PARTS: [&str; 9] =
        ["key", "token", "secret", "pass", "pwd", "sig", "auth", "credential", "session"];
    const WHOLE: [&str; 4] = ["code", "jwt", "pin", "pw"];
    let name: String = percent_decode_str(name)
        .decode_utf8_lossy()
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    PARTS.iter().any(|part| name.contains(part)) || WHOLE.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap()
    }

    #[test]
    fn refuses_what_is_no_base() {
        for (text, expected) in [
            ("ftp://h", BaseUrlError::Scheme),
            ("http://h/#x", BaseUrlError::Fragment),
            ("http://h/a b", BaseUrlError::Space),
            ("http://h\n", BaseUrlError::Space),
            ("h:80", BaseUrlError::Scheme),
        ] {
            assert_eq!(BaseUrl::parse(text), Err(expected), "{text:?}");
        }
        for text in ["", "/a", "127.0.0.1:80", "http://", "http://h:99999"] {
            assert!(matches!(BaseUrl::parse(text), Err(BaseUrlError::NotAUrl(_))), "{text:?}");
        }
    }

    #[test]
    fn shows_neither_credentials_nor_keys() {
        for (text, expected) in [
            ("http://me:pw@h/a", "http://REDACTED@h/a"),
            ("http://:pw@h/a", "http://REDACTED@h/a"),
            ("http://me@h/a", "http://REDACTED@h/a"),
            ("http://h/a?API-Key=s&b=1", "http://h/a?API-Key=REDACTED&b=1"),
            ("http://h/a?%6Bey=s&a=b=c", "http://h/a?%6Bey=REDACTED&a=b=c"),
            ("http://h/a?access_token=s=&code=x", "http://h/a?access_token=REDACTED&code=REDACTED"),
            ("http://h/a?vrm=KEY1&mileage=5", "http://h/a?vrm=KEY1&mileage=5"),
        ] {
            assert_eq!(base(text).redacted(), expected);
            assert_eq!(base(text).to_string(), expected);
            assert!(!format!("{:?}", base(text)).contains("pw"), "{text}");
        }
    }

    #[test]
    fn shows_of_a_wrong_url_only_what_is_no_secret() {
        for (text, expected) in [
            ("ftp://me:pw@h/a?key=s", "ftp://REDACTED@h/a?key=REDACTED"),
            ("me:pw@h:99999/a", "REDACTED@h:99999/a"),
            ("http://me:pw@h:99999/?key=s", "REDACTED@h:99999/?REDACTED"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(BaseUrl::redacted_text(text), expected);
        }
    }
}
