//! Why an exchange failed: the HTTP client's error as a stable code and a short text.

use std::error::Error;
use std::io;
use std::iter;

use crate::domain::ErrorCode;

/// An exchange without an answer, or with one that could not be read to its end.
#[derive(Debug)]
pub(super) struct FetchError {
    /// The stable code.
    pub(super) code: ErrorCode,
    /// What happened, in our words and the operating system's; never with a URL.
    pub(super) message: String,
    /// The status, if the answer's head was received.
    pub(super) status: Option<u16>,
}

impl FetchError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: None }
    }

    /// From an error of the HTTP client, which must be without its URL. With `https`, a connect error
    /// above TCP is one of TLS.
    pub(super) fn of(error: &reqwest::Error, https: bool) -> Self {
        let code = code(error, https);
        // The innermost error is the cause; the others only say where it surfaced.
        let cause = chain(error).last().unwrap_or(error);
        Self::new(code, format!("{}: {cause}", what(code)))
    }
}

fn code(error: &reqwest::Error, https: bool) -> ErrorCode {
    if error.is_dns() {
        return ErrorCode::Dns;
    }
    let connecting = error.is_connect();
    let in_io = first::<io::Error>(error).map(innermost);
    let in_http = first::<hyper::Error>(error);
    let broken_off =
        in_http.is_some_and(|e| e.is_incomplete_message() || e.is_closed() || e.is_canceled());
    match in_io {
        Some(io) if is_shortage(io) => ErrorCode::Local,
        Some(io) if io.kind() == io::ErrorKind::TimedOut => ErrorCode::Timeout,
        // With TLS 1.3 a server refuses our certificate after our side of the handshake.
        Some(io) if io.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()).is_some() => {
            ErrorCode::Tls
        }
        // A TLS violation is an I/O error without an OS error code.
        Some(io) if connecting && https && io.raw_os_error().is_none() => ErrorCode::Tls,
        Some(io) if is_break(io.kind()) => ErrorCode::Reset,
        _ if connecting => ErrorCode::Connect,
        _ if broken_off => ErrorCode::Reset,
        _ => ErrorCode::Protocol,
    }
}

/// An I/O error may be wrapped in another one, which hides it from the chain of sources.
fn innermost(error: &io::Error) -> &io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    inner.map_or(error, innermost)
}

/// `ENFILE` and `EMFILE`: the other provider can't be asked either.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

fn is_break(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

fn what(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Dns => "the host's name did not resolve",
        ErrorCode::Timeout => "the operating system gave up waiting",
        ErrorCode::Tls => "TLS could not be agreed on",
        ErrorCode::Reset => "the connection broke before the answer was whole",
        ErrorCode::Local => "this process can't open a connection",
        ErrorCode::Connect => "the connection could not be made",
        _ => "what came was not HTTP",
    }
}

/// The first error of this type in the chain.
fn first<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|e| e.downcast_ref::<E>())
}

/// `error` and its sources, from the outermost to the innermost.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&e| e.source())
}
