//! Classifiers: from the result of a call to its outcome.

use crate::outcome::Outcome;

/// Decides the outcome of a call to the primary from its result.
///
/// Every closure from `&Result<Response, Error>` to [`Outcome`] is a classifier. It is cloned for
/// each call, so its captures should be cheap to clone.
///
/// ```
/// use failover::{Classify, Outcome};
///
/// // "Not found" is an answer, and a cancelled call says nothing about the primary.
/// let classify = |result: &Result<u16, std::io::Error>| match result {
///     Ok(500..) => Outcome::Failure,
///     Ok(_) => Outcome::Success,
///     Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Outcome::Ignored,
///     Err(_) => Outcome::Failure,
/// };
/// assert_eq!(classify.classify(&Ok(404)), Outcome::Success);
/// ```
///
/// # Limits of your own
/// A call that a limit of this process rejects never reached the primary, and says nothing about it.
/// Ignore the error of tower's `load_shed`, or a burst of calls would count as an outage:
///
/// ```
/// use failover::{FailoverLayer, Outcome, Policy};
/// use tower::load_shed::error::Overloaded;
/// use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// fn except_overloaded<T>(result: &Result<T, BoxError>) -> Outcome {
///     match result {
///         Ok(_) => Outcome::Success,
///         Err(error) if error.is::<Overloaded>() => Outcome::Ignored,
///         Err(_) => Outcome::Failure,
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = service_fn(|_: u32| async { Ok::<_, BoxError>(()) });
/// // No permits: every call is rejected.
/// let primary = ServiceBuilder::new().load_shed().concurrency_limit(0).service(service);
/// let layer = FailoverLayer::with_fallback(service, Policy::default()).classify(except_overloaded);
/// let mut failover = layer.layer(primary);
/// for request in 0..20 {
///     assert!(failover.ready().await.unwrap().call(request).await.is_err());
/// }
/// assert_eq!(layer.handle().snapshot().tally.calls(), 0);
/// # }
/// ```
///
/// A `concurrency_limit` without `load_shed` rejects nothing: calls wait in `poll_ready`, which is not
/// counted either.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't classify `Result<{Response}, {Error}>`, the result of a call to the primary",
    note = "a classifier is a closure `|result: &Result<{Response}, {Error}>| -> Outcome`, or implements `Classify<{Response}, {Error}>`"
)]
pub trait Classify<Response, Error> {
    /// Returns the outcome of a call with this result.
    fn classify(&self, result: &Result<Response, Error>) -> Outcome;
}

impl<F, Response, Error> Classify<Response, Error> for F
where
    F: Fn(&Result<Response, Error>) -> Outcome,
{
    fn classify(&self, result: &Result<Response, Error>) -> Outcome {
        self(result)
    }
}

/// Every error is a failure, every response a success. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorsAsFailures;

impl<Response, Error> Classify<Response, Error> for ErrorsAsFailures {
    #[inline]
    fn classify(&self, result: &Result<Response, Error>) -> Outcome {
        if result.is_ok() { Outcome::Success } else { Outcome::Failure }
    }
}
