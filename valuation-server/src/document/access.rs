//! What a document at a URL is asked for with, besides the URL.

use std::path::PathBuf;

use http::HeaderValue;

/// The longest token, in bytes: far longer than any, and short enough for a header.
const LONGEST_TOKEN: usize = 4096;

/// What a document at a URL is asked for with. Its `Debug` does not show the token.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `Authorization: Bearer …`, marked as sensitive.
    pub(super) authorization: Option<HeaderValue>,
    /// A PEM file of certificate authorities to trust in addition to the system's.
    pub(super) ca: Option<PathBuf>,
}

/// The token can't be sent in a header. The text is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a text of 1 to {LONGEST_TOKEN} visible ASCII characters without spaces")]
pub struct WrongToken;

impl Access {
    /// With a token, and the path of a PEM file with certificate authorities. Nothing is read.
    ///
    /// # Errors
    /// [`WrongToken`].
    pub fn new(token: Option<&str>, ca: Option<PathBuf>) -> Result<Self, WrongToken> {
        let bearer = |token: &str| {
            let plain = (1..=LONGEST_TOKEN).contains(&token.len())
                && token.bytes().all(|byte| byte.is_ascii_graphic());
            let mut header = plain
                .then(|| HeaderValue::try_from(format!("Bearer {token}")).ok())
                .flatten()
                .ok_or(WrongToken)?;
            header.set_sensitive(true);
            Ok(header)
        };
        Ok(Self { authorization: token.map(bearer).transpose()?, ca })
    }
}
