//! Where a provider is reached, what is asked there, and what of it may be shown.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// All but RFC 3986's unreserved characters: no delimiter of a path or a query stays as it is,
/// the `;` of path parameters and the `+` of forms among them.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const REDACTED: &str = "REDACTED";

/// The URL under which a provider's paths begin: `http` or `https`, perhaps with a path prefix,
/// credentials before the host, and parameters that every request carries, such as a key.
///
/// Its `Display` and `Debug` show it [redacted](BaseUrl::redacted).
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a text is no base URL. No variant carries the text: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It is no absolute URL.
    #[error("it is no URL: {0}")]
    NotAUrl(url::ParseError),
    /// Another scheme than the two that are spoken.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// White space or a control character, which a URL parser would drop in silence.
    #[error("it contains white space or a control character")]
    Space,
    /// A fragment is never sent, so it can't be meant.
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
        Ok(Self(url))
    }

    /// Whether TLS is spoken there.
    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host's root, without credentials and parameters.
    pub(super) fn root(&self) -> Url {
        let mut url = self.0.clone();
        // Both can fail only for URLs without a host, and http and https have one.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_path("/");
        url.set_query(None);
        url
    }

    /// The credentials as a header, marked as secret (RFC 7617); `None` where there are none.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
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

    /// What every question under this base has in common.
    pub(super) fn asked(&self) -> Asked {
        let mut shown = self.0.clone();
        shown.set_path("/");
        shown.set_query(None);
        let shown = redacted(&shown);
        Asked {
            path: self.0.path().trim_end_matches('/').to_owned(),
            query: self.0.query().unwrap_or_default().to_owned(),
            shown_origin: shown.trim_end_matches('/').to_owned(),
            shown_query: self.0.query().map(redacted_query).unwrap_or_default(),
        }
    }

    /// The URL with its credentials and the values of key-like parameters replaced.
    #[must_use]
    pub fn redacted(&self) -> String {
        redacted(&self.0)
    }

    /// A text that was meant to be a URL, as far as it may be shown: redacted if it is one, and
    /// otherwise without all that stands before an `@` or after a `?`.
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

/// A base as its questions begin. Each question's URL is put together from it as a text: a parser
/// would take more time than all else that is done with the URL.
#[derive(Clone)]
pub(super) struct Asked {
    /// Without a slash at its end.
    path: String,
    query: String,
    /// Scheme, redacted credentials and host.
    shown_origin: String,
    /// The query, redacted.
    shown_query: String,
}

/// What is asked of a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    path: String,
    /// The question's own, which hold no secret.
    parameters: String,
}

impl Asked {
    /// `{base}/{resource}/{segment}?{parameters}`, or without the last segment where there is
    /// none. The base's own parameters come first.
    ///
    /// `None` if the segment would not arrive as it is. Only `.` and `..` are such segments: to
    /// every reader of URLs they mean "here" and "one up", and encoding does not help, since
    /// `%2E` is the same as `.` by RFC 3986, section 6.2.2.2, and is treated so by URL parsers and
    /// proxies alike.
    pub(super) fn target(
        &self,
        resource: &str,
        segment: Option<&str>,
        parameters: &[(&str, &str)],
    ) -> Option<Target> {
        let mut path = String::with_capacity(self.path.len() + resource.len() + 32);
        path.extend([&self.path, "/", resource]);
        if let Some(segment) = segment {
            if matches!(segment, "." | "..") {
                return None;
            }
            path.push('/');
            path.extend(utf8_percent_encode(segment, RESERVED));
        }
        let mut query = String::new();
        for (name, value) in parameters {
            let before = if query.is_empty() { "" } else { "&" };
            query.extend([before, name, "="]);
            query.extend(utf8_percent_encode(value, RESERVED));
        }
        Some(Target { path, parameters: query })
    }

    /// The target as it is sent: path and query.
    pub(super) fn sent(&self, target: &Target) -> String {
        self.whole("", target, &self.query)
    }

    /// The target's whole URL as it may be stored and shown.
    pub(super) fn shown(&self, target: &Target) -> String {
        self.whole(&self.shown_origin, target, &self.shown_query)
    }

