//! Clients of a failover over two mocks, and what must hold of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use failover::clock::ManualClock;
use failover::monitor::Tally;
use failover::{Error, Monitor, Policy, Route, State};
use tower::Service;

use crate::mock::{End, Stage};

/// How often a task was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A clone of the service, and the task that it belongs to.
pub(crate) struct Client<S> {
    pub(crate) service: S,
    pub(crate) wakes: Arc<Wakes>,
    /// The choice that it was made ready for.
    pub(crate) ready: Option<Chosen>,
    /// It waits since this many wakes.
    pub(crate) asleep: Option<u64>,
    /// The epoch in which the primary failed to become ready for its next call, which counted.
    pub(crate) diverted: Option<u32>,
}

#[derive(Clone, Copy)]
pub(crate) struct Chosen {
    route: Route,
    epoch: u32,
    /// If its epoch is over it is admitted anew.
    probe: bool,
}

/// A call under way.
pub(crate) struct Running<F> {
    pub(crate) future: Pin<Box<F>>,
    /// Of a call to the primary: the epoch that its outcome counts in.
    pub(crate) counts_in: Option<u32>,
    pub(crate) wakes: Arc<Wakes>,
}

pub(crate) struct Rig<S: Service<u8>> {
    pub(crate) monitor: Monitor<ManualClock>,
    pub(crate) clock: ManualClock,
    pub(crate) primary: Rc<Stage>,
    pub(crate) fallback: Rc<Stage>,
    pub(crate) clients: Vec<Client<S>>,
    pub(crate) running: Vec<Running<S::Future>>,
    /// What the window must hold, and of which epoch.
    pub(crate) counted: (u32, Tally),
    /// The running epoch, and the state that it began with.
    pub(crate) began: (u32, State),
}

pub(crate) type Failed = Error<&'static str, &'static str>;

impl<S: Service<u8, Response = u8, Error = Failed> + Clone> Rig<S> {
    pub(crate) fn stage(&self, primary: bool) -> &Stage {
        if primary { &self.primary } else { &self.fallback }
    }

    fn epoch(&self) -> u32 {
        self.monitor.handle().snapshot().epoch
    }

    pub(crate) fn pick<T>(list: &[T], index: u8) -> Option<usize> {
        (!list.is_empty()).then(|| usize::from(index) % list.len())
    }

    pub(crate) fn poll(&mut self, index: u8) {
        let Some(index) = Self::pick(&self.clients, index) else { return };
        let before = self.monitor.handle().snapshot();
        let seen = |rig: &Self| {
            let polls = (rig.primary.polls.get(), rig.fallback.polls.get());
            (polls, rig.primary.errors.get())
        };
        let (polls, errors) = seen(self);
        let client = &mut self.clients[index];
        let wakes = client.wakes.count();
        let waker = Waker::from(Arc::clone(&client.wakes));
        let mut context = Context::from_waker(&waker);
        let was_ready = client.ready.is_some();
        let result = catch_unwind(AssertUnwindSafe(|| client.service.poll_ready(&mut context)));
        let woken = client.wakes.count() - wakes;
        let asleep = client.asleep.take();
        let after = self.monitor.handle().snapshot();
        let ((primary, fallback), failed) = seen(self);
        let (asked_primary, asked_fallback) = (primary - polls.0, fallback - polls.1);
        let errors = failed - errors;
        let client = &mut self.clients[index];
        if was_ready {
            assert!(matches!(result, Ok(Poll::Ready(Ok(())))), "it was ready, and is no more");
            assert_eq!((asked_primary, asked_fallback), (0, 0), "it was ready already");
            return;
        }
        let stands = after.epoch == before.epoch;
        if stands && errors == 0 && before.state == State::Primary && client.diverted.is_none() {
            assert_eq!(asked_fallback, 0, "the fallback was made ready beside the primary");
        }
        if stands && before.state == State::Fallback {
            assert_eq!(asked_primary, 0, "the primary was made ready beside the fallback");
        }
        let unwound = result.is_err();
        // A call for which the primary could not be made ready asks both until one is ready, or the
        // fallback fails. The primary's failure counts once.
        let diverted_before = client.diverted;
        let diverted = asked_fallback > 0 && (client.diverted.is_some() || asked_primary > 0);
        let waits = diverted && !matches!(result, Ok(Poll::Ready(_)));
        client.diverted = waits.then_some(after.epoch);
        let errors = if diverted_before == Some(after.epoch) { 0 } else { errors };
        match result {
            Ok(Poll::Ready(Ok(()))) => {
                // The last one that was asked is the one that is ready.
                let route = if asked_fallback > 0 { Route::Fallback } else { Route::Primary };
                let probe = route == Route::Primary && after.state == State::Probing;
                client.ready = Some(Chosen { route, epoch: after.epoch, probe });
            }
            Ok(Poll::Pending) => {
                client.asleep = Some(client.wakes.count());
                assert!(!(woken > 0 && stands), "it wakes itself although nothing has changed");
            }
            Ok(Poll::Ready(Err(Error::Fallback(_)))) | Err(_) => {}
            Ok(Poll::Ready(Err(error))) => panic!("not the fallback's: {error:#}"),
        }
        // A task that nobody woke had no reason to go on: neither a transition nor a service. A service
        // that failed to become ready wakes nobody when it is well again.
        let again = diverted_before.is_some();
        if asleep.is_some_and(|wakes_then| wakes_then == wakes) && stands && !again && !unwound {
            assert!(client.ready.is_none(), "it could go on, and nobody woke it");
        }
        // A primary that failed, or panicked, in `poll_ready` counts as one failure.
        let panicked = unwound && asked_fallback == 0;
        if stands {
            self.count(after.epoch, Some(after.epoch), errors + u64::from(panicked), 0);
        } else {
            self.counted = (after.epoch, after.tally);
        }
    }

