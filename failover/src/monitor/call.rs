//! Calls without tower: two closures with a monitor between them, or a guard around your own code.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::thread;

use crate::classify::{Classify, ErrorsAsFailures};
use crate::clock::{Clock, CoarseClock};
use crate::engine::ticket::Admitted;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::outcome::Outcome;

/// # Calls
/// Each method calls one of two closures by the route, and counts the primary's outcome as
/// [`Failover`](crate::service::Failover) does: an error is a failure (see [`classify`](Self::classify)), a
/// panic is one failure and goes on unwinding, and a dropped future is a dropped call. The methods differ
/// from call to call: one monitor serves functions of any types, which share its window.
///
/// The futures are `Send` if the closures and their futures are, and may borrow. The route is chosen at
/// the first poll.
impl<Clk: Clock> Monitor<Clk> {
    /// Calls the primary, or the fallback if that is the route.
    ///
    /// ```
    /// use std::io;
    /// use failover::{Error, Monitor, Policy};
    ///
    /// # struct Db;
    /// # impl Db {
    /// #     async fn price(&self, id: u32) -> io::Result<u32> { Ok(id) }
    /// #     async fn names(&self) -> Result<Vec<String>, std::fmt::Error> { Ok(Vec::new()) }
    /// # }
    /// struct Prices { primary: Db, replica: Db, monitor: Monitor }
    ///
    /// impl Prices {
    ///     async fn price(&self, id: u32) -> Result<u32, Error<io::Error, io::Error>> {
    ///         self.monitor.call(|| self.primary.price(id), || self.replica.price(id)).await
    ///     }
    ///
    ///     async fn names(&self) -> Result<Vec<String>, Error<std::fmt::Error, std::fmt::Error>> {
    ///         self.monitor.call(|| self.primary.names(), || self.replica.names()).await
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let prices = Prices { primary: Db, replica: Db, monitor: Monitor::new(Policy::default()) };
    /// # assert_eq!(prices.price(7).await.unwrap(), 7);
    /// # assert!(prices.names().await.unwrap().is_empty());
    /// # assert_eq!(prices.monitor.handle().snapshot().tally.successes, 2);
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error of the service that was called.
    ///
    /// # Cancel safety
    /// Dropping the future drops the service's future; see
    /// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after).
    pub fn call<T, PE, FE, PF, FF>(
        &self,
        primary: impl FnOnce() -> PF,
        fallback: impl FnOnce() -> FF,
    ) -> impl Future<Output = Result<T, Error<PE, FE>>>
    where
        PF: Future<Output = Result<T, PE>>,
        FF: Future<Output = Result<T, FE>>,
    {
        self.classify(ErrorsAsFailures).call(primary, fallback)
    }

    /// The same, and a call that the primary failed is answered by the fallback at once. It counts as
    /// a failure.
    ///
    /// The future holds the primary's result meanwhile, so for `Send` that must be `Send` as well.
    ///
    /// ```
    /// use failover::{Monitor, Policy};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let monitor = Monitor::new(Policy::default());
    /// let answer = monitor.call_or_rescue(
    ///     || async { Err("down") },
    ///     || async { Ok::<_, std::io::Error>("from the fallback") },
    /// );
    /// assert_eq!(answer.await.unwrap(), "from the fallback");
    /// assert_eq!(monitor.handle().snapshot().tally.failures, 1);
    /// # }
    /// ```
    ///
    /// # Errors
    /// The fallback's, or both.
    ///
    /// # Cancel safety
    /// See [`call`](Self::call). A primary call that has ended is recorded already.
    pub fn call_or_rescue<T, PE, FE, PF, FF>(
        &self,
        primary: impl FnOnce() -> PF,
        fallback: impl FnOnce() -> FF,
    ) -> impl Future<Output = Result<T, Error<PE, FE>>>
    where
        PF: Future<Output = Result<T, PE>>,
        FF: Future<Output = Result<T, FE>>,
    {
        self.classify(ErrorsAsFailures).call_or_rescue(primary, fallback)
    }

