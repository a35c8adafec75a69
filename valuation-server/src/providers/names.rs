//! The addresses of a provider's host name.
//!
//! The system's resolver may block a thread for any time. So each provider has at most one look-up in
//! flight, however many calls wait, and a hanging look-up does not affect the other provider. Known
//! addresses are used while a later look-up hangs or fails.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long addresses are used without another look-up.
const FRESH: Duration = Duration::from_secs(10);
/// How long a look-up may take before the last good addresses are used instead.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the last good addresses are used while look-ups fail.
const LAST_GOOD: Duration = Duration::from_secs(60 * 60);

/// Looks a name up; it may block.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The name did not resolve. All calls that wait for the look-up get its error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Unresolved(Arc<io::Error>);

/// The resolver of one client, for one name: the provider's, or its proxy's.
#[derive(Clone)]
pub(crate) struct Names {
    look_up: Arc<LookUp>,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last good addresses, and when they were found.
    good: Option<(Vec<SocketAddr>, Instant)>,
    /// When the look-up in flight began.
    running: Option<Instant>,
    /// When the last look-up ended, and its error.
    ended: Option<(Instant, Option<Unresolved>)>,
}

impl Names {
    /// The operating system's resolver.
    pub(crate) fn of_system() -> Self {
        Self::new(|name| Ok((name, 0).to_socket_addrs()?.collect()))
    }

    pub(super) fn new(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { look_up: Arc::new(look_up), state: watch::Sender::default() }
    }

    /// # Cancel safety
    /// A look-up goes on without the call that started it.
    async fn addresses(self, name: String) -> Result<Vec<SocketAddr>, Unresolved> {
        let mut state = self.state.subscribe();
        if let Some(began) = self.look_up_unless_fresh(name) {
            let ended = state.wait_for(|state| state.running != Some(began));
            if self.state.borrow().good().is_some() {
                drop(timeout_at(began + PATIENCE, ended).await);
            } else {
                drop(ended.await);
            }
        }
        let state = self.state.borrow();
        match (state.good(), &state.ended) {
            (Some(addresses), _) => Ok(addresses.clone()),
            (None, Some((_, Some(error)))) => Err(error.clone()),
            (None, _) => Err(Unresolved(Arc::new(io::Error::other("the look-up was aborted")))),
        }
    }

    /// Starts a look-up if one is due and none is running, and gives the start of the running one.
    fn look_up_unless_fresh(&self, name: String) -> Option<Instant> {
        let now = Instant::now();
        let mut running = None;
        let starts = self.state.send_if_modified(|state| {
            let due = !state.is_fresh(now);
            let starts = due && state.running.is_none();
            if starts {
                state.running = Some(now);
            }
            running = state.running.filter(|_| due);
            starts
        });
        if starts {
            let (look_up, state) = (Arc::clone(&self.look_up), self.state.clone());
            tokio::task::spawn_blocking(move || {
                // A guard ends the look-up even if it panics.
                let mut ending = Ending { state, result: None };
                ending.result = Some(look_up(&name));
            });
        }
        running
    }
}

impl State {
    fn is_fresh(&self, now: Instant) -> bool {
        // Also after a failed look-up: the last good addresses are used until the next one is due.
        let checked = self.ended.as_ref().is_some_and(|(at, _)| now.duration_since(*at) < FRESH);
        checked && self.good().is_some()
    }

    fn good(&self) -> Option<&Vec<SocketAddr>> {
        let (addresses, found) = self.good.as_ref()?;
        (found.elapsed() < LAST_GOOD).then_some(addresses)
    }
}

