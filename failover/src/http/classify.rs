//! What an HTTP exchange says about the primary: first its head, then its end.

use http::{HeaderMap, Response, StatusCode};

use super::grpc::{GrpcCode, GrpcErrorsAsFailures};
use crate::classify::Classify;
use crate::outcome::Outcome;

/// Errors, 5xx, 408 and 429 are failures; every other status is a success. The default.
///
/// 408 and 429 are the two statuses below 500 by which a server says that it did not get to the
/// request. All other 4xx are answers: the server is up, and the request was not good.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerErrorsAsFailures;

impl ServerErrorsAsFailures {
    /// What a status says.
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

/// Decides by the status alone; errors are failures. See [`HttpClassify::by_status`].
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

/// Decides what an HTTP exchange says about the primary: `H` by its head, the rest by its end.
///
/// The table in the [module's documentation](crate::http) says what is recorded when. As a
/// [`Classify`] of its own, for a plain [`Failover`](crate::service::Failover) or a
/// [`Rescue`](crate::service::rescue::Rescue), it decides by the head alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassify<H = ServerErrorsAsFailures> {
    head: H,
    pub(super) eos: EosPolicy,
}

/// What the end of a body says. Small, since each body carries it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EosPolicy {
    pub(super) grpc: Option<GrpcErrorsAsFailures>,
    pub(super) abandoned: Option<Outcome>,
}

impl HttpClassify {
    /// By [`ServerErrorsAsFailures`], without gRPC.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S: Fn(StatusCode) -> Outcome> HttpClassify<ByStatus<S>> {
    /// Decides by the status, as you say. An error instead of an answer is a failure.
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
    /// Decides heads by another classifier, which sees the whole head, or the error. What it calls
    /// a success may still fail at its end.
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

    /// The exchanges are gRPC: `grpc-status` decides, in the head where it stands there and
    /// otherwise in the trailers. An answer that ends without it counts as `UNKNOWN`.
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

    /// What it says about the primary when a body is dropped while its reader waits for more. Not
    /// set, that is a dropped call like any other. [`Outcome::Failure`] is for those whose
    /// time-outs cut off a body that hangs, and who have no callers that go away by themselves.
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

    /// What the head says, and whether that is final.
    #[inline]
    pub(super) fn head<B, E>(&self, result: &Result<Response<B>, E>) -> Head
    where
        H: Classify<Response<B>, E>,
    {
        let outcome = self.head.classify(result);
        match (outcome, result, self.eos.grpc) {
            (Outcome::Success, Ok(_), None) => Head::Open,
            (Outcome::Success, Ok(response), Some(failures)) => {
                match GrpcCode::in_headers(response.headers()) {
                    Some(code) => Head::Final(failures.outcome(code)),
                    None => Head::Open,
                }
            }
            _ => Head::Final(outcome),
        }
    }
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// All that will be said about the primary.
    Final(Outcome),
    /// Good so far: the end decides.
    Open,
}

impl EosPolicy {
    /// The body ended as it should, with these trailers.
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

    /// The reader had enough of it.
    pub(super) fn left(self) -> Outcome {
        if self.grpc.is_none() { Outcome::Success } else { Outcome::Ignored }
    }
}

impl<H, B, E> Classify<Response<B>, E> for HttpClassify<H>
where
    H: Classify<Response<B>, E>,
{
    fn classify(&self, result: &Result<Response<B>, E>) -> Outcome {
        match self.head(result) {
            Head::Final(outcome) => outcome,
            Head::Open => Outcome::Success,
        }
    }
}
