//! A bus in memory: for tests, and for several services in one process.

mod network;

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub use network::{Address, Conditions, Network};

use super::{Bus, Port};
use crate::clock::{Clock, FineClock, Moment, Sleep, nanos};

/// A [`Network`] between tasks. Clones are the same network, and each one that
/// [runs](Bus::run) is a node of its own.
///
/// ```
/// use failover::cluster::bus::{Bus, MemoryBus, Port};
///
/// let network = MemoryBus::new();
/// let (one, other) = (Port::new("demo", |_| {}), Port::new("demo", |_| {}));
/// // A runtime drives both.
/// let tasks = (network.clone().run(one), network.run(other));
/// # drop(tasks);
/// ```
#[derive(Clone)]
pub struct MemoryBus<Clk = FineClock>(Arc<Shared<Clk>>);

struct Shared<Clk> {
    clock: Clk,
    state: Mutex<State>,
}

struct State {
    network: Network<Arc<[u8]>>,
    is_up: bool,
    nodes: Vec<Running>,
}

struct Running {
    address: Address,
    port: Port,
    waker: Option<Waker>,
}

/// Takes its node down when the future of [`Bus::run`] is dropped.
struct Guard<Clk> {
    shared: Arc<Shared<Clk>>,
    address: Address,
}

impl MemoryBus {
    /// A perfect network: nothing is lost, and messages arrive at once.
    #[must_use]
    pub fn new() -> Self {
        Self::with_network(Network::new(0, Conditions::default()), FineClock)
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl<Clk: Clock> MemoryBus<Clk> {
    /// A network without nodes, and the clock of its delays. If the clock can't
    /// [wake a task](Clock::sleep_until), messages arrive at once.
    pub fn with_network(network: Network<Arc<[u8]>>, clock: Clk) -> Self {
        let state = State { network, is_up: true, nodes: Vec::new() };
        Self(Arc::new(Shared { clock, state: Mutex::new(state) }))
    }

    /// Takes the whole network down, or up again, as if it were a broker. Messages on their way are lost;
    /// of those that nodes publish while it is down, the newest of each key waits.
    pub fn set_up(&self, is_up: bool) {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.is_up, is_up) == is_up {
            return;
        }
        state.network.clear();
        let ports: Vec<_> = state.nodes.iter().map(|node| node.port.clone()).collect();
        let wakers: Vec<_> = state.nodes.iter_mut().filter_map(|node| node.waker.take()).collect();
        drop(state);
        for port in ports {
            if is_up { port.up() } else { port.down("the network in memory was taken down") }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Changes the network: its conditions, or its sides.
    pub fn change<T>(&self, change: impl FnOnce(&mut Network<Arc<[u8]>>) -> T) -> T {
        change(&mut self.0.lock().network)
    }
}

impl<Clk: Clock> Bus for MemoryBus<Clk> {
    async fn run(self, port: Port) -> Infallible {
        let guard = Guard::new(self.0, port.clone());
        if guard.shared.lock().is_up {
            port.up();
        } else {
            port.down("the network in memory is down");
        }
        loop {
            let message = guard.next(&port).await;
            guard.shared.carry(guard.address, message);
        }
    }
}

impl<Clk: Clock> Guard<Clk> {
    fn new(shared: Arc<Shared<Clk>>, port: Port) -> Self {
        let mut state = shared.lock();
        let address = state.network.join();
        state.nodes.push(Running { address, port, waker: None });
        drop(state);
        Self { shared, address }
    }

    /// A message to send, or `None` when one has arrived somewhere.
    async fn next(&self, port: &Port) -> Option<Vec<u8>> {
        let mut next = pin!(port.next());
        let mut arrival = self.shared.arrival();
        poll_fn(|cx| {
            if !self.is_up(cx) {
                return Poll::Pending;
            }
            if let Poll::Ready(message) = next.as_mut().poll(cx) {
                return Poll::Ready(Some(message));
            }
            arrival.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx)).map(|()| None)
        })
        .await
    }

    /// Whether the network is up. Otherwise the task is woken when it is.
    fn is_up(&self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        let own = state.nodes.iter_mut().find(|node| node.address == self.address);
        let old = own.and_then(|own| own.waker.replace(cx.waker().clone()));
        let is_up = state.is_up;
        drop(state);
        drop(old);
        is_up
    }
}

impl<Clk> Drop for Guard<Clk> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.network.set_up(self.address, false);
        state.nodes.retain(|node| node.address != self.address);
    }
}

