//! A valuer's stubs: records in memory, and quotes by a closure.

#![allow(clippy::unwrap_used, reason = "a test may panic where it is surprised")]

use std::collections::HashMap;
use std::fmt;
use std::future::{poll_fn, ready};
use std::num::NonZeroU128;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::future::Either;
use tokio::sync::{Semaphore, watch};
use valuation_server::domain::{
    CallOutcome, Entry, ErrorCode, Mileage, Money, Provider, ProviderCall, Quote, QuoteError,
    QuoteRequest, Trace, Valuation, Vrm,
};
use valuation_server::valuer::{Commit, Find, Permit, Quotes, Records, RecordsError, Reserve};

/// The trace of a request that came from nowhere.
pub(crate) fn trace() -> Trace {
    Trace::new(NonZeroU128::MIN, 0, "a-test")
}

pub(crate) fn vrm(text: &str) -> Vrm {
    Vrm::parse(text).unwrap()
}

pub(crate) fn miles(number: f64) -> Mileage {
    Mileage::new(number).unwrap()
}

pub(crate) fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

pub(crate) fn quote(lowest: &str, highest: &str) -> Quote {
    Quote::new(money(lowest), money(highest), Provider::SuperCar).unwrap()
}

/// The attempt that a stub leaves in the trail.
pub(crate) fn attempt(request: &QuoteRequest, error: Option<ErrorCode>) -> ProviderCall {
    ProviderCall {
        vrm: request.vrm.clone(),
        provider: Provider::SuperCar,
        requested_at: SystemTime::UNIX_EPOCH,
        duration: Duration::from_millis(1),
        url: "http://stub.invalid/".to_owned(),
        response_code: error.is_none().then_some(200),
        outcome: if error.is_none() { CallOutcome::Success } else { CallOutcome::Failure },
        rescue: false,
        error: error.map(|code| (code, String::new())),
    }
}

/// Quotes made by a closure, each leaving one attempt in the trail.
pub(crate) fn quotes<F, A>(answer: F) -> Quotes
where
    F: Fn(QuoteRequest) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Quote, QuoteError>> + Send + 'static,
{
    Quotes::new(tower::service_fn(move |request: QuoteRequest| {
        let answer = answer(request.clone());
        async move {
            let answer = answer.await;
            let error = answer.as_ref().err().map(|_| ErrorCode::Status);
            request.trail.push(attempt(&request, error));
            answer
        }
    }))
}

/// Quotes that count how often they are asked, and answer when they are let.
#[derive(Clone)]
pub(crate) struct Gate {
    asked: Arc<watch::Sender<usize>>,
    permits: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self { asked: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn open() -> Self {
        let gate = Self::closed();
        gate.let_all();
        gate
    }

    pub(crate) fn let_all(&self) {
        self.permits.add_permits(1_000);
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    pub(crate) async fn until_asked(&self, times: usize) {
        self.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    pub(crate) async fn pass(&self) {
        self.asked.send_modify(|asked| *asked += 1);
        self.permits.acquire().await.unwrap().forget();
    }

    /// Every answer is this one.
    pub(crate) fn quotes(&self, answer: Result<Quote, QuoteError>) -> Quotes {
        let gate = self.clone();
        quotes(move |_| {
            let (gate, answer) = (gate.clone(), answer.clone());
            async move {
                gate.pass().await;
                answer
            }
        })
    }
}

/// Records in memory, with a switch for each way in which records can fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<State>);

impl std::ops::Deref for Memory {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) valuations: Mutex<HashMap<Vrm, Valuation>>,
    pub(crate) committed: Mutex<Vec<Entry>>,
    pub(crate) submitted: Mutex<Vec<Entry>>,
    /// Is committed by another program right after the next read.
    pub(crate) comes_after_a_look: Mutex<Option<Valuation>>,
    pub(crate) finds: AtomicUsize,
    /// Rises when another program changes the records.
    pub(crate) version: AtomicU64,
    pub(crate) full: AtomicBool,
    pub(crate) commits_fail: AtomicBool,
    pub(crate) commits_panic: AtomicBool,
    pub(crate) unreadable: AtomicBool,
    pub(crate) corrupt: AtomicBool,
    pub(crate) find_panics: AtomicBool,
}

impl Memory {
    pub(crate) fn with(valuation: Valuation) -> Arc<Self> {
        let memory = Self::default();
        memory.valuations.lock().unwrap().insert(valuation.vrm.clone(), valuation);
        Arc::new(memory)
    }

    pub(crate) fn set(switch: &AtomicBool) {
        switch.store(true, Ordering::SeqCst);
    }

    /// How many attempts at a provider were committed for each entry.
    pub(crate) fn committed_calls(&self) -> Vec<usize> {
        self.committed.lock().unwrap().iter().map(|entry| entry.calls.len()).collect()
    }
}

#[derive(Debug)]
struct Because(&'static str);
impl std::error::Error for Because {}
impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Memory {
    fn look(&self, vrm: &Vrm) -> Result<Option<Valuation>, RecordsError> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        assert!(!self.find_panics.load(Ordering::SeqCst), "the test wants a panic in find");
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(RecordsError::unavailable(Because("secret cause")));
        }
        if self.corrupt.load(Ordering::SeqCst) {
            return Err(RecordsError::corrupt(Because("secret cause")));
        }
        let mut valuations = self.valuations.lock().unwrap();
        let found = valuations.get(vrm).cloned();
        if let Some(valuation) = self.comes_after_a_look.lock().unwrap().take() {
            valuations.insert(valuation.vrm.clone(), valuation);
        }
        Ok(found)
    }
}

impl Records for Memory {
    fn find(&self, vrm: &Vrm) -> Find<'_> {
        Either::Left(ready(self.look(vrm)))
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn reserve(&self) -> Reserve<'_> {
        Box::pin(async {
            if self.full.load(Ordering::SeqCst) {
                return Err(RecordsError::unavailable(Because("secret cause")));
            }
            let permit: Box<dyn Permit> = Box::new(self.clone());
            Ok(permit)
        })
    }

    fn submit(&self, entry: Entry) {
        self.submitted.lock().unwrap().push(entry);
    }
}

impl Permit for Memory {
    fn commit(self: Box<Self>, entry: Entry) -> Commit {
        Box::pin(async move {
            assert!(!self.commits_panic.load(Ordering::SeqCst), "the test wants a panic in commit");
            if self.commits_fail.load(Ordering::SeqCst) {
                return Err(RecordsError::unavailable(Because("secret cause")));
            }
            self.committed.lock().unwrap().push(entry.clone());
            let mut valuations = self.valuations.lock().unwrap();
            Ok(entry.valuation.map(|v| valuations.entry(v.vrm.clone()).or_insert(v).clone()))
        })
    }

    fn submit(self: Box<Self>, entry: Entry) {
        Records::submit(&*self, entry);
    }
}

/// Polls once. What a future does before its first pause has happened afterwards.
pub(crate) async fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
