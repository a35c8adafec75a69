//! What is asked of a provider: its URL, as it is sent and as it may be shown.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::BaseUrl;
use super::base_url::{redacted, redacted_query};

/// All but RFC 3986's unreserved characters: no delimiter of a path or a query stays as it is,
/// the `;` of path parameters and the `+` of forms among them.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A base as its questions begin. Each question's URL is put together from it as a text: a parser
/// would take more time than all else that is done with the URL.
pub(super) struct UrlParts {
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

impl UrlParts {
    /// What every question under this base has in common.
    pub(super) fn of(base: &BaseUrl) -> Self {
        let base = base.url();
        let mut shown = base.clone();
        shown.set_path("/");
        shown.set_query(None);
        let shown = redacted(&shown);
        Self {
            path: base.path().trim_end_matches('/').to_owned(),
            query: base.query().unwrap_or_default().to_owned(),
            shown_origin: shown.trim_end_matches('/').to_owned(),
            shown_query: base.query().map(redacted_query).unwrap_or_default(),
        }
    }

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

    /// The base itself, with a slash at the end if it has no path.
    pub(super) fn base(&self) -> Target {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        Target { path: path.to_owned(), parameters: String::new() }
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

impl fmt::Debug for UrlParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, shown_origin, shown_query, .. } = self;
        f.debug_tuple("UrlParts").field(&[shown_origin, path, shown_query]).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use url::{Position, Url};

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap()
    }

    /// The target as it is sent, with the base's host before it.
    fn asked(base: &BaseUrl, target: &Target) -> Url {
        let sent = UrlParts::of(base).sent(target);
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
            let ab1 =
                UrlParts::of(&base).target("valuations", Some("AB1"), &[("mileage", "5")]).unwrap();
            assert_eq!(asked(&base, &ab1).as_str(), expected);
        }
    }

    #[test]
    fn its_debug_text_shows_no_secret() {
        let asked = UrlParts::of(&base("http://me:pw@h/a?key=pw"));
        assert!(!format!("{asked:?}").contains("pw"), "{asked:?}");
    }

    #[test]
    fn a_segment_of_dots_cannot_be_asked() {
        for dots in [".", ".."] {
            assert_eq!(
                UrlParts::of(&base("http://h/a")).target("valuations", Some(dots), &[]),
                None
            );
        }
        for fine in ["...", ".a", "a..", "%2e", "%2e%2e", ".%2e", "..;", "../x"] {
            let base = base("http://h/a");
            let url =
                asked(&base, &UrlParts::of(&base).target("valuations", Some(fine), &[]).unwrap());
            assert!(url.path().starts_with("/a/valuations/"), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_segment_changes_the_path_or_the_query(segment in "\\PC{1,7}") {
            let base = base("http://h/a?k=1");
            let target = UrlParts::of(&base).target("v", Some(&segment), &[("vrm", &segment)]);
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
            let Some(target) = UrlParts::of(&base).target("v", Some(&segment), &parameters) else {
                return Ok(());
            };
            let mut whole = asked(&base, &target);
            whole.set_username(base.url().username()).unwrap();
            whole.set_password(base.url().password()).unwrap();
            prop_assert_eq!(UrlParts::of(&base).shown(&target), redacted(&whole));
        }
    }
}