impl<Clk: Clock> Shared<Clk> {
    /// When the next message arrives, for the task that sent it: each sender delivers its own.
    fn arrival(&self) -> Option<Sleep> {
        let due = self.lock().network.next_arrival()?;
        self.clock.sleep_until(Moment::from_nanos(nanos(due)))
    }

    /// Sends a message, and delivers those that have arrived.
    fn carry(&self, from: Address, message: Option<Vec<u8>>) {
        let now = Duration::from_nanos(self.clock.now().as_nanos());
        if let Some(message) = message {
            self.lock().network.send(from, &message.into(), now);
        }
        let can_sleep = self.clock.sleep_until(Moment::default()).is_some();
        let now = if can_sleep { now } else { Duration::MAX };
        while let Some((port, message)) = self.lock().arrived(now) {
            port.deliver(&message);
        }
    }
}

impl<Clk> Shared<Clk> {
    // No panic can leave it half-changed, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next message for a node of the same cluster.
    fn arrived(&mut self, now: Duration) -> Option<(Port, Arc<[u8]>)> {
        loop {
            let (from, to, message) = self.network.receive(now)?;
            let port = |address| self.nodes.iter().find(|n| n.address == address).map(|n| &n.port);
            let (Some(sender), Some(receiver)) = (port(from), port(to)) else { continue };
            if sender.cluster() == receiver.cluster() {
                return Some((receiver.clone(), message));
            }
        }
    }
}

impl<Clk> fmt::Debug for MemoryBus<Clk> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("MemoryBus")
            .field("is_up", &state.is_up)
            .field("nodes", &state.nodes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::cluster::bus::Delivery;

    /// A port that notes what it gets, and the future of its node.
    struct Peer {
        port: Port,
        got: Arc<Mutex<Vec<String>>>,
        run: std::pin::Pin<Box<dyn Future<Output = Infallible> + Send>>,
    }

    impl Peer {
        fn new(bus: impl Bus, cluster: &str) -> Self {
            let got = Arc::new(Mutex::new(Vec::new()));
            let noted = Arc::clone(&got);
            let port = Port::new(cluster, move |delivery| {
                let text = match delivery {
                    Delivery::Message(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Delivery::Up => "up".to_owned(),
                    Delivery::Down(_) => "down".to_owned(),
                    Delivery::Lagged(_) => "lagged".to_owned(),
                };
                noted.lock().unwrap().push(text);
            });
            Self { port: port.clone(), got, run: Box::pin(bus.run(port)) }
        }

        fn poll(&mut self) {
            assert!(self.run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }

        fn publish(&mut self, key: u64, text: &str) {
            self.port.publish(key, text.into());
            self.poll();
        }

        fn got(&self) -> Vec<String> {
            std::mem::take(&mut *self.got.lock().unwrap())
        }
    }

    fn peers<Clk: Clock>(bus: &MemoryBus<Clk>) -> [Peer; 3] {
        let mut peers = ["a", "a", "b"].map(|cluster| Peer::new(bus.clone(), cluster));
        for peer in &mut peers {
            peer.poll();
            assert_eq!(peer.got(), ["up"]);
        }
        peers
    }

    #[test]
    fn the_nodes_of_one_cluster_hear_one_another_until_one_is_dropped() {
        let bus = MemoryBus::new();
        let [mut one, mut other, stranger] = peers(&bus);
        one.publish(1, "x");
        other.publish(1, "y");
        assert_eq!((one.got(), other.got()), (vec!["y".to_owned()], vec!["x".to_owned()]));
        assert_eq!(stranger.got(), [""; 0]);
        drop(one);
        other.publish(1, "z");
        assert_eq!(other.got(), [""; 0]);
    }

    #[test]
    fn a_network_that_was_down_carries_the_newest_of_each_key() {
        let bus = MemoryBus::new();
        let [mut one, other, _] = peers(&bus);
        bus.set_up(false);
        for (key, text) in [(1, "old"), (2, "two"), (1, "new")] {
            one.publish(key, text);
        }
        assert_eq!(other.got(), ["down"]);
        bus.set_up(true);
        one.poll();
        assert_eq!(other.got(), ["up", "new", "two"]);
    }

    #[test]
    fn messages_take_their_time_by_a_clock_that_can_wake() {
        let delay = Duration::from_millis(5)..=Duration::from_millis(5);
        let network = Network::new(1, Conditions { delay, ..Conditions::default() });
        let clock = ManualClock::new();
        let bus = MemoryBus::with_network(network, clock.clone());
        let [mut one, other, _] = peers(&bus);
        one.publish(1, "x");
        assert_eq!(other.got(), [""; 0]);
        clock.advance(Duration::from_millis(5));
        one.poll();
        assert_eq!(other.got(), ["x"]);
    }
}
