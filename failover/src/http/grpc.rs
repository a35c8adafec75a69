//! The status codes of gRPC, and which of them are failures.

use http::HeaderMap;

use crate::outcome::Outcome;

/// The status codes of gRPC, as its specification numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GrpcCode {
    /// 0: the call went well.
    Ok = 0,
    /// 1: given up, as a rule by the caller.
    Cancelled = 1,
    /// 2: an error without a name; also an answer without a readable code.
    Unknown = 2,
    /// 3: the request can never work.
    InvalidArgument = 3,
    /// 4: not done in time.
    DeadlineExceeded = 4,
    /// 5: what was asked for does not exist.
    NotFound = 5,
    /// 6: what was to be made exists.
    AlreadyExists = 6,
    /// 7: the caller may not.
    PermissionDenied = 7,
    /// 8: a quota or a resource is used up.
    ResourceExhausted = 8,
    /// 9: the state of the system does not allow it.
    FailedPrecondition = 9,
    /// 10: a conflict with another call.
    Aborted = 10,
    /// 11: past the valid range.
    OutOfRange = 11,
    /// 12: the server does not offer this method.
    Unimplemented = 12,
    /// 13: an invariant of the server is broken.
    Internal = 13,
    /// 14: the service can't be reached now.
    Unavailable = 14,
    /// 15: data is lost or corrupted.
    DataLoss = 15,
    /// 16: the caller did not say who it is.
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

    /// The code in `grpc-status`, if there is that header. One that is no number, or a number
    /// without a meaning, is [`Unknown`](Self::Unknown), as the specification wants it.
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
/// By default those that say that the server could not: `UNKNOWN`, `DEADLINE_EXCEEDED`,
/// `RESOURCE_EXHAUSTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`. They are what a 5xx or a 429 is
/// to HTTP. The others are answers about the call (`NOT_FOUND`, `PERMISSION_DENIED`,
/// `UNIMPLEMENTED`, …), and those are successes of the primary. `CANCELLED` is ignored: as a rule
/// it is the caller who gave up.
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
    /// Counts this code as a failure, too.
    #[must_use]
    pub const fn with(self, code: GrpcCode) -> Self {
        Self(self.0 | 1 << code as u32)
    }

    /// Does not count this code as a failure.
    #[must_use]
    pub const fn without(self, code: GrpcCode) -> Self {
        Self(self.0 & !(1 << code as u32))
    }

    /// What a code says about the primary.
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
    fn codes_are_read_as_the_specification_numbers_them() {
        for (number, code) in GrpcCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", number.into());
            assert_eq!(GrpcCode::in_headers(&headers), Some(code));
        }
    }

    #[test]
    fn what_is_no_code_is_unknown_and_no_header_is_none() {
        for text in ["17", "99", "-1", "", "x", "00", "1 ", "140"] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", text.parse().unwrap());
            assert_eq!(GrpcCode::in_headers(&headers), Some(GrpcCode::Unknown), "{text:?}");
        }
        assert_eq!(GrpcCode::in_headers(&HeaderMap::new()), None);
    }
}
