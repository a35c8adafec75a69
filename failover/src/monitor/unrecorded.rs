//! A call in flight whose outcome is recorded once, at the latest when it is dropped.

use crate::clock::Clock;
use crate::engine::ticket::Ticket;
use crate::monitor::EngineRef;
use crate::outcome::Outcome;

/// A call whose outcome a monitor records, if the monitor has admitted it. Its drop reports a dropped call.
#[derive(Debug)]
pub struct UnrecordedCall<Clk: Clock> {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) engine: EngineRef<Clk>,
}

impl<Clk: Clock> UnrecordedCall<Clk> {
    /// Without a ticket nothing is recorded.
    #[inline]
    pub(crate) fn new(ticket: Option<Ticket>, engine: EngineRef<Clk>) -> Self {
        Self { ticket, engine }
    }

    /// Runs the primary's code while the call goes on. A panic is one failure.
    #[inline]
    pub(crate) fn run<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.engine.guard(&mut self.ticket, run)
    }

    /// Records the outcome, unless one is recorded already.
    #[inline]
    pub(crate) fn record(&mut self, outcome: Outcome) {
        self.engine.settle(&mut self.ticket, outcome);
    }
}

impl<Clk: Clock> Drop for UnrecordedCall<Clk> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.engine.abandon(ticket);
        }
    }
}