    /// [`call`](Self::call) without futures, for blocking clients such as r2d2 and diesel.
    ///
    /// ```
    /// use failover::{Monitor, Policy};
    ///
    /// let monitor = Monitor::new(Policy::default());
    /// let answer = monitor.call_blocking(|| "7".parse::<u32>(), || Ok::<_, std::io::Error>(0));
    /// assert_eq!(answer.unwrap(), 7);
    /// ```
    ///
    /// # Errors
    /// The error of the service that was called.
    pub fn call_blocking<T, PE, FE>(
        &self,
        primary: impl FnOnce() -> Result<T, PE>,
        fallback: impl FnOnce() -> Result<T, FE>,
    ) -> Result<T, Error<PE, FE>> {
        self.classify(ErrorsAsFailures).call_blocking(primary, fallback)
    }

    /// The same calls with another classifier, which decides whether the primary failed. If it panics,
    /// the call counts as dropped.
    ///
    /// ```
    /// use failover::{Monitor, Outcome, Policy};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let monitor = Monitor::new(Policy::default());
    /// let by_status = |result: &Result<u16, std::io::Error>| match result {
    ///     Ok(..500) => Outcome::Success,
    ///     _ => Outcome::Failure,
    /// };
    /// let calls = monitor.classify(by_status);
    /// let status = calls.call(|| async { Ok(503) }, || async { Ok::<_, std::io::Error>(200) }).await;
    /// assert_eq!(status.unwrap(), 503);
    /// assert_eq!(monitor.handle().snapshot().tally.failures, 1);
    /// # }
    /// ```
    pub fn classify<C>(&self, classify: C) -> Calls<'_, C, Clk> {
        Calls { monitor: self, classify }
    }

    /// Admits a call that your own code makes; `None` if it is the fallback's turn. For code that no
    /// closure can hold.
    ///
    /// ```
    /// use failover::{Monitor, Outcome, Policy};
    ///
    /// let monitor = Monitor::new(Policy::default());
    /// match monitor.guard() {
    ///     Some(call) => {
    ///         // … call the primary …
    ///         call.end(Outcome::Success);
    ///     }
    ///     None => { /* … call the fallback … */ }
    /// }
    /// assert_eq!(monitor.handle().snapshot().tally.successes, 1);
    /// ```
    #[must_use]
    pub fn guard(&self) -> Option<CallGuard<Clk>> {
        let ticket = self.admit().ticket()?;
        let call = UnrecordedCall::new(Some(ticket), self.engine_ref().clone());
        Some(CallGuard { call, unwinding: thread::panicking() })
    }
}

/// The calls of a [`Monitor`] with a classifier. Made by [`Monitor::classify`].
#[derive(Clone, Copy, Debug)]
#[must_use = "it makes no call by itself"]
pub struct Calls<'a, C, Clk = CoarseClock> {
    monitor: &'a Monitor<Clk>,
    classify: C,
}

