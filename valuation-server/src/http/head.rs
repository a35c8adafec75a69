//! The heads of HTTP/1 requests as they came, judged by more than the parser looks at.
//!
//! hyper is lenient where the standard allows it: it takes a bare line feed for the end of a line,
//! and of a length beside a transfer coding it believes the coding and forgets the length before a
//! handler sees the request. Each of these is how a request is smuggled past a proxy that reads
//! the same bytes otherwise (RFC 9112, section 11.2). What hyper forgot can only be seen in the
//! bytes, so the socket notes here what it reads and each request takes its own head out.
//!
//! ```text
//! noted: │ head of this request │ body, so far │ next request, if the client did not wait │
//!           take() judges it      begin_body() passes over it
//! ```
//!
//! Which bytes are a body is hyper's to say. It does for a body with a length; a chunked one is
//! followed to its end ([`chunked`](super::chunked)), and where that has not come by the answer, the
//! connection is out of step: it is closed after the answer.

use tokio::sync::OwnedSemaphorePermit;

use super::chunked::Chunked;

/// An empty buffer that is larger is given back.
const KEPT: usize = 1024;

/// What is wrong with a head. The texts are for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadFault {
    /// A line that ends without a carriage return.
    #[error("every line of a request's head must end with CR LF")]
    BareLineFeed,
    /// Two ways to tell where the body ends.
    #[error("a request must have either Content-Length or Transfer-Encoding, not both")]
    TwoLengths,
    /// One of the two headers twice.
    #[error("Content-Length and Transfer-Encoding must be given once at most")]
    Repeated,
    /// The bytes can't be matched to the request.
    #[error("the request does not follow from what was sent before it; use a new connection")]
    OutOfStep,
}

/// How a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With a last chunk.
    Chunked,
}

/// The bytes of a connection that no request has taken yet.
#[derive(Debug, Default)]
pub(super) struct Heads {
    noted: Vec<u8>,
    body: Body,
    /// For a head that is large, until it is taken.
    place: Option<OwnedSemaphorePermit>,
}

/// What of the current request's body is still to come.
#[derive(Debug, Default)]
enum Body {
    #[default]
    None,
    Bytes(u64),
    Chunks(Chunked),
    /// The connection is not HTTP/1: nothing is noted.
    Other,
}

impl Heads {
    /// Notes what was read from the socket, and gives how much is noted now.
    pub(super) fn note(&mut self, mut bytes: &[u8]) -> usize {
        match &mut self.body {
            Body::None => {}
            Body::Bytes(left) => {
                let passed = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                *left -= passed as u64;
                bytes = &bytes[passed..];
                if *left == 0 {
                    self.body = Body::None;
                }
            }
            Body::Chunks(chunked) => {
                bytes = &bytes[chunked.pass(bytes)..];
                if chunked.is_done() {
                    self.body = Body::None;
                }
            }
            Body::Other => return 0,
        }
        self.noted.extend_from_slice(bytes);
        self.noted.len()
    }

