//! A subject: a service, and the calls made to it.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::hint::{black_box, spin_loop};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;

use tower::Service;

use crate::services::Answer;

/// Makes this many calls.
pub type Caller = Box<dyn FnMut(u64) + Send>;
/// Makes calls as a task.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task yields after this many calls.
const YIELD_AFTER: u64 = 64;

/// A service that several threads can call at once.
pub trait Subject {
    /// A caller that shares the subject with all other callers.
    fn caller(&self) -> Caller;

    /// A task that makes this many calls.
    fn task(&self, calls: u64) -> Task;

    /// Whether calls take the route of the row.
    fn is_sound(&self) -> bool;
}

/// The calls that the primary fails.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    every: u64,
    left: u64,
}

impl Mix {
    /// None fails.
    pub const SUCCESSES: Self = Self::one_in(0);
    /// All fail.
    pub const FAILURES: Self = Self::one_in(1);

    /// The last of this many calls fails.
    pub const fn one_in(every: u64) -> Self {
        Self { every, left: every }
    }

    pub(crate) const fn is_all(self) -> bool {
        self.every == 1
    }

    #[inline]
    fn next_fails(&mut self) -> bool {
        if self.every == 0 {
            return false;
        }
        self.left -= 1;
        if self.left == 0 {
            self.left = self.every;
        }
        self.left == self.every
    }
}

/// The request of a row's calls.
pub(crate) trait Request: Send + 'static {
    fn new(fails: bool) -> Self;
}

impl Request for bool {
    #[inline]
    fn new(fails: bool) -> Self {
        fails
    }
}

/// A response that identifies its service.
pub(crate) trait Response: Send + 'static {
    fn answer(&self) -> Answer;

    /// Reads it to its end, as a caller does.
    fn consume(self);
}

impl Response for Answer {
    fn answer(&self) -> Answer {
        *self
    }

    #[inline]
    fn consume(self) {
        black_box(self);
    }
}

/// A service, the mix of its calls and their expected results.
pub(crate) struct Called<S, R> {
    pub(crate) service: S,
    pub(crate) mix: Mix,
    /// The expected results of the last call of a mix; `None` is an error.
    pub(crate) ends: &'static [Option<Answer>],
    pub(crate) request: std::marker::PhantomData<fn(R)>,
}

#[inline]
fn call<S: Service<R>, R>(service: &mut S, request: R) -> Result<S::Response, S::Error> {
    let mut context = Context::from_waker(Waker::noop());
    let mut turns = 0;
    loop {
        match service.poll_ready(&mut context) {
            Poll::Ready(Ok(())) => break,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => wait(&mut turns),
        }
    }
    let mut future = pin!(service.call(request));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => wait(&mut turns),
        }
    }
}

/// Spins while it waits for a lock, and yields the processor if that takes long.
#[cold]
fn wait(turns: &mut u32) {
    *turns += 1;
    if *turns < 100 { spin_loop() } else { thread::yield_now() }
}

#[inline]
fn finish<T: Response, E>(result: Result<T, E>) {
    match result {
        Ok(response) => response.consume(),
        Err(error) => drop(black_box(error)),
    }
}

impl<S, R> Subject for Called<S, R>
where
    R: Request,
    S: Service<R> + Clone + Send + 'static,
    S::Response: Response,
    S::Error: Debug + Send,
    S::Future: Send,
{
    fn caller(&self) -> Caller {
        let (mut service, mut mix) = (self.service.clone(), self.mix);
        Box::new(move |calls| {
            for _ in 0..calls {
                finish(call(&mut service, R::new(black_box(mix.next_fails()))));
            }
        })
    }

    fn task(&self, calls: u64) -> Task {
        let (mut service, mut mix) = (self.service.clone(), self.mix);
        Box::pin(async move {
            for turn in 1..=calls {
                let request = R::new(black_box(mix.next_fails()));
                let ready = poll_fn(|context| service.poll_ready(context)).await;
                finish(match ready {
                    Ok(()) => service.call(request).await,
                    Err(error) => Err(error),
                });
                if turn % YIELD_AFTER == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    }

    fn is_sound(&self) -> bool {
        let fails = self.mix.is_all();
        let result = call(&mut self.service.clone(), R::new(fails));
        self.ends.contains(&result.ok().map(|response| response.answer()))
    }
}
