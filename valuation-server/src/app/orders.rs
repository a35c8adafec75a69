//! The forced route: who ordered it, why, and until when.
//!
//! The library knows that a route is forced, and no more. The end of an order is a wall-clock time:
//! it holds over a restart, and an order whose end has passed meanwhile is released at the start.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover::{FailoverHandle, Route};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::admin::{Command, ForcedRoute, Instruction, Order};

/// How long an answer waits for its command to be stored. After it the command counts as not stored.
const WAIT: Duration = Duration::from_secs(1);

/// How uncertain the time of another node's command is: it is known by its age, which is passed on.
const UNSURE: Duration = Duration::from_secs(1);

/// The order in force.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Held over a command and its change of the route, so that both are those of the same command.
    commands: Mutex<()>,
    current: watch::Sender<Current>,
    /// When the last command was given, and the last one before the restart.
    given: Mutex<[Option<Timestamp>; 2]>,
    stored: watch::Sender<Stored>,
}

/// What a restart would find.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stored {
    /// This.
    Order(Option<Order>),
    /// Unknown since then: another order is being stored, or could not be.
    Unknown(Instant),
}

impl Default for Stored {
    fn default() -> Self {
        Self::Unknown(Instant::now())
    }
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
    pub(super) fn execute(&self, handle: &FailoverHandle, instruction: &Instruction) {
        let _commands = self.one_command();
        self.given()[0] = Some(instruction.at);
        match (instruction.order(), instruction.command) {
            (Some(order), _) => self.force(handle, order),
            (None, Command::Reset) => {
                handle.reset();
                self.current.send_replace(Current::Policy);
            }
            (None, _) => self.release(handle),
        }
    }

    /// When the last command was given.
    pub(super) fn last_given(&self) -> Option<Timestamp> {
        self.given()[0]
    }

    /// Takes when the last command before the restart was given.
    pub(super) fn recall_given(&self, last: Option<Timestamp>) {
        *self.given() = [last; 2];
    }

    /// Whether a command of the fleet was known before the restart, or replaced by a later one for this
    /// node.
    pub(super) fn is_known(&self, instruction: &Instruction) -> bool {
        let [last, before_restart] = *self.given();
        // A later command for this node stands, whether it has heard of this one by then or not.
        let later = |last: Timestamp| {
            let apart = last.duration_since(instruction.at);
            apart.is_positive() && apart.unsigned_abs() > UNSURE
        };
        if last.is_some_and(later) {
            return true;
        }
        let Some(last) = before_restart else { return false };
        let apart = last.duration_since(instruction.at);
        if apart.unsigned_abs() > UNSURE {
            return apart.is_positive();
        }
        let order = |order: Order| (order.route, order.by, order.reason);
        instruction.order().map(order) == self.order().map(order)
    }

    /// The order in force, which is stored from now on. Until [`stored`](Self::stored) it is not known
    /// what is.
    pub(super) fn to_store(&self) -> Option<Order> {
        // With the lock: a command sees either this mark, or is part of what is stored.
        let _commands = self.one_command();
        let order = self.order();
        self.stored.send_if_modified(|stored| {
            let differs = matches!(stored, Stored::Order(known) if *known != order);
            if differs {
                *stored = Stored::Unknown(Instant::now());
            }
            differs
        });
        order
    }

    /// Notes that this is stored.
    pub(super) fn stored(&self, order: Option<Order>) {
        self.stored.send_replace(Stored::Order(order));
    }

    /// Whether the order in force was stored within a second.
    pub(super) async fn is_stored_soon(&self) -> bool {
        let mut stored = self.stored.subscribe();
        let stored = stored.wait_for(|stored| *stored == Stored::Order(self.order()));
        timeout(WAIT, stored).await.is_ok_and(|stored| stored.is_ok())
    }

    /// Whether a restart would find the order in force.
    pub(super) fn is_stored(&self) -> bool {
        *self.stored.borrow() == Stored::Order(self.order())
    }

