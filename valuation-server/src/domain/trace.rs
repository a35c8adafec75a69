//! The ids of a request.

use std::fmt;
use std::num::NonZeroU128;
use std::sync::Arc;

/// The ids that connect a client's request with its provider calls and with log lines, here and at the
/// providers. A clone is a reference count.
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

    /// The trace's id, shared along the whole chain of callers.
    #[must_use]
    pub fn id(&self) -> TraceId {
        TraceId(self.id)
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The request's id: the client's `x-request-id`, or a generated one.
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
