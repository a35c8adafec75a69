//! The heads of HTTP/1 requests as they were sent, checked more strictly than hyper does.
//!
//! hyper accepts a bare line feed as a line ending, and drops a `Content-Length` next to a
//! `Transfer-Encoding` before a handler sees the request. Both are used to smuggle a request past a
//! proxy that parses the same bytes differently (RFC 9112, section 11.2). What hyper dropped is only
//! visible in the bytes, so the socket records what it reads and each request takes its own head.
//!
//! ```text
//! recorded: │ head of this request │ body, so far │ next request, if pipelined │
//!              take() checks it      Body::skip()
//! ```
//!
//! hyper decides which bytes are a body. A chunked body is followed to its end
//! ([`chunked`](super::chunked)). If its end has not arrived by the answer, the connection is out of
//! step and is closed after the answer.

use tokio::sync::OwnedSemaphorePermit;

use super::chunked::Chunked;

/// The capacity that an empty buffer keeps.
const KEPT: usize = 1024;

/// What is wrong with a head. The client gets the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadFault {
    /// A line that ends without a carriage return.
    #[error("every line of a request's head must end with CR LF")]
    BareLineFeed,
    /// Two framings of one body.
    #[error("a request must have either Content-Length or Transfer-Encoding, not both")]
    TwoLengths,
    /// A framing header twice.
    #[error("Content-Length and Transfer-Encoding must be given once at most")]
    Repeated,
    /// The bytes can't be matched to the request.
    #[error("the request does not follow from what was sent before it; use a new connection")]
    OutOfStep,
}

/// The recorded bytes of a connection that no request has taken yet.
#[derive(Debug, Default)]
pub(super) struct Heads {
    recorded: Vec<u8>,
    body: Body,
    /// Held while a large head is recorded.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// The rest of the current request's body.
#[derive(Debug, Default)]
pub(super) enum Body {
    #[default]
    None,
    Bytes(u64),
    Chunks(Chunked),
    /// The connection speaks HTTP/2: all bytes are skipped.
    Http2,
}

impl Body {
    /// Skips the bytes of this body, and returns their number.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let (skipped, ended) = match self {
            Self::None => (0, true),
            Self::Bytes(left) => {
                let skipped = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                *left -= skipped as u64;
                (skipped, *left == 0)
            }
            Self::Chunks(chunked) => (chunked.pass(bytes), chunked.is_done()),
            Self::Http2 => (bytes.len(), false),
        };
        if ended {
            *self = Self::None;
        }
        skipped
    }
}

impl Heads {
    /// Records what was read from the socket, and returns the length of the record.
    pub(super) fn record(&mut self, bytes: &[u8]) -> usize {
        let skipped = self.body.skip(bytes);
        self.recorded.extend_from_slice(&bytes[skipped..]);
        self.recorded.len()
    }

    /// Records nothing from now on: the connection speaks HTTP/2.
    pub(super) fn disable(&mut self) {
        *self = Self { body: Body::Http2, ..Self::default() };
    }

    /// Takes the head of the request that hyper has just parsed, and checks it. Its body follows.
    pub(super) fn take(&mut self, body: Body) -> Result<(), HeadFault> {
        if !matches!(self.body, Body::None) {
            return Err(HeadFault::OutOfStep);
        }
        // Empty lines before a request are not part of it (RFC 9112, section 2.2).
        let start = self.recorded.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let head = start + check(&self.recorded[start..])?;
        self.body = body;
        let end = head + self.body.skip(&self.recorded[head..]);
        if end == self.recorded.len() {
            self.recorded.clear();
            self.recorded.shrink_to(KEPT);
            self.permit = None;
        } else {
            self.recorded.drain(..end);
        }
        Ok(())
    }

