//! A clock without a type parameter.

use std::fmt;
use std::sync::Arc;

use super::{Clock, Moment};

/// A type-erased clock, for code off the hot path.
#[derive(Clone)]
pub(crate) struct AnyClock(Arc<dyn Erased>);

trait Erased: Send + Sync {
    fn now(&self) -> Moment;
    fn now_precise(&self) -> Moment;
}

impl<C: Clock> Erased for C {
    fn now(&self) -> Moment {
        Clock::now(self)
    }

    fn now_precise(&self) -> Moment {
        Clock::now_precise(self)
    }
}

// Not a `Clock` itself: nothing waits by it, so it need not sleep.
impl AnyClock {
    pub(crate) fn new(clock: impl Clock) -> Self {
        Self(Arc::new(clock))
    }

    pub(crate) fn now(&self) -> Moment {
        self.0.now()
    }

    pub(crate) fn now_precise(&self) -> Moment {
        self.0.now_precise()
    }
}

impl fmt::Debug for AnyClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyClock")
    }
}
