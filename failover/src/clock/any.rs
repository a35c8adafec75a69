//! A clock without a type parameter.

use std::fmt;
use std::sync::Arc;

use super::{Clock, Moment, Sleep};

/// A type-erased clock, for code off the hot path.
#[derive(Clone)]
pub(crate) struct AnyClock(Arc<dyn Erased>);

trait Erased: Send + Sync {
    fn now(&self) -> Moment;
    fn now_precise(&self) -> Moment;
    fn sleep_until(&self, moment: Moment) -> Option<Sleep>;
}

impl<C: Clock> Erased for C {
    fn now(&self) -> Moment {
        Clock::now(self)
    }

    fn now_precise(&self) -> Moment {
        Clock::now_precise(self)
    }

    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        Clock::sleep_until(self, moment)
    }
}

impl AnyClock {
    pub(crate) fn new(clock: impl Clock) -> Self {
        Self(Arc::new(clock))
    }
}

impl Clock for AnyClock {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn now_precise(&self) -> Moment {
        self.0.now_precise()
    }

    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        self.0.sleep_until(moment)
    }
}

impl fmt::Debug for AnyClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyClock")
    }
}