/// Ends the look-up in flight when dropped.
struct Ending {
    state: watch::Sender<State>,
    result: Option<io::Result<Vec<SocketAddr>>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let none = || io::Error::other("the look-up gave no address");
        let found = self.result.take().unwrap_or_else(|| Err(none()));
        let found = found.and_then(|found| if found.is_empty() { Err(none()) } else { Ok(found) });
        self.state.send_modify(|state| {
            let now = Instant::now();
            state.running = None;
            state.ended = Some((now, None));
            match found {
                Ok(addresses) => state.good = Some((addresses, now)),
                Err(error) => state.ended = Some((now, Some(Unresolved(Arc::new(error))))),
            }
        });
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.clone().addresses(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(addresses.await?.into_iter()) as Addrs) })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, mpsc};
    use tokio::time::advance;

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 0).into()
    }

    /// A resolver whose look-ups wait for the test to say what they find, and how many began.
    fn scripted() -> (Names, mpsc::Sender<io::Result<Vec<SocketAddr>>>, Arc<AtomicUsize>) {
        let (found, finds) = mpsc::channel();
        let (finds, began) = (Mutex::new(finds), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&began);
        let names = Names::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            finds.lock().unwrap().recv().unwrap()
        });
        (names, found, began)
    }

    async fn ask(names: &Names) -> Result<Vec<SocketAddr>, String> {
        names.clone().addresses("h".to_owned()).await.map_err(|error| error.to_string())
    }

    async fn until_no_look_up_runs(names: &Names) {
        names.state.subscribe().wait_for(|state| state.running.is_none()).await.unwrap();
    }

    /// With a thread a call, seven hundred would fill any pool, and the other provider's look-ups
    /// would wait behind them.
    #[test]
    fn a_hanging_look_up_takes_one_thread_whatever_the_number_of_calls() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(2).build().unwrap();
        runtime.block_on(async {
            let (hanging, found, began) = scripted();
            let calls: Vec<_> = (0..700)
                .map(|_| tokio::spawn(hanging.clone().addresses("supercar".to_owned())))
                .collect();
            let other = Names::new(|_| Ok(vec![address(9)]));
            assert_eq!(ask(&other).await, Ok(vec![address(9)]));
            found.send(Ok(vec![address(1)])).unwrap();
            for call in calls {
                assert_eq!(call.await.unwrap().unwrap(), [address(1)]);
            }
            assert_eq!(began.load(Ordering::SeqCst), 1);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_addresses_are_used_while_a_look_up_hangs() {
        let (names, found, began) = scripted();
        found.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(ask(&names).await, Ok(vec![address(1)]));
        advance(FRESH - Duration::from_millis(1)).await;
        assert_eq!(ask(&names).await, Ok(vec![address(1)]));
        assert_eq!(began.load(Ordering::SeqCst), 1);

        advance(Duration::from_millis(1)).await;
        let waiting = tokio::spawn(names.clone().addresses("h".to_owned()));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        advance(PATIENCE).await;
        assert_eq!(waiting.await.unwrap().unwrap(), [address(1)]);
        // The look-up hangs on, and nobody waits for it any more.
        advance(Duration::from_secs(60)).await;
        assert_eq!(ask(&names).await, Ok(vec![address(1)]));

        found.send(Ok(vec![address(2)])).unwrap();
        until_no_look_up_runs(&names).await;
        assert_eq!(ask(&names).await, Ok(vec![address(2)]));
        assert_eq!(began.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_address_is_followed_by_the_first_call_after_the_old_one_is_stale() {
        let (names, found, _) = scripted();
        found.send(Ok(vec![address(1)])).unwrap();
        found.send(Ok(vec![address(2)])).unwrap();
        assert_eq!(ask(&names).await, Ok(vec![address(1)]));
        advance(FRESH).await;
        assert_eq!(ask(&names).await, Ok(vec![address(2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_addresses_are_used_for_an_hour_while_look_ups_fail() {
        let (names, found, began) = scripted();
        found.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(ask(&names).await, Ok(vec![address(1)]));
        for look_ups in 2..=360 {
            advance(FRESH).await;
            let failure = if look_ups % 2 == 0 { Err(io::Error::other("x")) } else { Ok(vec![]) };
            found.send(failure).unwrap();
            assert_eq!(ask(&names).await, Ok(vec![address(1)]));
            // Until the next one is due none is made.
            assert_eq!(ask(&names).await, Ok(vec![address(1)]));
            assert_eq!(began.load(Ordering::SeqCst), look_ups);
        }
        advance(FRESH).await;
        found.send(Err(io::Error::other("no such name"))).unwrap();
        assert_eq!(ask(&names).await, Err("no such name".to_owned()));
    }

    #[tokio::test]
    async fn without_an_address_each_call_has_the_error_and_the_next_one_looks_again() {
        let (names, found, _) = scripted();
        found.send(Err(io::Error::other("no such name"))).unwrap();
        assert_eq!(ask(&names).await, Err("no such name".to_owned()));
        found.send(Ok(vec![])).unwrap();
        assert_eq!(ask(&names).await, Err("the look-up gave no address".to_owned()));
        found.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(ask(&names).await, Ok(vec![address(1)]));
    }

    #[tokio::test]
    async fn a_look_up_outlives_the_call_that_began_it() {
        let (names, found, began) = scripted();
        let call = tokio::spawn(names.clone().addresses("h".to_owned()));
        tokio::task::yield_now().await;
        call.abort();
        assert!(call.await.is_err());
        found.send(Ok(vec![address(1)])).unwrap();
        assert_eq!(ask(&names).await, Ok(vec![address(1)]));
        assert_eq!(began.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_look_up_that_panics_is_a_failed_one() {
        let names = Names::new(|_| panic!("on purpose"));
        assert_eq!(ask(&names).await, Err("the look-up gave no address".to_owned()));
        until_no_look_up_runs(&names).await;
    }
}
