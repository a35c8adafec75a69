//! From the results of two services to the response of one failover.

use tower_service::Service;

use crate::classify::Classify;
use crate::clock::Clock;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::outcome::Outcome;
use crate::service::observed::ByResult;

/// Decides which results of the two services are failures, and makes the failover's responses.
///
/// Implemented by [`ByResult`], with a [`Classify`] and two services of one response type, and by
/// feature `http` for responses whose bodies are watched to their ends.
pub trait Respond<R, P: Service<R>, F: Service<R>, Clk: Clock> {
    /// The failover's response.
    type Response;

    /// The primary's result, and its outcome as far as it is known. Reports the outcome, or passes the
    /// call on to the response.
    fn primary(
        &self,
        result: Result<P::Response, P::Error>,
        call: &mut UnrecordedCall<Clk>,
    ) -> (Result<Self::Response, P::Error>, Outcome);

    /// The outcome of the fallback's result.
    fn classify_fallback(&self, result: &Result<F::Response, F::Error>) -> Outcome;

    /// The failover's response, made of the fallback's.
    fn fallback(&self, response: F::Response) -> Self::Response;
}

impl<R, P, F, C, Clk> Respond<R, P, F, Clk> for ByResult<C>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    C: Classify<P::Response, P::Error> + Classify<P::Response, F::Error>,
    Clk: Clock,
{
    type Response = P::Response;

    #[inline]
    fn primary(
        &self,
        result: Result<P::Response, P::Error>,
        call: &mut UnrecordedCall<Clk>,
    ) -> (Result<P::Response, P::Error>, Outcome) {
        let outcome = self.0.classify(&result);
        call.record(outcome);
        (result, outcome)
    }

    #[inline]
    fn classify_fallback(&self, result: &Result<P::Response, F::Error>) -> Outcome {
        self.0.classify(result)
    }

    #[inline]
    fn fallback(&self, response: P::Response) -> P::Response {
        response
    }
}
