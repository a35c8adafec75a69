//! Which request a question belongs to.

use std::fmt;
use std::num::NonZeroU128;
use std::sync::Arc;

/// What ties together all that one request leads to: the calls to the providers, and the lines in
/// the logs here and there. A clone is a reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    id: NonZeroU128,
    flags: u8,
    request: Arc<str>,
}

impl Trace {
    /// The trace with this id and these flags (W3C Trace Context, `trace-id` and `trace-flags`), and
    /// the request's own id, which must be printable and bounded.
    #[must_use]
    pub fn new(id: NonZeroU128, flags: u8, request: impl Into<Arc<str>>) -> Self {
        Self { id, flags, request: request.into() }
    }

    /// The trace's id, which the callers of the caller share.
    #[must_use]
    pub fn id(&self) -> TraceId {
        TraceId(self.id)
    }

    /// The flags, to be passed on.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The request's id: what the client sent as `x-request-id`, or was given.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request
    }
}

/// The id of a trace, printed as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub NonZeroU128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
