//! The tag that shows that a message is of this cluster.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The length of a tag in bytes: 128 bits of HMAC-SHA-256.
const TAG: usize = 16;

/// The secret that the nodes of a cluster share. It authenticates messages, and doesn't encrypt them.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl Secret {
    /// The shortest secret, in bytes.
    pub const SHORTEST: usize = 16;

    /// A secret. `None` if it is shorter than [`SHORTEST`](Self::SHORTEST).
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < Self::SHORTEST {
            return None;
        }
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    fn mac(&self, cluster: &str, message: &[u8]) -> Hmac<Sha256> {
        // The name ends with a byte that no name has, so that no two pairs are the same bytes.
        self.0.clone().chain_update(cluster).chain_update([0]).chain_update(message)
    }

    /// Appends the tag.
    pub(super) fn seal(&self, cluster: &str, message: &mut Vec<u8>) {
        let tag = self.mac(cluster, message).finalize().into_bytes();
        message.extend_from_slice(&tag[..TAG]);
    }

    /// The message without its tag, if the tag is right. In constant time.
    pub(super) fn open<'a>(&self, cluster: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (message, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        self.mac(cluster, message).verify_truncated_left(tag).ok()?;
        Some(message)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
