//! One of the two services, and the calls that wait for it in vain.
//!
//! A service that answered `Pending` may have queued the call, and gets a permit assigned when one is
//! free: tower's `ConcurrencyLimit` and `Buffer` do so. A call that then takes the other service never
//! uses that permit, and nobody else gets it as long as the queued clone is alive. A place in such a
//! queue is left only by a drop; so an abandoned service is replaced by a clone of itself.

use std::mem;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use tower_service::Service;

#[derive(Debug)]
pub(crate) struct Candidate<S> {
    pub(crate) service: S,
    /// Whether the current call was told to wait for it.
    waited_for: bool,
    /// Known if `S: Clone`, as soon as that was of use: from a clone on, for it and its original.
    clone: OnceLock<fn(&S) -> S>,
}

impl<S> Candidate<S> {
    /// A service of which it is not known whether it can be cloned.
    pub(crate) fn new(service: S) -> Self {
        Self { service, waited_for: false, clone: OnceLock::new() }
    }

    pub(crate) fn cloneable(service: S) -> Self
    where
        S: Clone,
    {
        Self { service, waited_for: false, clone: OnceLock::from(S::clone as fn(&S) -> S) }
    }

    /// As the service's own, for calls that may come to wait.
    pub(crate) fn poll_ready<R>(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<R>,
    {
        let polled = self.service.poll_ready(context);
        self.waited_for = polled.is_pending();
        polled
    }

    /// It has answered `Pending`, and the call waits.
    pub(crate) fn is_waited_for(&mut self) {
        self.waited_for = true;
    }

    /// The call waits for it no more, and does not take it.
    pub(crate) fn abandon(&mut self) {
        if mem::take(&mut self.waited_for) {
            self.replace();
        }
    }

    /// Gives up whatever this clone has been promised.
    pub(crate) fn replace(&mut self) {
        if let Some(clone) = self.clone.get() {
            self.service = clone(&self.service);
        }
    }
}

impl<S: Clone> Clone for Candidate<S> {
    fn clone(&self) -> Self {
        self.clone.get_or_init(|| S::clone);
        Self::cloneable(self.service.clone())
    }
}
