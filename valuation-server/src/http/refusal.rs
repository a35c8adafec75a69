//! A body for the refusals that hyper writes by itself.
//!
//! What can't be read as HTTP never becomes a request: hyper answers 400, 414 or 431 with nothing
//! in it, and has no door for another answer. Every answer of ours to a fault has a body, so a
//! head that says 4xx and `content-length: 0` is hyper's own, and the socket sends in its place the
//! same status with the members that every other error has.

use hyper::StatusCode;

use super::problem::{HEAD_TOO_LARGE, Problem};

/// How every such head begins, up to the two last digits of the status.
const BEGINNING: &[u8] = b"HTTP/1.1 4";
const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";

/// The answer that goes out in place of hyper's.
#[derive(Debug)]
pub(super) struct Refusal {
    bytes: Vec<u8>,
    sent: usize,
    /// How much of what hyper writes it stands for.
    stands_for: usize,
}

impl Refusal {
    /// In place of `written`, if that is such a head. `announced_too_much` says whether the head
    /// that is refused announces a body of more bytes than hyper can count, which it answers with 431.
    pub(super) fn instead_of(
        written: &[u8],
        announced_too_much: impl FnOnce() -> bool,
    ) -> Option<Self> {
        if !written.starts_with(BEGINNING) {
            return None;
        }
        let head = memchr::memmem::find(written, b"\r\n\r\n").map(|end| &written[..end + 2])?;
        memchr::memmem::find(head, EMPTY)?;
        let mut status = StatusCode::from_bytes(&written[9..12]).ok()?;
        if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE && announced_too_much() {
            status = StatusCode::PAYLOAD_TOO_LARGE;
        }
        let message = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "the Content-Length is larger than any that is taken",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => HEAD_TOO_LARGE,
            StatusCode::URI_TOO_LONG => "the target of a request must not exceed 65534 bytes",
            _ => "what was sent is not HTTP/1.1, or not well-formed",
        };
        let body = Problem::new(status, message).body(None);
        let phrase = status.canonical_reason().unwrap_or("Error");
        let mut bytes = format!(
            "HTTP/1.1 {} {phrase}\r\ncontent-type: application/problem+json\r\n\
             cache-control: no-store\r\nx-content-type-options: nosniff\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            status.as_str(),
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        Some(Self { bytes, sent: 0, stands_for: head.len() + 2 })
    }

    /// What is still to be sent.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Notes that so much of it was sent; when all was, gives how much of what hyper writes is
    /// done with that.
    pub(super) fn sent(&mut self, bytes: usize) -> Option<usize> {
        self.sent += bytes;
        self.rest().is_empty().then_some(self.stands_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_4xx_is_replaced() {
        for written in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\n0123456789",
            "HTTP/1.1 404 Not Found\r\nx: y\r\n\r\n\r\ncontent-length: 0\r\n",
        ] {
            assert!(Refusal::instead_of(written.as_bytes(), || true).is_none(), "{written}");
        }
        let written = b"HTTP/1.1 431 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let refusal = Refusal::instead_of(written, || true).unwrap();
        assert!(refusal.rest().starts_with(b"HTTP/1.1 413 Payload Too Large\r\n"));
        let mut refusal = Refusal::instead_of(written, || false).unwrap();
        assert!(refusal.rest().starts_with(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert_eq!(refusal.sent(1), None);
        assert_eq!(refusal.sent(refusal.rest().len()), Some(written.len()));
    }
}
