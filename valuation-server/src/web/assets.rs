//! The files of the pages, embedded in the program.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// What a page may load and do: its own server's files and requests alone, nothing inline, in no
/// frame. `data:` is for the empty icon.
pub const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// An embedded file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its name below `/assets/`.
    pub name: &'static str,
    content_type: &'static str,
    text: &'static str,
    /// Of the text: another build of the same file has the same tag.
    hash: u64,
}

/// `assets![directory, "name" = content type, …]`: the files in `src/web/{directory}`.
macro_rules! assets {
    ($directory:literal, $($name:literal = $content_type:literal),+) => {
        &[$($crate::web::assets::Asset::new(
            $name,
            $content_type,
            include_str!(concat!($directory, "/", $name)),
        )),+]
    };
}
pub(crate) use assets;

impl Asset {
    pub(crate) const fn new(
        name: &'static str,
        content_type: &'static str,
        text: &'static str,
    ) -> Self {
        Self { name, content_type, text, hash: fnv1a(text.as_bytes()) }
    }

    /// The asset of a page with this name.
    #[must_use]
    pub fn find(assets: &[Self], name: &str) -> Option<Self> {
        assets.iter().find(|asset| asset.name == name).copied()
    }

    /// The file, or 304 for a client that has it. The tag is weak, since the file may be compressed. A
    /// cache must revalidate it before each use, so that a page and its files are of one build.
    #[must_use]
    pub fn answer(self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let tag = hexadecimal(self.hash);
        let known = is_known(request, &tag);
        let mut answer = Response::new(Full::from(if known { "" } else { self.text }));
        if known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            let content_type = HeaderValue::from_static(self.content_type);
            answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        // A 304 as well: the compression says so only of a body.
        let vary = known.then_some((header::VARY, HeaderValue::from_static("accept-encoding")));
        answer.headers_mut().extend(vary);
        let fixed: [(HeaderName, _); 2] =
            [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")), (header::ETAG, tag)];
        answer.headers_mut().extend(fixed);
        answer
    }
}

/// The entity tag of a representation: a hash of its bytes.
#[must_use]
pub fn tag(body: &[u8]) -> HeaderValue {
    hexadecimal(fnv1a(body))
}

fn hexadecimal(hash: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("W/\"{hash:016x}\""))
        .expect("hexadecimal digits are a header's value")
}

/// Whether `If-None-Match` names the tag: the client has this representation (RFC 9110, section
/// 13.1.2: weak comparison).
#[must_use]
pub fn is_known(request: &HeaderMap, tag: &HeaderValue) -> bool {
    fn opaque(tag: &[u8]) -> &[u8] {
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    request.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let known = value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii);
        known.into_iter().any(|known| known == b"*" || opaque(known) == opaque(tag.as_bytes()))
    })
}

const fn fnv1a(bytes: &[u8]) -> u64 {
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSETS: &[Asset] = &[Asset::new("a.css", "text/css", "a {}")];

    #[test]
    fn an_asset_is_sent_once_and_confirmed_after_that() {
        assert!(Asset::find(ASSETS, "b.css").is_none());
        let asset = Asset::find(ASSETS, "a.css").unwrap();
        let first = asset.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/css");
        let tag = first.headers()[header::ETAG].clone();
        let again = asset.answer(&HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(!again.headers().contains_key(header::CONTENT_TYPE));
        let other =
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("\"x\""))]);
        assert_eq!(asset.answer(&other).status(), StatusCode::OK);
    }
}
