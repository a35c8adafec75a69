//! Classifies an HTTP exchange: first by its head, then by its end.

use http::{HeaderMap, Response, StatusCode};

use super::grpc::{GrpcCode, GrpcErrorsAsFailures};
use crate::classify::Classify;
use crate::outcome::Outcome;

/// Errors, 5xx, 408 and 429 are failures; every other status is a success. The default.
///
/// 408 and 429 say that the server did not process the request. All other 4xx are a healthy
/// server's responses to invalid requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerErrorsAsFailures;

impl ServerErrorsAsFailures {
    /// The outcome of a status.
    #[must_use]
    pub fn outcome(status: StatusCode) -> Outcome {
        match status.as_u16() {
            408 | 429 | 500..=599 => Outcome::Failure,
            _ => Outcome::Success,
        }
    }
}

impl<B, E> Classify<Response<B>, E> for ServerErrorsAsFailures {
    #[inline]
    fn classify(&self, result: &Result<Response<B>, E>) -> Outcome {
        result.as_ref().map_or(Outcome::Failure, |response| Self::outcome(response.status()))
    }
}

/// Classifies by the status alone; errors are failures. See [`HttpClassify::by_status`].
#[derive(Clone, Copy, Debug)]
pub struct ByStatus<S>(S);

impl<S, B, E> Classify<Response<B>, E> for ByStatus<S>
where
    S: Fn(StatusCode) -> Outcome,
{
    #[inline]
    fn classify(&self, result: &Result<Response<B>, E>) -> Outcome {
        result.as_ref().map_or(Outcome::Failure, |response| self.0(response.status()))
    }
}

/// Classifies an HTTP exchange: `H` by its head, the rest by its end.
///
/// The [module's documentation](crate::http) lists when each outcome is recorded. As a plain
/// [`Classify`], for a [`Failover`](crate::service::Failover) or a
/// [`Rescue`](crate::service::rescue::Rescue), it decides by the head alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassify<H = ServerErrorsAsFailures> {
    head: H,
    pub(super) eos: EosPolicy,
}

/// How the end of a body is classified. Small, since each body carries it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EosPolicy {
    pub(super) grpc: Option<GrpcErrorsAsFailures>,
    pub(super) abandoned: Option<Outcome>,
}

impl HttpClassify {
    /// Classifies by [`ServerErrorsAsFailures`], without gRPC.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S: Fn(StatusCode) -> Outcome> HttpClassify<ByStatus<S>> {
    /// Classifies by the status. An error instead of a response is a failure.
    ///
    /// ```
    /// use failover::Outcome;
    /// use failover::http::{ServerErrorsAsFailures, HttpClassify};
    /// use http::StatusCode;
    ///
    /// // Here a 401 means that the primary has lost its own credentials.
    /// let classify = HttpClassify::by_status(|status| match status {
    ///     StatusCode::UNAUTHORIZED => Outcome::Failure,
    ///     StatusCode::TOO_MANY_REQUESTS => Outcome::Ignored,
    ///     other => ServerErrorsAsFailures::outcome(other),
    /// });
    /// ```
    pub fn by_status(status: S) -> Self {
        HttpClassify::by(ByStatus(status))
    }
}

impl<H> HttpClassify<H> {
    /// Classifies heads by another classifier. Its successes may still fail at the end of the body.
    ///
    /// ```
    /// use failover::Outcome;
    /// use failover::http::{ServerErrorsAsFailures, HttpClassify};
    ///
    /// type Answer = Result<http::Response<String>, std::io::Error>;
    ///
    /// // A cache's answer says nothing about the server behind it.
    /// let classify = HttpClassify::by(|result: &Answer| match result {
    ///     Ok(response) if response.headers().contains_key("age") => Outcome::Ignored,
    ///     Ok(response) => ServerErrorsAsFailures::outcome(response.status()),
    ///     Err(_) => Outcome::Failure,
    /// });
    /// ```
    pub fn by(head: H) -> Self {
        Self { head, eos: EosPolicy::default() }
    }

    /// Classifies gRPC by `grpc-status`, in the head or the trailers. Without one, a response
    /// counts as `UNKNOWN`.
    ///
    /// ```
    /// use failover::http::{GrpcErrorsAsFailures, HttpClassify};
    ///
    /// let classify = HttpClassify::new().grpc(GrpcErrorsAsFailures::default());
    /// ```
    #[must_use]
    pub fn grpc(mut self, failures: GrpcErrorsAsFailures) -> Self {
        self.eos.grpc = Some(failures);
        self
    }

    /// The outcome of a body dropped while its reader waits for more: by default that of any
    /// dropped call. [`Outcome::Failure`] suits callers that never disconnect except by time-out.
    ///
    /// ```
    /// use failover::Outcome;
    /// use failover::http::HttpClassify;
    ///
    /// let classify = HttpClassify::new().abandoned(Outcome::Failure);
    /// ```
    #[must_use]
    pub fn abandoned(mut self, outcome: Outcome) -> Self {
        self.eos.abandoned = Some(outcome);
        self
    }

    /// The outcome of the head, if it is final; `None` if the end of the body decides.
    #[inline]
    pub(super) fn head<B, E>(&self, result: &Result<Response<B>, E>) -> Option<Outcome>
    where
        H: Classify<Response<B>, E>,
    {
        let outcome = self.head.classify(result);
        match (outcome, result, self.eos.grpc) {
            (Outcome::Success, Ok(_), None) => None,
            (Outcome::Success, Ok(response), Some(failures)) => {
                GrpcCode::in_headers(response.headers()).map(|code| failures.outcome(code))
            }
            _ => Some(outcome),
        }
    }
}

impl EosPolicy {
    /// The body ended without an error, with these trailers.
    #[inline]
    pub(super) fn whole(self, trailers: Option<&HeaderMap>) -> Outcome {
        match self.grpc {
            None => Outcome::Success,
            Some(failures) => {
                let code = trailers.and_then(GrpcCode::in_headers);
                failures.outcome(code.unwrap_or(GrpcCode::Unknown))
            }
        }
    }

    /// The body was dropped by a reader that did not wait for more.
    pub(super) fn left(self) -> Outcome {
        if self.grpc.is_none() { Outcome::Success } else { Outcome::Ignored }
    }
}

impl<H, B, E> Classify<Response<B>, E> for HttpClassify<H>
where
    H: Classify<Response<B>, E>,
{
    fn classify(&self, result: &Result<Response<B>, E>) -> Outcome {
        self.head(result).unwrap_or(Outcome::Success)
    }
}
