//! The messages between nodes, as bytes.
//!
//! ```text
//! message = version kind body [tag]
//! ```
//!
//! Numbers are LEB128 varints, and each value has one spelling: a message that decodes is the message
//! that was encoded. Nothing on the wire is a wall-clock time: times are ages and remaining times in
//! milliseconds.

mod codec;
mod frame;
mod order;
mod seal;

pub use frame::Suspicion;
pub use order::Command;
pub use seal::Secret;

pub(crate) use frame::{Bucket, Frame, LAST_EPOCH, MOST_BUCKETS, NodeId};
pub(crate) use order::{MOST_POLICY, MOST_TEXT, Order};

use crate::cluster::bus::LONGEST_MESSAGE;
use codec::{Input, Output};

/// The version of the protocol. Nodes of another version are not understood, and decide by themselves.
pub(crate) const VERSION: u8 = 1;

/// A message of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Frame(Frame),
    Order(Order),
}

/// Why bytes are no message of this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invalid {
    TooLong,
    /// Another version of the protocol.
    Version,
    /// The tag is not by this cluster's secret, or there is one and no secret.
    Tag,
    /// Truncated, not canonical, or a number out of range.
    Malformed,
}

impl Message {
    /// The bytes, with a tag if there is a secret. At most [`LONGEST_MESSAGE`].
    pub(crate) fn encode(&self, secret: Option<&Secret>, cluster: &str) -> Vec<u8> {
        let mut output = Output::default();
        output.byte(VERSION);
        match self {
            Self::Frame(frame) => {
                output.byte(0);
                frame.encode(&mut output);
            }
            Self::Order(order) => {
                output.byte(1);
                order.encode(&mut output);
            }
        }
        let mut bytes = output.into_bytes();
        if let Some(secret) = secret {
            secret.seal(cluster, &mut bytes);
        }
        debug_assert!(bytes.len() <= LONGEST_MESSAGE, "{}", bytes.len());
        bytes
    }

    pub(crate) fn decode(
        bytes: &[u8],
        secret: Option<&Secret>,
        cluster: &str,
    ) -> Result<Self, Invalid> {
        if bytes.len() > LONGEST_MESSAGE {
            return Err(Invalid::TooLong);
        }
        // The version first: an old node is told from a stranger.
        if bytes.first().is_some_and(|version| *version != VERSION) {
            return Err(Invalid::Version);
        }
        let body = match secret {
            Some(secret) => secret.open(cluster, bytes).ok_or(Invalid::Tag)?,
            None => bytes,
        };
        Self::body(&mut Input::new(body)).ok_or(Invalid::Malformed)
    }

    fn body(input: &mut Input<'_>) -> Option<Self> {
        let _version = input.byte()?;
        let message = match input.byte()? {
            0 => Self::Frame(Frame::decode(input)?),
            1 => Self::Order(Order::decode(input)?),
            _ => return None,
        };
        input.is_empty().then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> [Message; 3] {
        let orders = Order::samples();
        let [forced, policy] = orders;
        [Message::Frame(Frame::sample()), Message::Order(forced), Message::Order(policy)]
    }

    fn decode(bytes: &[u8]) -> Result<Message, Invalid> {
        Message::decode(bytes, None, "test")
    }

    #[test]
    fn a_message_reads_back_and_a_frame_is_small() {
        for message in messages() {
            let bytes = message.encode(None, "test");
            assert_eq!(decode(&bytes).as_ref(), Ok(&message));
            let secret = Secret::new(b"a secret of 16 bytes or more").unwrap();
            let sealed = message.encode(Some(&secret), "test");
            assert_eq!(Message::decode(&sealed, Some(&secret), "test"), Ok(message));
        }
        assert!(messages()[0].encode(None, "test").len() < 100);
    }

    #[test]
    fn the_longest_frame_and_the_longest_order_fit_a_message() {
        let secret = Secret::new(b"a secret of 16 bytes or more").unwrap();
        let messages = [Message::Frame(Frame::longest()), Message::Order(Order::longest())];
        for message in messages {
            let bytes = message.encode(Some(&secret), "test");
            assert!(bytes.len() <= LONGEST_MESSAGE, "{}", bytes.len());
            let decoded = Message::decode(&bytes, Some(&secret), "test").unwrap();
            assert_eq!(decoded.encode(Some(&secret), "test"), bytes);
        }
    }

    #[test]
    fn what_is_no_message_is_refused_and_a_message_has_one_spelling() {
        for message in messages() {
            let good = message.encode(None, "test");
            for end in 0..good.len() {
                assert_eq!(decode(&good[..end]), Err(Invalid::Malformed), "{end}");
            }
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut bytes = good.clone();
                    bytes[at] ^= 1 << bit;
                    if let Ok(other) = decode(&bytes) {
                        assert_eq!(other.encode(None, "test"), bytes);
                    }
                }
            }
            assert_eq!(decode(&[&good[..], &[0]].concat()), Err(Invalid::Malformed));
            assert_eq!(decode(&[&[VERSION + 1], &good[1..]].concat()), Err(Invalid::Version));
        }
        assert_eq!(decode(&[VERSION; LONGEST_MESSAGE + 1]), Err(Invalid::TooLong));
    }

    #[test]
    fn a_tag_is_of_one_secret_and_one_cluster() {
        let [frame, ..] = messages();
        let secrets = [&b"the first secret of all"[..], b"the second secret of all"];
        let [ours, theirs] = secrets.map(|secret| Secret::new(secret).unwrap());
        let sealed = frame.encode(Some(&ours), "a");
        let decode = |bytes: &[u8], secret, cluster| Message::decode(bytes, secret, cluster);
        assert!(decode(&sealed, Some(&ours), "a").is_ok());
        assert_eq!(decode(&sealed, Some(&theirs), "a"), Err(Invalid::Tag));
        assert_eq!(decode(&sealed, Some(&ours), "b"), Err(Invalid::Tag));
        assert_eq!(decode(&frame.encode(None, "a"), Some(&ours), "a"), Err(Invalid::Tag));
        assert_eq!(decode(&sealed, None, "a"), Err(Invalid::Malformed));
        let mut forged = sealed;
        forged[4] ^= 1;
        assert_eq!(decode(&forged, Some(&ours), "a"), Err(Invalid::Tag));
    }
}
