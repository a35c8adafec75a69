//! Well-known policies with their defaults, from their public documentation. Calls that they would
//! reject go to the fallback here.
//!
//! All of them discard the outcome of a call admitted before a transition. The documentation leaves
//! this open, and it is in their favour.
//!
//! | name | documentation |
//! |---|---|
//! | resilience4j | <https://resilience4j.readme.io/docs/circuitbreaker> |
//! | Polly v8 | <https://www.pollydocs.org/strategies/circuit-breaker> |
//! | linkerd | <https://linkerd.io/2/reference/circuit-breaking/> |
//! | Envoy | <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier> |

mod breaker;
mod counting;
mod proxies;

use super::{Candidate, Policy};

pub(super) fn all() -> Vec<Candidate> {
    vec![
        known(
            "resilience4j",
            "50 % or more of the last 100 calls; 60 s; then 10 calls probe, 50 % as well",
            || Box::new(counting::Resilience4j::default()),
        ),
        known(
            "Polly v8",
            "10 % or more of at least 100 calls in 30 s; 5 s; then 1 call probes",
            || Box::new(counting::Polly::default()),
        ),
        known(
            "linkerd",
            "7 in a row; 1 s, doubled up to 1 min, with jitter; then 1 call probes",
            || Box::new(proxies::Linkerd::default()),
        ),
        known(
            "Envoy",
            "5 in a row; 30 s a trip in a row, up to 5 min, by a sweep each 10 s; all return",
            || Box::new(proxies::Envoy::default()),
        ),
        known("consecutive-5", "5 in a row; all return after 5 min", || {
            Box::new(counting::FiveInARow::default())
        }),
        known(
            "since start",
            "above 1/2 of all calls since the process started; all return after 5 min",
            || Box::new(counting::SinceStart::default()),
        ),
    ]
}

fn known<F>(name: &'static str, what: &'static str, begin: F) -> Candidate
where
    F: Fn() -> Box<dyn Policy> + 'static,
{
    Candidate { name, what, ours: false, begin: Box::new(begin) }
}