    fn whole(&self, origin: &str, target: &Target, query: &str) -> String {
        let Target { path, parameters } = target;
        let length = origin.len() + path.len() + query.len() + parameters.len() + 2;
        let mut whole = String::with_capacity(length);
        whole.extend([origin, path]);
        for part in [query, parameters].into_iter().filter(|part| !part.is_empty()) {
            whole.push(if whole.contains('?') { '&' } else { '?' });
            whole.push_str(part);
        }
        whole
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, shown_origin, shown_query, .. } = self;
        f.debug_tuple("Asked").field(&[shown_origin, path, shown_query]).finish()
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
fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    if !shown.username().is_empty() || shown.password().is_some() {
        // Both can fail only for URLs without a host, and those can't carry credentials.
        let _ = shown.set_username(REDACTED);
        let _ = shown.set_password(None);
    }
    if let Some(query) = url.query() {
        shown.set_query(Some(&redacted_query(query)));
    }
    shown.into()
}

fn redacted_query(query: &str) -> String {
    query.split('&').map(redacted_parameter).collect::<Vec<_>>().join("&")
}

fn redacted_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if is_key_like(name) => format!("{name}={REDACTED}"),
        _ => parameter.to_owned(),
    }
}

/// Whether a parameter of that name carries a secret. Rather one too many than one too few: what
/// is lost by it is a constant of the configuration.
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
    use proptest::prelude::*;
    use url::Position;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap()
    }

    /// The target as it is sent, with the base's host before it.
    fn asked(base: &BaseUrl, target: &Target) -> Url {
        let sent = base.asked().sent(target);
        let url = base.root().join(&sent).unwrap();
        // No parser of URLs rewrites anything of it.
        assert_eq!(&url[Position::BeforePath..], sent);
        url
    }

    #[test]
    fn keeps_the_bases_prefix_and_parameters() {
        for (text, expected) in [
            ("http://h", "http://h/valuations/AB1?mileage=5"),
            ("http://h/", "http://h/valuations/AB1?mileage=5"),
            ("http://h:81/a/b/", "http://h:81/a/b/valuations/AB1?mileage=5"),
            ("http://h?", "http://h/valuations/AB1?mileage=5"),
            ("https://u:p@h/a?key=k&x=%20", "https://h/a/valuations/AB1?key=k&x=%20&mileage=5"),
        ] {
            let base = base(text);
            let ab1 = base.asked().target("valuations", Some("AB1"), &[("mileage", "5")]).unwrap();
            assert_eq!(asked(&base, &ab1).as_str(), expected);
        }
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
    fn a_segment_of_dots_cannot_be_asked() {
        for dots in [".", ".."] {
            assert_eq!(base("http://h/a").asked().target("valuations", Some(dots), &[]), None);
        }
        for fine in ["...", ".a", "a..", "%2e", "%2e%2e", ".%2e", "..;", "../x"] {
            let base = base("http://h/a");
            let url = asked(&base, &base.asked().target("valuations", Some(fine), &[]).unwrap());
            assert!(url.path().starts_with("/a/valuations/"), "{url}");
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
            assert!(!format!("{:?}{:?}", base(text), base(text).asked()).contains("pw"), "{text}");
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

    proptest! {
        #[test]
        fn no_segment_changes_the_path_or_the_query(segment in "\\PC{1,7}") {
            let base = base("http://h/a?k=1");
            let target = base.asked().target("v", Some(&segment), &[("vrm", &segment)]);
            let Some(target) = target else {
                prop_assert!(segment == "." || segment == "..");
                return Ok(());
            };
            let url = asked(&base, &target);
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(&segments[..2], &["a", "v"]);
            prop_assert_eq!(segments.len(), 3);
            prop_assert_eq!(percent_decode_str(segments[2]).decode_utf8().unwrap(), segment.as_str());
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, [("k".into(), "1".into()), ("vrm".into(), segment)]);
            prop_assert_eq!(url.fragment(), None);
        }

        #[test]
        fn what_is_shown_is_the_whole_url_redacted(
            base_text in "https?://(u(:p)?@)?h(:81)?(/a\\.?)?/?(\\?((k|key|x-sig)=[a-z%]{0,3}&?){0,3})?",
            segment in "\\PC{1,7}",
        ) {
            let base = base(&base_text);
            let parameters = [("vrm", segment.as_str()), ("mileage", "5.5")];
            let Some(target) = base.asked().target("v", Some(&segment), &parameters) else {
                return Ok(());
            };
            let mut whole = asked(&base, &target);
            whole.set_username(base.0.username()).unwrap();
            whole.set_password(base.0.password()).unwrap();
            prop_assert_eq!(base.asked().shown(&target), redacted(&whole));
        }
    }
}
