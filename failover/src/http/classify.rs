//! Classifies an HTTP exchange: first by its head, then by its end.

use http::{Extensions, HeaderMap, Response, StatusCode, Version};

use super::grpc::{GrpcCode, GrpcErrorsAsFailures};
use super::retry_after::retry_after;
use crate::classify::Classify;
use crate::outcome::Outcome;

/// Errors, 5xx, 408 and 429 are failures; every other status is a success. The default.
///
/// 408 and 429 say that the server did not process the request. All other 4xx are a healthy
/// server's responses to invalid requests. A failure with a valid `Retry-After` is
/// [`Outcome::RetryAfter`].
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
        result.as_ref().map_or(Outcome::Failure, |response| {
            with_retry_after(Self::outcome(response.status()), response)
        })
    }
}

/// The head of a response, without its body and so of one type: see [`HttpClassify::by_head`].
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    status: StatusCode,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> Head<'a> {
    fn of<B>(response: &'a Response<B>) -> Self {
        Self {
            status: response.status(),
            version: response.version(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The version of HTTP.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The extensions.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

/// Classifies by status and headers; errors are failures. See [`HttpClassify::by_head`].
#[derive(Clone, Copy, Debug)]
pub struct ByHead<S>(S);

impl<S, B, E> Classify<Response<B>, E> for ByHead<S>
where
    S: Fn(Head<'_>) -> Outcome,
{
    #[inline]
    fn classify(&self, result: &Result<Response<B>, E>) -> Outcome {
        result.as_ref().map_or(Outcome::Failure, |response| self.0(Head::of(response)))
    }
}

/// Adds the response's `Retry-After` to a failure.
#[inline]
fn with_retry_after<B>(outcome: Outcome, response: &Response<B>) -> Outcome {
    match outcome {
        Outcome::Failure => retry_after(response.headers()).map_or(outcome, Outcome::RetryAfter),
        _ => outcome,
    }
}

/// Classifies an HTTP exchange: `H` by its head, the rest by its end. A head that is a failure and has
/// a valid `Retry-After` is [`Outcome::RetryAfter`], whatever classified it; whether that is followed
/// is up to [`PolicyBuilder::retry_after`](crate::policy::PolicyBuilder::retry_after).
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

impl<S: Fn(Head<'_>) -> Outcome> HttpClassify<ByHead<S>> {
    /// Classifies by status and headers. An error instead of a response is a failure.
    ///
    /// Fits every type of body, and so goes with metrics and with services of different body types. With
    /// `metered` or `on_call` each call is classified twice, so the closure must have no side effects.
    ///
    /// ```
    /// use failover::Outcome;
    /// use failover::http::{ServerErrorsAsFailures, HttpClassify};
    /// use http::StatusCode;
    ///
    /// let classify = HttpClassify::by_head(|head| match head.status() {
    ///     // A cache's answer says nothing about the server behind it.
    ///     _ if head.headers().contains_key("age") => Outcome::Ignored,
    ///     // Here a 401 means that the primary has lost its own credentials.
    ///     StatusCode::UNAUTHORIZED => Outcome::Failure,
    ///     other => ServerErrorsAsFailures::outcome(other),
    /// });
    /// ```
    pub fn by_head(classify: S) -> Self {
        HttpClassify::by(ByHead(classify))
    }
}

impl<H> HttpClassify<H> {
    /// Classifies heads and errors by another classifier. Its successes may still fail at the end of
    /// the body.
    ///
    /// A closure fits the one type that it names. A classifier that must fit every type of body, as
    /// with metrics, implements [`Classify`] for `Response<B>` with any `B`; if the error does not
    /// matter, use [`by_head`](HttpClassify::by_head).
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use failover::{Classify, Outcome};
    /// use failover::http::{HttpClassify, ServerErrorsAsFailures};
    /// use http::Response;
    ///
    /// #[derive(Clone, Copy)]
    /// struct ExceptInterrupted;
    ///
    /// impl<B> Classify<Response<B>, Error> for ExceptInterrupted {
    ///     fn classify(&self, result: &Result<Response<B>, Error>) -> Outcome {
    ///         match result {
    ///             Err(error) if error.kind() == ErrorKind::Interrupted => Outcome::Ignored,
    ///             _ => ServerErrorsAsFailures.classify(result),
    ///         }
    ///     }
    /// }
    ///
    /// let classify = HttpClassify::by(ExceptInterrupted);
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
        let Ok(response) = result else { return Some(outcome) };
        let outcome = match (outcome, self.eos.grpc) {
            (Outcome::Success, None) => return None,
            (Outcome::Success, Some(failures)) => {
                failures.outcome(GrpcCode::in_headers(response.headers())?)
            }
            _ => outcome,
        };
        Some(with_retry_after(outcome, response))
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