impl<C, Clk: Clock> Calls<'_, C, Clk> {
    /// See [`Monitor::call`].
    ///
    /// # Errors
    /// The error of the service that was called.
    ///
    /// # Panics
    /// If a closure, its future or the classifier does. A panic of the classifier is a dropped call.
    pub async fn call<T, PE, FE, PF, FF>(
        self,
        primary: impl FnOnce() -> PF,
        fallback: impl FnOnce() -> FF,
    ) -> Result<T, Error<PE, FE>>
    where
        PF: Future<Output = Result<T, PE>>,
        FF: Future<Output = Result<T, FE>>,
        C: Classify<T, PE>,
    {
        let engine = self.monitor.engine_ref();
        match engine.admit() {
            Ok(admitted) => {
                let (result, _) = self.attempt(admitted, primary).await;
                result.map_err(Error::Primary)
            }
            Err(_) => fallback().await.map_err(Error::Fallback),
        }
    }

    /// See [`Monitor::call_or_rescue`]. If the primary's response was classified as a failure and the
    /// fallback returns an error, the result is that response.
    ///
    /// # Errors
    /// The fallback's, or both.
    pub async fn call_or_rescue<T, PE, FE, PF, FF>(
        self,
        primary: impl FnOnce() -> PF,
        fallback: impl FnOnce() -> FF,
    ) -> Result<T, Error<PE, FE>>
    where
        PF: Future<Output = Result<T, PE>>,
        FF: Future<Output = Result<T, FE>>,
        C: Classify<T, PE>,
    {
        let engine = self.monitor.engine_ref();
        let Ok(admitted) = engine.admit() else {
            return fallback().await.map_err(Error::Fallback);
        };
        let (first, outcome) = self.attempt(admitted, primary).await;
        if !outcome.is_failure() {
            return first.map_err(Error::Primary);
        }
        match (fallback().await, first) {
            (Ok(response), _) | (Err(_), Ok(response)) => Ok(response),
            (Err(fallback), Err(primary)) => Err(Error::Both { primary, fallback }),
        }
    }

    /// See [`Monitor::call_blocking`].
    ///
    /// # Errors
    /// The error of the service that was called.
    ///
    /// # Panics
    /// If a closure or the classifier does. A panic of the classifier is a dropped call.
    pub fn call_blocking<T, PE, FE>(
        self,
        primary: impl FnOnce() -> Result<T, PE>,
        fallback: impl FnOnce() -> Result<T, FE>,
    ) -> Result<T, Error<PE, FE>>
    where
        C: Classify<T, PE>,
    {
        let engine = self.monitor.engine_ref();
        match engine.admit() {
            Ok(admitted) => {
                let (result, ticket) = engine.call(engine.begin(admitted), primary);
                let mut call = UnrecordedCall::new(Some(ticket), engine.clone());
                call.record(self.classify.classify(&result));
                result.map_err(Error::Primary)
            }
            Err(_) => fallback().map_err(Error::Fallback),
        }
    }

    /// A call to the primary, to its end.
    async fn attempt<T, E, PF>(
        &self,
        admitted: Admitted,
        primary: impl FnOnce() -> PF,
    ) -> (Result<T, E>, Outcome)
    where
        PF: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let engine = self.monitor.engine_ref();
        let (future, ticket) = engine.call(engine.begin(admitted), primary);
        let mut call = UnrecordedCall::new(Some(ticket), engine.clone());
        let mut future = pin!(future);
        let result = poll_fn(|context| call.run(|| future.as_mut().poll(context))).await;
        let outcome = self.classify.classify(&result);
        call.record(outcome);
        (result, outcome)
    }
}

/// A call to the primary that your own code makes: see [`Monitor::guard`].
///
/// Dropping it is a dropped call, which counts only by
/// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after). A drop by a panic is a failure, since
/// the call's own code has panicked as a rule. A guard that is held across an `.await` is dropped also by
/// a panic of another future in the same task, as in `join!`, and then blames the primary for it: there
/// use [`Monitor::call`], which counts only the panics of its own closures and futures.
#[derive(Debug)]
#[must_use = "a guard that is dropped is a dropped call"]
pub struct CallGuard<Clk: Clock = CoarseClock> {
    call: UnrecordedCall<Clk>,
    /// Whether the thread was unwinding when the call began: then no drop says that the call panicked.
    unwinding: bool,
}

impl<Clk: Clock> CallGuard<Clk> {
    /// Records the outcome.
    pub fn end(mut self, outcome: Outcome) {
        self.call.record(outcome);
    }
}

impl<Clk: Clock> Drop for CallGuard<Clk> {
    fn drop(&mut self) {
        if !self.unwinding && thread::panicking() {
            self.call.record(Outcome::Failure);
        }
    }
}
