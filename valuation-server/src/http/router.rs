//! From a request's path to a resource.
//!
//! The raw path is matched, so that no escape can add or hide a segment. Then the variable segment is
//! percent-decoded once.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::{Vrm, VrmError};
use crate::web::openapi;

/// A resource of this server, with the raw variable part of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/`
    Home,
    /// `/assets/{name}`: a file of the customer's page.
    Asset(&'a str),
    /// `/valuations/{vrm}`; the segment is not decoded and may be empty.
    Valuation(&'a str),
    /// A file of the description of this side.
    Description(openapi::Part),
    /// `*`, the server as a whole. Only `OPTIONS` can name it.
    Server,
}

/// Why a segment is not a registration mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// A percent sign without two hexadecimal digits after it.
    #[error("vrm must be percent-encoded: a % must be followed by two hexadecimal digits")]
    BadEscape,
    /// The decoded bytes are not UTF-8.
    #[error("vrm must be percent-encoded UTF-8")]
    NotUtf8,
    /// The decoded text is not a registration mark.
    #[error(transparent)]
    Vrm(#[from] VrmError),
}

impl<'a> Resource<'a> {
    /// The resource at a path: a request target without its query.
    #[must_use]
    pub fn at(path: &'a str) -> Option<Self> {
        if let Some(segment) = path.strip_prefix("/valuations/") {
            return (!segment.contains('/')).then_some(Self::Valuation(segment));
        }
        if let Some(name) = path.strip_prefix("/assets/") {
            return (!name.contains('/')).then_some(Self::Asset(name));
        }
        match path {
            "/" => Some(Self::Home),
            "*" => Some(Self::Server),
            _ => openapi::Part::at(path).map(Self::Description),
        }
    }

    /// The value of the `Allow` header.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Home => "GET, HEAD, POST, OPTIONS",
            Self::Asset(_) | Self::Description(_) => "GET, HEAD, OPTIONS",
            Self::Valuation(_) => "GET, HEAD, PUT, OPTIONS",
            Self::Server => "OPTIONS",
        }
    }
}

/// Reads the registration mark in a path's segment: `%20` is a space, `%2F` a slash, `+` a plus.
///
/// # Errors
/// [`SegmentError`] says which rule the segment breaks.
pub fn decode_vrm(segment: &str) -> Result<Vrm, SegmentError> {
    // `percent_encoding` accepts incomplete escapes as they are.
    let is_escape = |after: &str| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !segment.split('%').skip(1).all(is_escape) {
        return Err(SegmentError::BadEscape);
    }
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| SegmentError::NotUtf8)?;
    Ok(Vrm::parse(&text)?)
}

/// Everything but the unreserved characters of RFC 3986 is escaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of a vehicle's valuation, as [`Resource::at`] and [`decode_vrm`] read it.
#[must_use]
pub fn valuation_path(vrm: &Vrm) -> String {
    format!("/valuations/{}", utf8_percent_encode(vrm.as_str(), SEGMENT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_its_paths_and_no_others() {
        assert_eq!(Resource::at("/"), Some(Resource::Home));
        assert_eq!(Resource::at("/valuations/AB1"), Some(Resource::Valuation("AB1")));
        assert_eq!(Resource::at("/valuations/"), Some(Resource::Valuation("")));
        for path in [
            "",
            "//",
            "/x",
            "/valuations",
            "/valuationsX",
            "/Valuations/A",
            "/valuations/A/",
            "/valuations/A/B",
            "//valuations/A",
            "/%76aluations/A",
        ] {
            assert_eq!(Resource::at(path), None, "{path:?}");
        }
    }

    #[test]
    fn decodes_escapes_once_and_leaves_the_plus_alone() {
        for (segment, vrm) in [
            ("AB12CDE", "AB12CDE"),
            ("AB%201", "AB 1"),
            ("A%2fB", "A/B"),
            ("A+B", "A+B"),
            ("%2541", "%41"),
            ("%C3%A9", "é"),
            ("é", "é"),
            ("%F0%9F%9A%97", "🚗"),
        ] {
            assert_eq!(decode_vrm(segment).unwrap().as_str(), vrm, "{segment}");
        }
    }

    #[test]
    fn refuses_bad_escapes_bad_utf8_and_bad_marks() {
        for segment in ["%", "%4", "A%", "%zz", "%+1", "% 1", "%é"] {
            assert_eq!(decode_vrm(segment), Err(SegmentError::BadEscape), "{segment}");
        }
        for segment in ["%FF", "%C3", "%C3A", "%ED%A0%80", "%C0%AF"] {
            assert_eq!(decode_vrm(segment), Err(SegmentError::NotUtf8), "{segment}");
        }
        assert_eq!(decode_vrm(""), Err(SegmentError::Vrm(VrmError::Empty)));
        assert_eq!(decode_vrm("ABCDEFGH"), Err(SegmentError::Vrm(VrmError::TooLong)));
        assert_eq!(decode_vrm("A%00"), Err(SegmentError::Vrm(VrmError::ControlCharacter)));
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_a_panic(path in "\\PC*|/valuations/[%0-9a-fA-F/é]{0,30}") {
            if let Some(Resource::Valuation(segment)) = Resource::at(&path) {
                let _ = decode_vrm(segment);
            }
        }

        #[test]
        fn what_is_accepted_prints_and_reads_back(segment in "([%][0-9a-fA-F]{2}|[^%/]){0,8}") {
            if let Ok(vrm) = decode_vrm(&segment) {
                let path = valuation_path(&vrm);
                let Some(Resource::Valuation(again)) = Resource::at(&path) else {
                    return Err(TestCaseError::fail(path));
                };
                prop_assert_eq!(decode_vrm(again), Ok(vrm));
            }
        }
    }
}
