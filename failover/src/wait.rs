//! A call that waits for a busy service: where it was sent, and what wakes it.
//!
//! It is woken by the service; by each change of the route, and each place of a probe that comes
//! free; and, if the clock can sleep, when it has to look at the time again.

use std::fmt;
use std::task::Context;

use crate::Route;
use crate::clock::{Clock, Moment, Sleep};
use crate::monitor::Watch;
use crate::phase::Epoch;
use crate::recovery::ProbeLease;
use crate::shared::Shared;
use crate::waiters::Waiter;

/// Nothing in it is set unless a call waits.
pub(crate) struct Wait {
    shared: &'static Shared,
    waiter: Option<Waiter>,
    sleep: Option<(Moment, Sleep)>,
    /// The call's decision, which stands as long as its epoch. Dealt once: if each poll were dealt a
    /// route, a share of the polls would go to the primary, and not one of the calls.
    decision: Option<Decision>,
}

/// Where a call that waits was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) route: Route,
    pub(crate) epoch: Epoch,
    /// The primary failed to become ready for it, or not before a probe's lease was over. Whichever
    /// service is ready first takes it, or the fallback if it was a probe.
    pub(crate) diverted: bool,
}

impl Wait {
    pub(crate) fn new(shared: &'static Shared) -> Self {
        Self { shared, waiter: None, sleep: None, decision: None }
    }

    pub(crate) fn shared(&self) -> &'static Shared {
        self.shared
    }

    pub(crate) fn decide(&mut self, decision: Decision) -> Decision {
        *self.decision.insert(decision)
    }

    /// The next poll decides anew.
    pub(crate) fn forget(&mut self) {
        self.decision = None;
    }

    /// The decision, if it still stands; looks at the time.
    pub(crate) fn standing<K: Clock>(&self, watch: &Watch<K>) -> Option<Decision> {
        let Decision { route, epoch, diverted } = self.decision?;
        let stands = watch.look(epoch, diverted || route == Route::Primary);
        self.decision.filter(|_| stands)
    }

    /// Waits for a change of the route. False if there was one already since the decision: a
    /// transition before this woke nobody.
    ///
    /// Not the route is asked, which a call that was dealt to the fallback differs from.
    pub(crate) fn begin<K: Clock>(
        &mut self,
        Decision { epoch, .. }: Decision,
        lease: Option<ProbeLease>,
        watch: &Watch<K>,
        context: &mut Context<'_>,
    ) -> bool {
        let (waiter, waits) = self.shared.wait_in(epoch, self.waiter.take(), context.waker());
        self.waiter = Some(waiter);
        if waits {
            self.sleep(watch, lease, context);
        }
        waits
    }

    fn sleep<K: Clock>(
        &mut self,
        watch: &Watch<K>,
        lease: Option<ProbeLease>,
        context: &mut Context<'_>,
    ) {
        let Some(moment) = watch.next_look(lease) else { return self.sleep = None };
        if self.sleep.as_ref().is_none_or(|(earlier, _)| *earlier > moment) {
            self.sleep = watch.sleep_until(moment).map(|sleep| (moment, sleep));
        }
        if let Some((_, sleep)) = &mut self.sleep
            && sleep.as_mut().poll(context).is_ready()
        {
            // The time has come since it was looked at.
            self.sleep = None;
            context.waker().wake_by_ref();
        }
    }

    /// The call waits no more.
    pub(crate) fn end(&mut self) {
        (self.sleep, self.decision) = (None, None);
        if let Some(waiter) = self.waiter.take() {
            self.shared.waiters.leave(&waiter);
        }
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        // Whatever else is set: a call that waits has a waiter.
        if self.waiter.is_some() {
            self.end();
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("decision", &self.decision).finish_non_exhaustive()
    }
}
