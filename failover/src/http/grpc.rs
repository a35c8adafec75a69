//! The status codes of gRPC, and which of them are failures.

use http::HeaderMap;

use crate::outcome::Outcome;

/// The status codes of gRPC, with the numbers of its specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GrpcCode {
    /// 0: success.
    Ok = 0,
    /// 1: cancelled, usually by the caller.
    Cancelled = 1,
    /// 2: an unknown error; also a response without a readable code.
    Unknown = 2,
    /// 3: the request is invalid in any state of the system.
    InvalidArgument = 3,
    /// 4: the deadline passed.
    DeadlineExceeded = 4,
    /// 5: the entity does not exist.
    NotFound = 5,
    /// 6: the entity already exists.
    AlreadyExists = 6,
    /// 7: the caller lacks permission.
    PermissionDenied = 7,
    /// 8: a quota or a resource is exhausted.
    ResourceExhausted = 8,
    /// 9: the system is not in a state that allows the call.
    FailedPrecondition = 9,
    /// 10: a conflict with another call.
    Aborted = 10,
    /// 11: past the valid range.
    OutOfRange = 11,
    /// 12: the server does not implement this method.
    Unimplemented = 12,
    /// 13: an invariant of the server is broken.
    Internal = 13,
    /// 14: the service is unavailable for now.
    Unavailable = 14,
    /// 15: data is lost or corrupted.
    DataLoss = 15,
    /// 16: the caller is not authenticated.
    Unauthenticated = 16,
}

impl GrpcCode {
    const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code in `grpc-status`, if present. An invalid code is [`Unknown`](Self::Unknown), as the
    /// specification requires.
    #[must_use]
    pub fn in_headers(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get("grpc-status")?.as_bytes();
        let number = match text {
            [ones @ b'0'..=b'9'] => ones - b'0',
            [b'1', ones @ b'0'..=b'9'] => 10 + ones - b'0',
            _ => return Some(Self::Unknown),
        };
        Some(Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Unknown))
    }
}

/// Which codes of gRPC are failures of the primary.
///
/// By default `UNKNOWN`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `INTERNAL`, `UNAVAILABLE` and
/// `DATA_LOSS`, which correspond to a 5xx or 429 of HTTP. `CANCELLED` is ignored, since usually the
/// caller cancelled. The others (`NOT_FOUND`, `PERMISSION_DENIED`, `UNIMPLEMENTED`, …) are
/// responses of a healthy server, and so successes.
///
/// ```
/// use failover::http::{GrpcCode, GrpcErrorsAsFailures};
/// use failover::Outcome;
///
/// let failures = GrpcErrorsAsFailures::default()
///     .with(GrpcCode::Unimplemented)
///     .without(GrpcCode::ResourceExhausted);
/// assert_eq!(failures.outcome(GrpcCode::Unimplemented), Outcome::Failure);
/// assert_eq!(failures.outcome(GrpcCode::ResourceExhausted), Outcome::Success);
/// assert_eq!(failures.outcome(GrpcCode::Cancelled), Outcome::Ignored);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcErrorsAsFailures(u32);

impl GrpcErrorsAsFailures {
    /// Counts this code as a failure.
    #[must_use]
    pub const fn with(self, code: GrpcCode) -> Self {
        Self(self.0 | 1 << code as u32)
    }

    /// Does not count this code as a failure.
    #[must_use]
    pub const fn without(self, code: GrpcCode) -> Self {
        Self(self.0 & !(1 << code as u32))
    }

    /// The outcome of a code.
    #[must_use]
    pub const fn outcome(self, code: GrpcCode) -> Outcome {
        if self.0 & 1 << code as u32 != 0 {
            Outcome::Failure
        } else if matches!(code, GrpcCode::Cancelled) {
            Outcome::Ignored
        } else {
            Outcome::Success
        }
    }
}

impl Default for GrpcErrorsAsFailures {
    fn default() -> Self {
        Self(0)
            .with(GrpcCode::Unknown)
            .with(GrpcCode::DeadlineExceeded)
            .with(GrpcCode::ResourceExhausted)
            .with(GrpcCode::Internal)
            .with(GrpcCode::Unavailable)
            .with(GrpcCode::DataLoss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_numbers_of_the_specification() {
        for (number, code) in GrpcCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", number.into());
            assert_eq!(GrpcCode::in_headers(&headers), Some(code));
        }
    }

    #[test]
    fn an_invalid_code_is_unknown_and_a_missing_header_is_none() {
        for text in ["17", "99", "-1", "", "x", "00", "1 ", "140"] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", text.parse().unwrap());
            assert_eq!(GrpcCode::in_headers(&headers), Some(GrpcCode::Unknown), "{text:?}");
        }
        assert_eq!(GrpcCode::in_headers(&HeaderMap::new()), None);
    }
}
