//! The primary, the fallback, the floor and the bare call.

use std::fmt::Debug;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use tower::{Service, service_fn};

/// The service that responded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The primary.
    Primary,
    /// The fallback.
    Fallback,
}

/// The primary's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down;

pub(crate) type Call = Ready<Result<Answer, Down>>;

/// A primary or a fallback.
pub(crate) trait Plain:
    Service<bool, Response = Answer, Error = Down, Future = Call> + Clone + Send + Sync + 'static
{
}

impl<S> Plain for S where
    S: Service<bool, Response = Answer, Error = Down, Future = Call>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service that is measured.
pub(crate) trait Tested:
    Service<bool, Response = Answer, Error: Debug + Send, Future: Send> + Clone + Send + 'static
{
}

impl<S> Tested for S where
    S: Service<bool, Response = Answer, Error: Debug + Send, Future: Send> + Clone + Send + 'static
{
}

/// A primary that fails if the request says so.
#[inline]
fn answer(fails: bool) -> Call {
    ready(if black_box(fails) { Err(Down) } else { Ok(Answer::Primary) })
}

pub(crate) fn primary() -> impl Plain {
    service_fn(answer)
}

pub(crate) fn fallback() -> impl Plain {
    service_fn(|fails: bool| {
        black_box(fails);
        ready(Ok(Answer::Fallback))
    })
}

/// A fallback that fails if the request says so.
pub(crate) fn failing_fallback() -> impl Plain {
    service_fn(|fails: bool| ready(if black_box(fails) { Err(Down) } else { Ok(Answer::Fallback) }))
}

/// The primary of a rescue in the other direction.
pub(crate) fn rescuing_primary() -> impl Plain {
    service_fn(|fails: bool| {
        black_box(fails);
        ready(Ok(Answer::Primary))
    })
}

#[repr(align(128))]
struct Line(AtomicU64);

thread_local!(static OWN: Line = const { Line(AtomicU64::new(0)) });

/// The primary, and one relaxed addition in the thread's own cache line.
pub(crate) fn floor() -> impl Plain {
    service_fn(|fails: bool| {
        OWN.with(|line| line.0.fetch_add(1, Ordering::Relaxed));
        answer(fails)
    })
}
