//! What hyper is lenient about, or leaves to the owner of the socket.
//!
//! hyper parses and frames; this module wraps it and adds what a public port needs:
//!
//! | promise | where |
//! |---|---|
//! | a head that two parsers could read differently is answered 400, and the connection closed | `head`, `chunked` |
//! | heads, HTTP/2 connections and streams in memory are bounded | `state` ([`Quotas`]), `streams` |
//! | a silent client, or one that reads nothing, is disconnected | `socket`, `connection` |
//! | a client that is still sending can read its rejection, at a bounded cost | `socket` |
//! | a connection above the limit is answered 503 | `over_capacity` |
//! | a stop finishes running requests and waits for nobody else | `connection` |
//!
//! Input that hyper can't parse never becomes a request. hyper answers it itself, with an empty 400,
//! 414 or 431, and closes the connection.

mod chunked;
mod connection;
mod head;
mod over_capacity;
mod socket;
mod state;
mod streams;

pub(super) use connection::{protocol, serve};
pub(super) use over_capacity::reject;
pub(super) use state::{ConnectionState, Quotas};
