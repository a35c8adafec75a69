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
