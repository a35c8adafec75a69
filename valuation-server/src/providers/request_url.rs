//! The URL of a request to a provider.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::BaseUrl;

/// All but RFC 3986's unreserved characters: the delimiters of a path and a query are encoded, as are
/// the `;` of path parameters and the `+` of forms.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl BaseUrl {
    /// `{base}/{resource}/{segment}?{parameters}`, or without the segment if there is none. The base's
    /// own parameters come first. It has the base's credentials.
    ///
    /// `None` if the segment is `.` or `..`: every reader of URLs resolves them, and encoding does not
    /// help, since `%2E` is the same as `.` by RFC 3986, section 6.2.2.2.
    pub(super) fn request_url(
        &self,
        resource: &str,
        segment: Option<&str>,
        parameters: &[(&str, &str)],
    ) -> Option<Url> {
        let mut text = String::with_capacity(96);
        // A parser removes the dot. Without it a base's path that begins with `//` would be a host.
        text.extend(["/.", self.url().path().trim_end_matches('/'), "/", resource]);
        if let Some(segment) = segment {
            if matches!(segment, "." | "..") {
                return None;
            }
            text.push('/');
            text.extend(utf8_percent_encode(segment, RESERVED));
        }
        let query = self.url().query().unwrap_or_default();
        let mut separator = "?";
        if !query.is_empty() {
            text.extend([separator, query]);
            separator = "&";
        }
        for (name, value) in parameters {
            text.extend([separator, name, "="]);
            text.extend(utf8_percent_encode(value, RESERVED));
            separator = "&";
        }
        // It can't fail: the base is a URL, and the rest is encoded.
        self.url().join(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::base_url::{redacted, without_credentials};
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap()
    }

    /// The URL as it is sent.
    fn sent(base: &BaseUrl, segment: &str, parameters: &[(&str, &str)]) -> Option<Url> {
        let url = without_credentials(base.request_url("v", Some(segment), parameters)?);
        // A parser changes nothing of it.
        assert_eq!(Url::parse(url.as_str()).unwrap().as_str(), url.as_str());
        Some(url)
    }

    #[test]
    fn keeps_the_bases_prefix_and_parameters() {
        for (text, expected) in [
            ("http://h", "http://h/v/AB1?mileage=5"),
            ("http://h/", "http://h/v/AB1?mileage=5"),
            ("http://h:81/a/b/", "http://h:81/a/b/v/AB1?mileage=5"),
            ("http://h?", "http://h/v/AB1?mileage=5"),
            ("http://h//a", "http://h//a/v/AB1?mileage=5"),
            ("https://u:p@h/a?key=k&x=%20", "https://h/a/v/AB1?key=k&x=%20&mileage=5"),
        ] {
            let url = sent(&base(text), "AB1", &[("mileage", "5")]).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn a_segment_of_dots_cannot_be_asked() {
        for dots in [".", ".."] {
            assert_eq!(sent(&base("http://h/a"), dots, &[]), None);
        }
        for fine in ["...", ".a", "a..", "%2e", "%2e%2e", ".%2e", "..;", "../x"] {
            let url = sent(&base("http://h/a"), fine, &[]).unwrap();
            assert!(url.path().starts_with("/a/v/"), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_segment_changes_the_path_or_the_query(segment in "\\PC{1,7}") {
            let base = base("http://h/a?k=1");
            let Some(url) = sent(&base, &segment, &[("vrm", &segment)]) else {
                prop_assert!(segment == "." || segment == "..");
                return Ok(());
            };
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
            let Some(mut whole) = sent(&base, &segment, &parameters) else { return Ok(()) };
            whole.set_username(base.url().username()).unwrap();
            whole.set_password(base.url().password()).unwrap();
            let url = base.request_url("v", Some(&segment), &parameters).unwrap();
            prop_assert_eq!(redacted(&url), redacted(&whole));
        }
    }
}