    /// Whether it is not stored although there was time to.
    pub(super) fn is_overdue(&self) -> bool {
        let since = match &*self.stored.borrow() {
            Stored::Order(_) => None,
            Stored::Unknown(since) => Some(*since),
        };
        !self.is_stored() && since.is_none_or(|since| since.elapsed() >= WAIT)
    }

    /// Continues as before a restart: an order in force is forced, if the route is not; without an
    /// order a forced route is released.
    pub(super) fn resume(&self, handle: &FailoverHandle, order: Option<Order>) {
        let _commands = self.one_command();
        match order {
            Some(order) => self.force(handle, order),
            None => self.release(handle),
        }
    }

    /// Releases the route if the end of the order in force has come.
    pub(super) fn release_at_end(&self, handle: &FailoverHandle) {
        self.release_if_over(handle, Timestamp::now());
    }

    fn release_if_over(&self, handle: &FailoverHandle, now: Timestamp) {
        let _commands = self.one_command();
        // Read with the lock: a later order has another end.
        let Some(order) = self.order() else { return };
        if order.until.is_some_and(|until| until <= now) {
            self.current.send_replace(Current::Ending(order));
            self.release(handle);
        }
    }

    fn force(&self, handle: &FailoverHandle, mut order: Order) {
        if let Some(since) = self.extended_by(&order) {
            order.since = since;
        }
        let route = route(order.route);
        // Before the transition, whose observers read it.
        self.current.send_replace(Current::Forced(order));
        handle.force(route);
    }

    /// Since when the route that this order forces has been forced; `None` if it is not forced.
    pub(super) fn extended_by(&self, order: &Order) -> Option<Timestamp> {
        self.order().filter(|current| current.route == order.route).map(|current| current.since)
    }

    fn release(&self, handle: &FailoverHandle) {
        handle.release();
        // After the transition, whose observers read who is released.
        self.current.send_replace(Current::Policy);
    }

    // Only replaced as a whole, so poison is ignored.
    fn given(&self) -> MutexGuard<'_, [Option<Timestamp>; 2]> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
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
    use crate::admin::Scope;
    use failover::clock::ManualClock;
    use failover::{Monitor, Policy, State};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn instruction(command: Command, until: Option<i64>) -> Instruction {
        let (by, until) = ("127.0.0.1:5".into(), until.map(at));
        Instruction { command, by, at: at(0), until, reason: None, scope: Scope::Node }
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
    fn an_order_that_extends_a_forced_route_keeps_its_begin() {
        let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
        let (orders, handle) = (Orders::default(), monitor.handle());
        let force = |command, since| {
            let instruction =
                Instruction { at: at(since), ..instruction(command, Some(since + 60)) };
            orders.execute(&handle, &instruction);
            let order = orders.order().unwrap();
            assert_eq!(order.until, Some(at(since + 60)));
            order.since
        };
        assert_eq!(force(Command::ForceFallback, 10), at(10));
        assert_eq!(force(Command::ForceFallback, 20), at(10));
        assert_eq!(force(Command::ForcePrimary, 30), at(30), "another route");
        orders.execute(&handle, &instruction(Command::Auto, None));
        assert_eq!(force(Command::ForcePrimary, 40), at(40), "released meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_stored_once_its_own_order_is_and_not_an_earlier_one() {
        let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
        let (orders, handle) = (Orders::default(), monitor.handle());
        orders.stored(orders.to_store());
        assert!(orders.is_stored_soon().await);
        orders.execute(&handle, &instruction(Command::ForceFallback, None));
        let forced = orders.to_store();
        // The route is released while the order is being stored.
        orders.execute(&handle, &instruction(Command::Auto, None));
        assert!(!orders.is_stored() && !orders.is_overdue(), "not yet");
        assert!(!orders.is_stored_soon().await);
        assert!(orders.is_overdue());
        orders.stored(forced);
        assert!(orders.is_overdue() && !orders.is_stored_soon().await);
        orders.stored(orders.to_store());
        assert!(!orders.is_overdue() && orders.is_stored_soon().await);
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
