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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_any_visible_text_that_a_header_takes_and_is_not_shown() {
        for token in ["t0p-s3cret", "a", "a.b_c=+/~", &"x".repeat(LONGEST_TOKEN)] {
            let access = Access::new(Some(token), None).unwrap();
            let header = access.authorization.as_ref().unwrap();
            assert_eq!(header.to_str().unwrap(), format!("Bearer {token}"));
            assert!(token.len() < 4 || !format!("{access:?}").contains(token));
        }
        for token in ["", "a b", "a\nb", "ä", &"x".repeat(LONGEST_TOKEN + 1)] {
            assert_eq!(Access::new(Some(token), None).unwrap_err(), WrongToken);
        }
        assert_eq!(Access::new(None, None).unwrap().authorization, None);
    }
}
