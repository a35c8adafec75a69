//! A service that holds its callers to tower's contract, and does what the fuzzer says.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::panic_any;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tower::Service;

/// What a panic of a mock carries, so that the fuzzer can tell it from a finding.
pub(crate) struct Planned;

/// What a mock answers to `poll_ready`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Readiness {
    #[default]
    Ready,
    Busy,
    Broken,
    Panics,
}

/// How a call of a mock ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Success,
    Failure,
    Panics,
}

/// All that clones of one mock share.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) readiness: Cell<Readiness>,
    /// Whether the next `call` panics, before there is a future.
    pub(crate) panics_in_call: Cell<bool>,
    pub(crate) polls: Cell<u64>,
    pub(crate) errors: Cell<u64>,
    pub(crate) calls: Cell<u64>,
    pub(crate) ended: Cell<u64>,
    /// How the last one ended.
    pub(crate) last_end: Cell<Option<End>>,
    /// Services and futures that are alive.
    pub(crate) alive: Cell<i64>,
    waiting: RefCell<Vec<Waker>>,
    /// The calls under way: how each is to end, and who waits for it.
    under_way: RefCell<Vec<Rc<Exchange>>>,
}

#[derive(Default)]
struct Exchange {
    end: Cell<Option<End>>,
    waker: RefCell<Option<Waker>>,
}

impl Stage {
    pub(crate) fn set(&self, readiness: Readiness) {
        self.readiness.set(readiness);
        self.wake();
    }

    /// Ends one of the calls under way.
    pub(crate) fn end(&self, index: u8, end: End) {
        let under_way = self.under_way.borrow();
        if let Some(exchange) = under_way.get(usize::from(index) % under_way.len().max(1)) {
            exchange.end.set(Some(end));
            let waker = exchange.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn wake(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Forgets whom it would wake, as a service does that has gone.
    pub(crate) fn forget_wakers(&self) {
        drop(self.waiting.take());
    }
}

pub(crate) struct Mock {
    pub(crate) stage: Rc<Stage>,
    ready: bool,
}

impl Mock {
    pub(crate) fn new(stage: &Rc<Stage>) -> Self {
        stage.alive.set(stage.alive.get() + 1);
        Self { stage: Rc::clone(stage), ready: false }
    }
}

impl Clone for Mock {
    fn clone(&self) -> Self {
        Self::new(&self.stage)
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stage.alive.set(self.stage.alive.get() - 1);
    }
}

impl Service<u8> for Mock {
    type Response = u8;
    type Error = &'static str;
    type Future = Reply;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.stage.polls.set(self.stage.polls.get() + 1);
        match self.stage.readiness.get() {
            Readiness::Ready => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Readiness::Busy => {
                let mut waiting = self.stage.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
            Readiness::Broken => {
                self.stage.errors.set(self.stage.errors.get() + 1);
                Poll::Ready(Err("broken"))
            }
            Readiness::Panics => panic_any(Planned),
        }
    }

    fn call(&mut self, request: u8) -> Reply {
        assert!(std::mem::take(&mut self.ready), "called without having been made ready");
        self.stage.calls.set(self.stage.calls.get() + 1);
        if self.stage.panics_in_call.take() {
            panic_any(Planned);
        }
        let exchange = Rc::new(Exchange::default());
        self.stage.under_way.borrow_mut().push(Rc::clone(&exchange));
        self.stage.alive.set(self.stage.alive.get() + 1);
        Reply { exchange, request, stage: Rc::clone(&self.stage), over: false }
    }
}

pub(crate) struct Reply {
    exchange: Rc<Exchange>,
    request: u8,
    stage: Rc<Stage>,
    over: bool,
}

impl Future for Reply {
    type Output = Result<u8, &'static str>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.over, "polled after its end");
        let Some(end) = self.exchange.end.get() else {
            *self.exchange.waker.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        };
        self.over = true;
        self.stage.ended.set(self.stage.ended.get() + 1);
        self.stage.last_end.set(Some(end));
        match end {
            End::Success => Poll::Ready(Ok(self.request)),
            End::Failure => Poll::Ready(Err("failed")),
            End::Panics => panic_any(Planned),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.stage.alive.set(self.stage.alive.get() - 1);
        self.stage.under_way.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.exchange));
    }
}