    /// What happened in the epoch `of` is counted, if that epoch is the running one still.
    fn count(&mut self, now: u32, of: Option<u32>, failures: u64, successes: u64) {
        let snapshot = self.monitor.handle().snapshot();
        if snapshot.epoch != now || of != Some(now) {
            return;
        }
        if matches!(snapshot.state, State::Primary | State::Ramping | State::ForcedPrimary) {
            if self.counted.0 != now {
                self.counted = (now, Tally::default());
            }
            self.counted.1.failures += failures;
            self.counted.1.successes += successes;
        }
    }

    pub(crate) fn call(&mut self, index: u8, panics: bool) {
        let Some(index) = Self::pick(&self.clients, index) else { return };
        // To call without readiness is a mistake of the caller's, which has a test of its own.
        let Some(chosen) = self.clients[index].ready.take() else { return };
        let Chosen { mut route, mut epoch, probe } = chosen;
        let anew = probe && epoch != self.epoch();
        for stage in [&self.primary, &self.fallback] {
            stage.panics_in_call.set(panics);
        }
        let calls = (self.primary.calls.get(), self.fallback.calls.get());
        let client = &mut self.clients[index];
        let called = catch_unwind(AssertUnwindSafe(|| client.service.call(7)));
        let calls = (self.primary.calls.get() - calls.0, self.fallback.calls.get() - calls.1);
        for stage in [&self.primary, &self.fallback] {
            stage.panics_in_call.set(false);
        }
        if anew && calls == (0, 0) {
            // The fallback is polled for a probe that lost its permit, and may panic.
            assert!(called.is_err(), "neither service is called");
            return;
        }
        if anew {
            route = if calls == (1, 0) { Route::Primary } else { Route::Fallback };
            epoch = self.epoch();
        }
        let expected = if route == Route::Primary { (1, 0) } else { (0, 1) };
        assert_eq!(calls, expected, "the service that was made ready is the one that is called");
        let counts_in = (route == Route::Primary).then_some(epoch);
        match called {
            Ok(future) => {
                let (future, wakes) = (Box::pin(future), Arc::default());
                self.running.push(Running { future, counts_in, wakes });
            }
            Err(_) => {
                assert!(panics);
                self.count(epoch, counts_in, 1, 0);
            }
        }
    }

    pub(crate) fn poll_future(&mut self, index: u8) {
        let Some(index) = Self::pick(&self.running, index) else { return };
        let ended = self.primary.ended.get();
        let epoch = self.epoch();
        let running = &mut self.running[index];
        let waker = Waker::from(Arc::clone(&running.wakes));
        let wakes = running.wakes.count();
        let mut context = Context::from_waker(&waker);
        let result = catch_unwind(AssertUnwindSafe(|| running.future.as_mut().poll(&mut context)));
        assert_eq!(running.wakes.count(), wakes, "the future of a call woke itself");
        let primary_ended = self.primary.ended.get() > ended;
        let counts_in = running.counts_in;
        if primary_ended {
            // Of a call to the primary the first attempt is counted, and of others none.
            running.counts_in = None;
        }
        let succeeded = self.primary.last_end.get() == Some(End::Success);
        if primary_ended {
            self.count(epoch, counts_in, u64::from(!succeeded), u64::from(succeeded));
        }
        if !matches!(result, Ok(Poll::Pending)) {
            drop(self.running.swap_remove(index));
        }
    }

    /// The window holds what was counted, and nothing else.
    pub(crate) fn check_counts(&mut self) {
        let snapshot = self.monitor.handle().snapshot();
        if self.began.0 != snapshot.epoch {
            self.began = (snapshot.epoch, snapshot.state);
        }
        // Once the time of a state is over, the window is shown as the empty one that comes next.
        let is_over = self.began.1 != snapshot.state;
        let counts = matches!(snapshot.route, Route::Primary) && !is_over;
        let mut expected = match self.counted {
            (epoch, tally) if epoch == snapshot.epoch && counts => tally,
            _ => Tally::default(),
        };
        // Shown, and no evidence: the model of the tests follows them.
        expected.dropped = snapshot.tally.dropped;
        assert_eq!(snapshot.tally, expected, "the window, in state {:?}", snapshot.state);
    }

    /// All services and futures go; the monitor stays.
    pub(crate) fn end(mut self, policy: &Policy) {
        let wakes: Vec<_> = self
            .clients
            .iter()
            .map(|client| &client.wakes)
            .chain(self.running.iter().map(|running| &running.wakes))
            .map(Arc::clone)
            .collect();
        self.clients.clear();
        self.running.clear();
        self.primary.forget_wakers();
        self.fallback.forget_wakers();
        assert_eq!((self.primary.alive.get(), self.fallback.alive.get()), (0, 0), "a leak");
        assert!(wakes.iter().all(|wakes| Arc::strong_count(wakes) == 1), "a waker is kept");
        // Every place of a probe came back: all can be taken.
        let handle = self.monitor.handle();
        handle.reset();
        let Some(probing) = policy.probing() else { return };
        while let Some(ticket) = self.monitor.admit().ticket() {
            self.monitor.record(ticket, failover::Outcome::Failure);
        }
        self.clock.advance(policy.revert_after());
        let probes: Vec<_> = std::iter::from_fn(|| self.monitor.admit().ticket()).collect();
        assert_eq!(probes.len(), probing.max_in_flight as usize, "a place of a probe is lost");
    }
}

impl<S> Client<S> {
    pub(crate) fn new(service: S) -> Self {
        Self { service, wakes: Arc::default(), ready: None, asleep: None, diverted: None }
    }
}
