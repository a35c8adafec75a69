//! A TCP connection with the deadlines that hyper leaves to the owner of the socket.
//!
//! - **Opening.** hyper's header timeout starts once the protocol is known, so a client that sends
//!   nothing, or a part of the HTTP/2 preface, could stay forever. The opening has a deadline here.
//! - **Heads.** The bytes of HTTP/1 are recorded, so that a head can be checked as it was sent: see
//!   [`head`](super::head).
//! - **Writing.** See [`WriteDeadline`].
//! - **Closing.** A client may still be sending when it gets a rejection (413, 415, 431, …). The
//!   kernel answers unread bytes with a reset, which may cost the client the answer. So after the
//!   last byte was sent, up to [`DISCARDED`] bytes are read and dropped, for [`LINGER`] at most.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::state::{ConnectionState, OverCapacity};
use crate::http::limits::Limits;
use crate::write_deadline::WriteDeadline;

/// The HTTP/2 connection preface (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Empty SETTINGS, then GOAWAY before any stream with `ENHANCE_YOUR_CALM` (RFC 9113, section 6.8).
const GO_AWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";
/// How long the socket of a rejected client stays open.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// How many bytes of a rejected client are read and dropped. Beyond it nothing is read, so that an
/// endless body is stopped by TCP's flow control and not swallowed at full speed.
pub(super) const DISCARDED: usize = 8 << 20;

/// The connection. See the module.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WriteDeadline<TcpStream>,
    /// `None` once the protocol is known.
    opening: Option<Opening>,
    state: ConnectionState,
    /// Held by a connection over HTTP/2.
    permit: Option<OwnedSemaphorePermit>,
    /// Set by the first call to shut down.
    linger: Option<Linger>,
}

#[derive(Debug)]
struct Opening {
    /// How much of the preface was read.
    matched: usize,
    within: Duration,
    /// Set by the first read that has to wait.
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Linger {
    deadline: Pin<Box<Sleep>>,
    /// How many bytes may still be dropped.
    left: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, limits: &Limits, state: ConnectionState) -> Self {
        let opening = Opening { matched: 0, within: limits.header_timeout, deadline: None };
        Self {
            stream: WriteDeadline::new(stream, limits.write_timeout),
            opening: Some(opening),
            state,
            permit: None,
            linger: None,
        }
    }

    /// Takes the bytes of one read.
    fn read(&mut self, bytes: &[u8]) -> Result<(), OverCapacity> {
        self.state.read(bytes)?;
        if let Some(opening) = &mut self.opening
            && opening.is_settled_by(bytes)
        {
            if opening.is_http2() {
                self.permit = Some(self.state.speaks_http2()?);
            }
            self.opening = None;
        }
        Ok(())
    }
}

impl Opening {
    /// Takes the next bytes, and returns whether the protocol is known.
    fn is_settled_by(&mut self, bytes: &[u8]) -> bool {
        let expected = &PREFACE[self.matched..];
        let common = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        self.matched += common;
        common < bytes.len() || self.matched == PREFACE.len()
    }

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
            if let Err(error) = this.read(&buf.filled()[before..]) {
                // The send buffer is empty: nothing was written before.
                let http2 = this.opening.as_ref().is_some_and(Opening::is_http2);
                let told = http2.then(|| Pin::new(&mut this.stream).poll_write(cx, GO_AWAY));
                this.state.traffic().refused_connections.inc();
                tracing::debug!(%error, ?told, "a connection was rejected");
                return Poll::Ready(Err(io::Error::other(error)));
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
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.state.set_stalled(this.stream.is_stalled());
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(linger) = &mut this.linger else {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.state.has_unread() {
                return Poll::Ready(Ok(()));
            }
            this.linger = Some(Linger { deadline: Box::pin(sleep(LINGER)), left: DISCARDED });
            return Pin::new(this).poll_shutdown(cx);
        };
        // The timer first: a client that never stops sending must not hide it.
        while linger.deadline.as_mut().poll(cx).is_pending() {
            if linger.left == 0 {
                return Poll::Pending;
            }
            let mut waste = [0; 4096];
            let mut waste = ReadBuf::new(&mut waste);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut waste));
            if read.is_err() || waste.filled().is_empty() {
                break;
            }
            linger.left = linger.left.saturating_sub(waste.filled().len());
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