    /// Whether the next head can be located after the answer.
    pub(super) fn are_in_step(&self) -> bool {
        !matches!(self.body, Body::Chunks(_))
    }
}

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// Checks a head, and returns its length.
fn check(bytes: &[u8]) -> Result<usize, HeadFault> {
    let (mut lengths, mut codings, mut start) = (0, 0, 0);
    for end in memchr::memchr_iter(b'\n', bytes) {
        let Some(line) = bytes[start..end].strip_suffix(b"\r") else {
            return Err(HeadFault::BareLineFeed);
        };
        match line.first().map(u8::to_ascii_lowercase) {
            None => {
                return match (lengths, codings) {
                    (0 | 1, 0) | (0, 1) => Ok(end + 1),
                    (1, 1) => Err(HeadFault::TwoLengths),
                    _ => Err(HeadFault::Repeated),
                };
            }
            Some(b'c') if is_header(line, LENGTH) => lengths += 1,
            Some(b't') if is_header(line, CODING) => codings += 1,
            Some(_) => {}
        }
        start = end + 1;
    }
    Err(HeadFault::OutOfStep)
}

fn is_header(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";

    fn chunks() -> Body {
        Body::Chunks(Chunked::default())
    }

    #[test]
    fn a_head_in_pieces_and_the_next_one_behind_its_body_are_found() {
        let mut heads = Heads::default();
        heads.record(&HEAD[..9]);
        heads.record(&[&HEAD[9..], b"a"].concat());
        assert_eq!(heads.take(Body::Bytes(3)), Ok(()));
        heads.record(&[b"bc\r\n", HEAD].concat());
        assert!(heads.are_in_step());
        assert_eq!(heads.take(Body::Bytes(3)), Ok(()));
        heads.record(b"abc");
        assert_eq!(heads.recorded, b"");
    }

    #[test]
    fn a_request_without_recorded_bytes_is_out_of_step() {
        let mut heads = Heads::default();
        heads.record(HEAD);
        assert_eq!(heads.take(Body::Bytes(3)), Ok(()));
        assert_eq!(heads.take(Body::Bytes(0)), Err(HeadFault::OutOfStep));
    }

    #[test]
    fn behind_a_chunked_body_the_next_head_is_found_however_much_came_at_once() {
        let chunked = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let all = [chunked, HEAD, b"abc", chunked].concat();
        for size in 1..=all.len() {
            let mut heads = Heads::default();
            let mut bodies = [chunks(), Body::Bytes(3), chunks()].into_iter();
            for piece in all.chunks(size) {
                heads.record(piece);
                while let Body::None = heads.body
                    && memchr::memmem::find(&heads.recorded, b"\r\n\r\n").is_some()
                {
                    assert_eq!(heads.take(bodies.next().unwrap()), Ok(()), "{size}");
                }
            }
            assert_eq!((bodies.len(), heads.are_in_step()), (0, true), "{size}");
        }
    }

    #[test]
    fn a_chunked_body_whose_end_has_not_come_or_cannot_be_told_puts_its_connection_out_of_step() {
        for body in ["3\r\nabc\r\n0\r\n", "3\r\nabc\n0\r\n\r\n", "abc"] {
            let mut heads = Heads::default();
            heads.record(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
            assert_eq!(heads.take(chunks()), Ok(()));
            heads.record(body.as_bytes());
            assert!(!heads.are_in_step(), "{body:?}");
            assert_eq!(heads.recorded, b"", "nothing of a body is kept");
        }
    }

    #[test]
    fn what_two_readers_could_read_otherwise_is_a_fault() {
        for (lines, fault) in [
            ("Host: x\nA: b\r\n", HeadFault::BareLineFeed),
            ("A: b\r\n\n", HeadFault::BareLineFeed),
            ("content-length: 1\r\nTRANSFER-ENCODING: chunked\r\n", HeadFault::TwoLengths),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", HeadFault::TwoLengths),
            ("Content-Length: 1\r\ncontent-length: 1\r\n", HeadFault::Repeated),
            ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", HeadFault::Repeated),
        ] {
            let head = format!("PUT / HTTP/1.1\r\n{lines}\r\n");
            assert_eq!(check(head.as_bytes()), Err(fault), "{lines:?}");
        }
        assert_eq!(check(HEAD), Ok(HEAD.len()));
    }
}
