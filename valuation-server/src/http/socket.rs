//! A TCP connection, with what HTTP libraries leave to the socket's owner.
//!
//! **The opening.** While the protocol is being told from the first bytes no deadline for heads
//! runs yet, so a client that sends nothing, or a part of HTTP/2's preface, could stay for ever.
//! Here the opening has a deadline of its own.
//!
//! **The heads.** What is read of HTTP/1 is noted, so that a request's head can be judged as it
//! came: see [`head`](super::head).
//!
//! **Refusals.** hyper's own have no body: see [`refusal`](super::refusal).
//!
//! **A client that reads nothing.** It has a [`WriteDeadline`], and what runs the connection is told
//! that answers wait for it.
//!
//! **The close.** An answer that is given before the request was read whole (413, 415, 431, …) is
//! followed by a close while the client is still sending. The kernel answers bytes that nobody will
//! read with a reset, which breaks the client's sending and may cost it the answer. So after the
//! last byte was sent, what still comes is read and thrown away for a short time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::Limits;
use super::peer::{Crowded, Peer};
use super::refusal::Refusal;
use crate::write_deadline::WriteDeadline;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a client is told that there are too many of: no settings, and to go away before any request
/// was taken up (RFC 9113, section 6.8; the code is `ENHANCE_YOUR_CALM`).
const GO_AWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";
/// How long a client that is being turned away may go on sending.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The connection. See the module.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WriteDeadline<TcpStream>,
    /// `None` once the protocol can be told.
    opening: Option<Opening>,
    peer: Peer,
    /// One of those for connections over HTTP/2.
    place: Option<OwnedSemaphorePermit>,
    /// Set while it goes out.
    refusal: Option<Refusal>,
    /// Set by the first call to shut down.
    linger: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Opening {
    /// How much of the preface has come.
    matched: usize,
    within: Duration,
    /// Set when there is something to wait for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, limits: &Limits, peer: Peer) -> Self {
        let opening = Opening { matched: 0, within: limits.header_timeout, deadline: None };
        Self {
            stream: WriteDeadline::new(stream, limits.write_timeout),
            opening: Some(opening),
            peer,
            place: None,
            refusal: None,
            linger: None,
        }
    }

    /// Takes the bytes that were read just now.
    fn came(&mut self, bytes: &[u8]) -> Result<(), Crowded> {
        self.peer.came(bytes)?;
        if let Some(opening) = &mut self.opening
            && opening.is_settled_by(bytes)
        {
            if opening.is_http2() {
                self.place = Some(self.peer.speaks_http2()?);
            }
            self.opening = None;
        }
        Ok(())
    }

    fn poll_written(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.peer.set_stalled(self.stream.is_stalled());
        polled
    }

    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(mut refusal) = self.refusal.take() {
            let polled = self.poll_written(cx, refusal.rest());
            let Poll::Ready(Ok(written)) = polled else {
                self.refusal = Some(refusal);
                return polled;
            };
            if let Some(done) = refusal.sent(written) {
                return Poll::Ready(Ok(done));
            }
            self.refusal = Some(refusal);
        }
        Poll::Ready(Ok(0))
    }
}

impl Opening {
    /// Takes the next bytes, and says whether they settle the protocol.
    fn is_settled_by(&mut self, bytes: &[u8]) -> bool {
        let expected = &PREFACE[self.matched..];
        let common = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        self.matched += common;
        common < bytes.len() || self.matched == PREFACE.len()
    }

    /// Whether what settled the protocol is the whole preface.
    fn is_http2(&self) -> bool {
        self.matched == PREFACE.len()
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let within = self.within;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(within))).as_mut().poll(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            if let Err(crowded) = this.came(&buf.filled()[before..]) {
                // Nothing was written before: it finds room, or nothing does.
                let http2 = this.opening.as_ref().is_some_and(Opening::is_http2);
                let told = http2.then(|| Pin::new(&mut this.stream).poll_write(cx, GO_AWAY));
                this.peer.turned_away();
                tracing::debug!(%crowded, ?told, "a client was turned away");
                return Poll::Ready(Err(io::Error::other(crowded)));
            }
        } else if polled.is_pending()
            && let Some(opening) = &mut this.opening
            && opening.poll_expired(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_none() {
            this.refusal = Refusal::instead_of(buf, || this.peer.announced_too_much());
            if this.refusal.is_some() {
                this.peer.refused();
            }
        }
        if this.refusal.is_some() {
            return this.poll_refuse(cx);
        }
        this.poll_written(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(linger) = &mut this.linger else {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.peer.has_unread() {
                return Poll::Ready(Ok(()));
            }
            this.linger = Some(Box::pin(sleep(LINGER)));
            return Pin::new(this).poll_shutdown(cx);
        };
        // The timer first: a client that never stops sending must not keep it from being seen.
        while linger.as_mut().poll(cx).is_pending() {
            let mut waste = [0; 4096];
            let mut waste = ReadBuf::new(&mut waste);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut waste));
            if read.is_err() || waste.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled_after(pieces: &[&[u8]]) -> Option<usize> {
        let mut opening = Opening { matched: 0, within: Duration::ZERO, deadline: None };
        pieces.iter().position(|piece| opening.is_settled_by(piece))
    }

    #[test]
    fn the_first_byte_that_differs_from_the_preface_settles_the_protocol() {
        assert_eq!(settled_after(&[b"GET / HTTP/1.1\r\n"]), Some(0));
        assert_eq!(settled_after(&[b"P", b"U"]), Some(1));
        assert_eq!(settled_after(&[b"PRI * HTTP/1.1"]), Some(0));
    }

    #[test]
    fn so_does_the_whole_preface_in_pieces_or_with_more_behind_it() {
        assert_eq!(settled_after(&[PREFACE]), Some(0));
        assert_eq!(settled_after(&[&PREFACE[..10], &PREFACE[10..]]), Some(1));
        assert_eq!(settled_after(&[&PREFACE[..10], b"", b" "]), Some(2));
        assert_eq!(settled_after(&[&[PREFACE, b"more"].concat()]), Some(0));
    }

    #[test]
    fn a_part_of_the_preface_settles_nothing() {
        assert_eq!(settled_after(&[b"", b"PRI", b" * HTTP"]), None);
    }
}