    pub(super) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    pub(super) fn take_place(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    /// From here on nothing is noted: the connection speaks another protocol.
    pub(super) fn give_up(&mut self) {
        *self = Self { body: Body::Other, ..Self::default() };
    }

    /// Takes the head of the request that was parsed just now, and judges it.
    pub(super) fn take(&mut self, framing: Framing) -> Result<(), HeadFault> {
        if !matches!(self.body, Body::None) {
            return Err(HeadFault::OutOfStep);
        }
        // Empty lines before a request are no part of it (RFC 9112, section 2.2).
        let start = self.noted.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let end = start + judge(&self.noted[start..])?;
        self.begin_body(end, framing);
        Ok(())
    }

    fn begin_body(&mut self, head_end: usize, framing: Framing) {
        let came = self.noted.len() - head_end;
        let passed = match framing {
            Framing::Length(length) => {
                let passed = usize::try_from(length).map_or(came, |length| length.min(came));
                let left = length - passed as u64;
                self.body = if left == 0 { Body::None } else { Body::Bytes(left) };
                passed
            }
            Framing::Chunked => {
                let mut chunked = Chunked::default();
                let passed = chunked.pass(&self.noted[head_end..]);
                self.body = if chunked.is_done() { Body::None } else { Body::Chunks(chunked) };
                passed
            }
        };
        if head_end + passed == self.noted.len() {
            self.noted.clear();
            self.noted.shrink_to(KEPT);
            self.place = None;
        } else {
            self.noted.drain(..head_end + passed);
        }
    }

    /// Whether the head of the next request can be found, once this one is answered.
    pub(super) fn are_in_step(&self) -> bool {
        !matches!(self.body, Body::Chunks(_))
    }

    /// Whether the head that came last announces a body of more bytes than the HTTP library can
    /// count. It answers such a head as it does one that is too large itself.
    pub(super) fn announce_too_much(&self) -> bool {
        const COUNTED: u64 = u64::MAX - 2;
        self.noted.split(|byte| *byte == b'\n').any(|line| {
            let length = line.get(LENGTH.len()..).filter(|_| is_header(line, LENGTH));
            let length = length.and_then(|value| str::from_utf8(value.trim_ascii()).ok());
            length
                .and_then(|length| length.parse().ok())
                .is_some_and(|length: u64| length > COUNTED)
        })
    }
}

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// Judges a head, and gives its length.
fn judge(bytes: &[u8]) -> Result<usize, HeadFault> {
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

    #[test]
    fn a_head_in_pieces_and_the_next_one_behind_its_body_are_found() {
        let mut heads = Heads::default();
        heads.note(&HEAD[..9]);
        heads.note(&[&HEAD[9..], b"a"].concat());
        assert_eq!(heads.take(Framing::Length(3)), Ok(()));
        heads.note(&[b"bc\r\n", HEAD].concat());
        assert!(heads.are_in_step());
        assert_eq!(heads.take(Framing::Length(3)), Ok(()));
        heads.note(b"abc");
        assert_eq!(heads.noted, b"");
    }

    #[test]
    fn a_request_that_no_bytes_were_noted_for_is_out_of_step() {
        let mut heads = Heads::default();
        heads.note(HEAD);
        assert_eq!(heads.take(Framing::Length(3)), Ok(()));
        assert_eq!(heads.take(Framing::Length(0)), Err(HeadFault::OutOfStep));
    }

    #[test]
    fn behind_a_chunked_body_the_next_head_is_found_however_much_came_at_once() {
        let chunked = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let all = [chunked, HEAD, b"abc", chunked].concat();
        for size in 1..=all.len() {
            let mut heads = Heads::default();
            let mut framings = [Framing::Chunked, Framing::Length(3), Framing::Chunked].into_iter();
            for piece in all.chunks(size) {
                heads.note(piece);
                while let Body::None = heads.body
                    && memchr::memmem::find(&heads.noted, b"\r\n\r\n").is_some()
                {
                    assert_eq!(heads.take(framings.next().unwrap()), Ok(()), "{size}");
                }
            }
            assert_eq!((framings.next(), heads.are_in_step()), (None, true), "{size}");
        }
    }

    #[test]
    fn a_chunked_body_whose_end_has_not_come_or_cannot_be_told_puts_its_connection_out_of_step() {
        for body in ["3\r\nabc\r\n0\r\n", "3\r\nabc\n0\r\n\r\n", "abc"] {
            let mut heads = Heads::default();
            heads.note(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
            assert_eq!(heads.take(Framing::Chunked), Ok(()));
            heads.note(body.as_bytes());
            assert!(!heads.are_in_step(), "{body:?}");
            assert_eq!(heads.noted, b"", "nothing of a body is kept");
        }
    }

    #[test]
    fn a_length_that_the_library_cannot_count_is_told_from_a_head_that_is_too_large() {
        for (length, too_much) in [
            ("18446744073709551615", true),
            ("18446744073709551614", true),
            ("18446744073709551613", false),
            ("18446744073709551617", false),
            ("13", false),
            ("", false),
        ] {
            let mut heads = Heads::default();
            heads.note(format!("PUT / HTTP/1.1\r\ncontent-Length: {length}\r\n\r\n").as_bytes());
            assert_eq!(heads.announce_too_much(), too_much, "{length}");
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
            assert_eq!(judge(head.as_bytes()), Err(fault), "{lines:?}");
        }
        assert_eq!(judge(HEAD), Ok(HEAD.len()));
    }
}
