//! The forced route: who ordered it, why, and until when.
//!
//! The library knows that a route is forced, and no more. The end of an order is a wall-clock time:
//! it holds over a restart, and an order whose end has passed meanwhile is released at the start.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover::clock::Clock;
use failover::{FailoverHandle, Route};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::admin::{Command, ForcedRoute, Instruction, Order};

/// The order in force.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Held over a command and its change of the route, so that both are those of the same command.
    commands: Mutex<()>,
    current: watch::Sender<Current>,
}

/// Who decides on the route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Current {
    /// The policy.
    #[default]
    Policy,
    /// An operator.
    Forced(Order),
    /// An operator's order whose end has come. Only during the release, for its event.
    Ending(Order),
}

impl Current {
    pub(super) fn order(&self) -> Option<&Order> {
        match self {
            Self::Policy => None,
            Self::Forced(order) | Self::Ending(order) => Some(order),
        }
    }
}

impl Orders {
    /// Who decides now. Observers of a transition that a command makes read this command's order.
    pub(super) fn current(&self) -> Current {
        self.current.borrow().clone()
    }

    /// The order in force, if there is one.
    pub(super) fn order(&self) -> Option<Order> {
        self.current.borrow().order().cloned()
    }

    /// Notifies of each new order and each release.
    pub(super) fn changes(&self) -> watch::Receiver<Current> {
        self.current.subscribe()
    }

    /// How long the route has been forced; at least a millisecond, also after a step back of the wall
    /// clock. `None` if it is not forced.
    pub(super) fn forced_for(&self) -> Option<Duration> {
        let since = self.order()?.since;
        let lasted = Duration::try_from(Timestamp::now().duration_since(since));
        Some(lasted.unwrap_or_default().max(Duration::from_millis(1)))
    }

    /// Executes a command.
    pub(super) fn execute<Clk: Clock>(
        &self,
        handle: &FailoverHandle<Clk>,
        instruction: &Instruction,
    ) {
        let _commands = self.one_command();
        match (instruction.order(), instruction.command) {
            (Some(order), _) => self.force(handle, order),
            (None, Command::Reset) => {
                handle.reset();
                self.current.send_replace(Current::Policy);
            }
            (None, _) => self.release(handle),
        }
    }

    /// Continues as before a restart: an order in force is forced, if the route is not; without an
    /// order a forced route is released.
    pub(super) fn resume<Clk: Clock>(&self, handle: &FailoverHandle<Clk>, order: Option<Order>) {
        let _commands = self.one_command();
        match order {
            Some(order) => self.force(handle, order),
            None => self.release(handle),
        }
    }

    /// Releases the route if the end of the order in force has come.
    pub(super) fn release_at_end<Clk: Clock>(&self, handle: &FailoverHandle<Clk>) {
        self.release_if_over(handle, Timestamp::now());
    }

    fn release_if_over<Clk: Clock>(&self, handle: &FailoverHandle<Clk>, now: Timestamp) {
        let _commands = self.one_command();
        // Read with the lock: a later order has another end.
        let Some(order) = self.order() else { return };
        if order.until.is_some_and(|until| until <= now) {
            self.current.send_replace(Current::Ending(order));
            self.release(handle);
        }
    }

    fn force<Clk: Clock>(&self, handle: &FailoverHandle<Clk>, order: Order) {
        let route = route(order.route);
        // Before the transition, whose observers read it.
        self.current.send_replace(Current::Forced(order));
        handle.force(route);
    }

    fn release<Clk: Clock>(&self, handle: &FailoverHandle<Clk>) {
        handle.release();
        // After the transition, whose observers read who is released.
        self.current.send_replace(Current::Policy);
    }

    // It guards no data, so poison is ignored.
    fn one_command(&self) -> MutexGuard<'_, ()> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The route that is forced.
fn route(forced: ForcedRoute) -> Route {
    match forced {
        ForcedRoute::Primary => Route::Primary,
        ForcedRoute::Fallback => Route::Fallback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use failover::clock::ManualClock;
    use failover::{Monitor, Policy, State};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn instruction(command: Command, until: Option<i64>) -> Instruction {
        let (by, until) = ("127.0.0.1:5".into(), until.map(at));
        Instruction { command, by, at: at(0), until, reason: None }
    }

    #[test]
    fn an_order_is_released_at_its_end_and_not_before() {
        let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
        let (orders, handle) = (Orders::default(), monitor.handle());
        orders.execute(&handle, &instruction(Command::ForceFallback, Some(60)));
        orders.release_if_over(&handle, at(59));
        assert_eq!(handle.snapshot().state, State::ForcedFallback);
        assert_eq!(orders.order().unwrap().until, Some(at(60)));
        orders.release_if_over(&handle, at(60));
        assert_eq!(handle.snapshot().state, State::Primary);
        assert_eq!(orders.current(), Current::Policy);
    }

    #[test]
    fn the_end_of_an_order_is_of_no_account_for_a_later_one() {
        let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
        let (orders, handle) = (Orders::default(), monitor.handle());
        for later in [None, Some(120)] {
            orders.execute(&handle, &instruction(Command::ForceFallback, Some(60)));
            orders.execute(&handle, &instruction(Command::ForceFallback, later));
            orders.release_if_over(&handle, at(60));
            assert_eq!(handle.snapshot().state, State::ForcedFallback);
            assert_eq!(orders.order().unwrap().until, later.map(at));
        }
        for command in [Command::Auto, Command::Reset] {
            orders.execute(&handle, &instruction(Command::ForcePrimary, None));
            orders.execute(&handle, &instruction(command, None));
            assert_eq!((orders.order(), handle.snapshot().forced), (None, false));
        }
    }
}
