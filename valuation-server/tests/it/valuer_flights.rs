//! Find and value: which provider is asked, how often, and what is stored before the answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use valuation_server::domain::{Entry, ErrorCode, QuoteError, QuoteRequest, Valuation};
use valuation_server::valuer::{Bounds, Quotes, RecordsError, ValueError, Valuer};

use crate::valuer_stubs::{Gate, Memory, attempt, miles, poll_once, quote, quotes, trace, vrm};

fn unavailable() -> QuoteError {
    QuoteError::Unavailable {
        code: ErrorCode::Connect,
        message: "refused".to_owned(),
        retry_after: None,
    }
}

#[tokio::test]
async fn a_stored_valuation_is_answered_and_no_provider_is_asked() {
    let stored = Valuation::from_quote(vrm("A"), &quote("1", "2"));
    let gate = Gate::open();
    let valuer = Valuer::new(Memory::with(stored.clone()), gate.quotes(Ok(quote("3", "4"))));
    assert_eq!(valuer.value(vrm("A"), miles(5.0), trace()).await.unwrap(), stored);
    assert_eq!(valuer.find(&vrm("A")).await.unwrap(), Some(stored));
    assert_eq!(gate.asked(), 0);
}

#[tokio::test]
async fn a_stored_valuation_takes_one_read_of_the_records_and_no_flight() {
    let stored = Valuation::from_quote(vrm("A"), &quote("1", "2"));
    let memory = Memory::with(stored);
    let valuer = Valuer::new(memory.clone(), Gate::open().quotes(Ok(quote("3", "4"))));
    for looks in 1..=3 {
        valuer.value(vrm("A"), miles(5.0), trace()).await.unwrap();
        assert_eq!(memory.finds.load(Ordering::SeqCst), looks);
    }
}

#[tokio::test]
async fn a_valuation_that_was_read_or_made_once_is_answered_from_memory() {
    let stored = Valuation::from_quote(vrm("A"), &quote("1", "2"));
    let memory = Memory::with(stored.clone());
    let gate = Gate::open();
    let quotes = gate.quotes(Ok(quote("3", "4")));
    let valuer = Valuer::within(Bounds::default(), memory.clone(), quotes);
    assert_eq!(valuer.find(&vrm("A")).await.unwrap(), Some(stored.clone()));
    let made = valuer.value(vrm("B"), miles(5.0), trace()).await.unwrap();
    let looks = memory.finds.load(Ordering::SeqCst);
    for (mark, valuation) in [("A", stored), ("B", made)] {
        assert_eq!(valuer.find(&vrm(mark)).await.unwrap().as_ref(), Some(&valuation));
        assert_eq!(valuer.value(vrm(mark), miles(5.0), trace()).await.unwrap(), valuation);
    }
    assert_eq!(memory.finds.load(Ordering::SeqCst), looks);
    // So is one that a question has found.
    let found = Valuation::from_quote(vrm("D"), &quote("5", "6"));
    memory.valuations.lock().unwrap().insert(vrm("D"), found.clone());
    for _ in 0..2 {
        assert_eq!(valuer.value(vrm("D"), miles(5.0), trace()).await.unwrap(), found);
    }
    assert_eq!(memory.finds.load(Ordering::SeqCst), looks + 1);
    let looks = looks + 1;
    // What is not in the records is not remembered as missing.
    for _ in 0..2 {
        assert_eq!(valuer.find(&vrm("C")).await.unwrap(), None);
    }
    assert_eq!(memory.finds.load(Ordering::SeqCst), looks + 2);
}

#[tokio::test]
async fn a_cached_valuation_is_read_again_after_another_program_has_changed_the_records() {
    let stored = Valuation::from_quote(vrm("A"), &quote("1", "2"));
    let memory = Memory::with(stored.clone());
    let gate = Gate::open();
    let quotes = gate.quotes(Ok(quote("3", "4")));
    let valuer = Valuer::within(Bounds::default(), memory.clone(), quotes);
    assert_eq!(valuer.find(&vrm("A")).await.unwrap(), Some(stored));
    valuer.value(vrm("B"), miles(5.0), trace()).await.unwrap();

    let changed = Valuation::from_quote(vrm("A"), &quote("7", "8"));
    memory.valuations.lock().unwrap().insert(vrm("A"), changed.clone());
    memory.valuations.lock().unwrap().remove(&vrm("B"));
    memory.version.fetch_add(1, Ordering::SeqCst);
    assert_eq!(valuer.find(&vrm("A")).await.unwrap(), Some(changed.clone()));
    assert_eq!(valuer.find(&vrm("B")).await.unwrap(), None);
    assert_eq!(valuer.value(vrm("A"), miles(5.0), trace()).await.unwrap(), changed);
    // Which is remembered in its turn.
    let looks = memory.finds.load(Ordering::SeqCst);
    assert_eq!(valuer.find(&vrm("A")).await.unwrap(), Some(changed));
    assert_eq!(memory.finds.load(Ordering::SeqCst), looks);
    valuer.value(vrm("B"), miles(5.0), trace()).await.unwrap();
    assert_eq!(gate.asked(), 2, "a vehicle whose row is gone is asked about again");
}

#[tokio::test]
async fn the_cache_can_be_switched_on_and_off_and_the_flights_limited_while_it_runs() {
    let memory = Memory::with(Valuation::from_quote(vrm("A"), &quote("1", "2")));
    let gate = Gate::closed();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("3", "4"))));
    let looks = async || {
        let before = memory.finds.load(Ordering::SeqCst);
        for _ in 0..3 {
            assert!(valuer.find(&vrm("A")).await.unwrap().is_some());
        }
        memory.finds.load(Ordering::SeqCst) - before
    };
    let bounds = |cache| Bounds { flights: 1, cache };
    assert_eq!(looks().await, 3);
    for (cache, expected) in
        [(Some(1 << 20), 1), (Some(2 << 20), 0), (None, 3), (Some(1 << 20), 1), (None, 3)]
    {
        valuer.set_bounds(bounds(cache));
        assert_eq!(looks().await, expected, "{cache:?}");
    }
    let mut running = Box::pin(valuer.value(vrm("B"), miles(5.0), trace()));
    assert!(poll_once(&mut running).await.is_pending());
    let refused = valuer.value(vrm("C"), miles(5.0), trace()).await;
    assert!(matches!(refused, Err(ValueError::Overloaded)), "{refused:?}");
    gate.let_all();
    running.await.unwrap();
}

#[tokio::test]
async fn the_valuation_and_the_log_of_its_calls_are_committed_together_before_the_answer() {
    let memory = Arc::<Memory>::default();
    let valuer = Valuer::new(memory.clone(), Gate::open().quotes(Ok(quote("1", "2"))));
    let made = valuer.value(vrm("A"), miles(5.0), trace()).await.unwrap();
    let committed = memory.committed.lock().unwrap().clone();
    let [Entry { valuation: Some(valuation), calls }] = &committed[..] else {
        panic!("{committed:?}");
    };
    assert_eq!((valuation, calls.len()), (&made, 1));
}

#[tokio::test]
async fn two_that_ask_at_the_same_time_share_one_call_with_the_first_ones_mileage() {
    let asked_with = Arc::new(std::sync::Mutex::new(Vec::new()));
    let gate = Gate::closed();
    let quotes = {
        let (asked_with, gate) = (asked_with.clone(), gate.clone());
        quotes(move |request: QuoteRequest| {
            asked_with.lock().unwrap().push(request.mileage.miles());
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(quote("1", "2"))
            }
        })
    };
    let valuer = Valuer::new(Arc::<Memory>::default(), quotes);
    let mut first = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    let mut second = Box::pin(valuer.value(vrm("A"), miles(6.0), trace()));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    assert_eq!(valuer.in_flight(), 1);
    gate.let_all();
    assert_eq!(first.await.unwrap(), second.await.unwrap());
    assert_eq!(*asked_with.lock().unwrap(), [5.0]);
}

#[tokio::test]
async fn different_vehicles_do_not_wait_for_each_other() {
    let gate = Gate::closed();
    let valuer = Valuer::new(Arc::<Memory>::default(), gate.quotes(Ok(quote("1", "2"))));
    let mut first = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    let mut second = Box::pin(valuer.value(vrm("B"), miles(5.0), trace()));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    gate.until_asked(2).await;
    assert_eq!(valuer.in_flight(), 2);
}

#[tokio::test]
async fn a_flight_looks_into_the_records_again_so_that_a_commit_in_between_is_not_paid_twice() {
    let memory = Arc::<Memory>::default();
    let gate = Gate::open();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    let other = Valuation::from_quote(vrm("A"), &quote("7", "8"));
    *memory.comes_after_a_look.lock().unwrap() = Some(other.clone());
    assert_eq!(valuer.value(vrm("A"), miles(5.0), trace()).await.unwrap(), other);
    assert_eq!(memory.finds.load(Ordering::SeqCst), 2);
    assert_eq!(gate.asked(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_ask_for_one_vehicle_and_whenever_one_call_is_made() {
    let gate = Gate::open();
    let memory = Arc::<Memory>::default();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    for round in 1..=100 {
        let mark = vrm(&round.to_string());
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (valuer, mark) = (valuer.clone(), mark.clone());
                tokio::spawn(async move { valuer.value(mark, miles(5.0), trace()).await.unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(gate.asked(), round);
    }
    assert_eq!(memory.committed_calls(), vec![1; 100]);
    valuer.idle().await;
}

#[tokio::test]
async fn what_stands_in_the_records_wins_over_the_own_quote() {
    let memory = Arc::<Memory>::default();
    let gate = Gate::closed();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    let mut call = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    assert!(poll_once(&mut call).await.is_pending());
    gate.until_asked(1).await;
    // Another process that shares the database was faster.
    let other = Valuation::from_quote(vrm("A"), &quote("7", "8"));
    memory.valuations.lock().unwrap().insert(vrm("A"), other.clone());
    gate.let_all();
    assert_eq!(call.await.unwrap(), other);
    assert_eq!(memory.committed_calls(), [1]);
}

#[tokio::test]
async fn a_flight_goes_on_and_is_committed_when_all_its_callers_are_gone() {
    let memory = Arc::<Memory>::default();
    let gate = Gate::closed();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    let mut call = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    assert!(poll_once(&mut call).await.is_pending());
    gate.until_asked(1).await;
    drop(call);
    let mut idle = Box::pin(valuer.idle());
    assert!(poll_once(&mut idle).await.is_pending());
    gate.let_all();
    idle.await;
    assert_eq!(valuer.in_flight(), 0);
    assert_eq!(memory.committed_calls(), [1]);
    assert!(valuer.find(&vrm("A")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_follower_is_answered_even_if_the_leader_goes() {
    let memory = Arc::<Memory>::default();
    let gate = Gate::closed();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    let mut first = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    let mut second = Box::pin(valuer.value(vrm("A"), miles(6.0), trace()));
    let mut third = Box::pin(valuer.value(vrm("A"), miles(7.0), trace()));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    assert!(poll_once(&mut third).await.is_pending());
    drop((first, third));
    assert_eq!(valuer.in_flight(), 1);
    gate.let_all();
    let expected = Valuation::from_quote(vrm("A"), &quote("1", "2"));
    assert_eq!(second.await.unwrap(), expected);
    valuer.idle().await;
    assert_eq!((gate.asked(), memory.committed_calls()), (1, vec![1]));
}

#[tokio::test]
async fn a_database_that_cannot_store_buys_no_valuation() {
    let memory = Arc::<Memory>::default();
    Memory::set(&memory.full);
    let gate = Gate::open();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    let refused = valuer.value(vrm("A"), miles(5.0), trace()).await;
    assert!(matches!(refused, Err(ValueError::Records(RecordsError::Unavailable(_)))));
    assert_eq!(gate.asked(), 0);
    memory.full.store(false, Ordering::SeqCst);
    assert!(valuer.value(vrm("A"), miles(5.0), trace()).await.is_ok());
}

#[tokio::test]
async fn a_database_that_cannot_be_read_buys_no_valuation_either() {
    let memory = Arc::<Memory>::default();
    let gate = Gate::open();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    Memory::set(&memory.unreadable);
    let refused = valuer.value(vrm("A"), miles(5.0), trace()).await;
    assert!(matches!(refused, Err(ValueError::Records(RecordsError::Unavailable(_)))));
    memory.unreadable.store(false, Ordering::SeqCst);
    Memory::set(&memory.corrupt);
    let refused = valuer.value(vrm("A"), miles(5.0), trace()).await;
    assert!(matches!(refused, Err(ValueError::Records(RecordsError::Corrupt(_)))));
    assert_eq!(gate.asked(), 0);
}

#[tokio::test]
async fn an_answer_that_cannot_be_committed_is_no_answer() {
    let memory = Arc::<Memory>::default();
    Memory::set(&memory.commits_fail);
    let gate = Gate::open();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    let refused = valuer.value(vrm("A"), miles(5.0), trace()).await;
    assert!(matches!(refused, Err(ValueError::Records(RecordsError::Unavailable(_)))));
    assert_eq!(gate.asked(), 1);
}

#[tokio::test]
async fn each_way_to_get_no_quote_has_its_error_and_its_calls_are_committed_before_the_answer() {
    for (error, expected) in [
        (unavailable(), "Unavailable"),
        (QuoteError::NotFound, "NotFound"),
        (QuoteError::Refused(422), "Refused"),
    ] {
        let memory = Arc::<Memory>::default();
        let valuer = Valuer::new(memory.clone(), Gate::open().quotes(Err(error)));
        let outcome = valuer.value(vrm("A"), miles(5.0), trace()).await.unwrap_err();
        assert_eq!(format!("{outcome:?}"), expected);
        assert_eq!(memory.committed_calls(), [1]);
        assert!(memory.committed.lock().unwrap()[0].valuation.is_none());
    }
}

#[tokio::test]
async fn an_error_whose_calls_cannot_be_logged_is_answered_as_the_records_error() {
    let memory = Arc::<Memory>::default();
    Memory::set(&memory.commits_fail);
    let valuer = Valuer::new(memory, Gate::open().quotes(Err(QuoteError::NotFound)));
    let outcome = valuer.value(vrm("A"), miles(5.0), trace()).await;
    assert!(matches!(outcome, Err(ValueError::Records(_))));
}

#[tokio::test]
async fn after_a_failure_the_next_one_asks_again() {
    let gate = Gate::open();
    let valuer = Valuer::new(Arc::<Memory>::default(), gate.quotes(Err(unavailable())));
    for asked in 1..=3 {
        assert!(valuer.value(vrm("A"), miles(5.0), trace()).await.is_err());
        assert_eq!(gate.asked(), asked);
    }
}

#[tokio::test]
async fn a_panic_while_asking_is_an_error_for_all_and_its_calls_are_committed() {
    let memory = Arc::<Memory>::default();
    let quotes = Quotes::new(tower::service_fn(|request: QuoteRequest| async move {
        request.trail.push(attempt(&request, Some(ErrorCode::Panic)));
        tokio::task::yield_now().await;
        panic!("the test wants a panic in the quotes")
    }));
    let valuer = Valuer::new(memory.clone(), quotes);
    let (first, second) = tokio::join!(
        valuer.value(vrm("A"), miles(5.0), trace()),
        valuer.value(vrm("A"), miles(5.0), trace())
    );
    assert!(matches!(first, Err(ValueError::Panicked)));
    assert!(matches!(second, Err(ValueError::Panicked)));
    assert_eq!(memory.committed_calls(), [1]);
    valuer.idle().await;
}

#[tokio::test]
async fn a_panic_in_the_records_is_an_error_for_all_and_leaves_no_flight_behind() {
    let memory = Arc::<Memory>::default();
    Memory::set(&memory.commits_panic);
    let gate = Gate::closed();
    let valuer = Valuer::new(memory.clone(), gate.quotes(Ok(quote("1", "2"))));
    let mut first = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    let mut second = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    gate.let_all();
    assert!(matches!(first.await, Err(ValueError::Panicked)));
    assert!(matches!(second.await, Err(ValueError::Panicked)));
    valuer.idle().await;
    memory.commits_panic.store(false, Ordering::SeqCst);
    assert!(valuer.value(vrm("A"), miles(5.0), trace()).await.is_ok());
}

/// Leaves an attempt when it is dropped, as a cancelled call to a provider does.
struct Cancelled(QuoteRequest);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.trail.push(attempt(&self.0, Some(ErrorCode::Cancelled)));
    }
}

#[test]
fn a_flight_that_the_runtime_drops_submits_the_calls_that_were_made() {
    let memory = Arc::<Memory>::default();
    let quotes = Quotes::new(tower::service_fn(|request: QuoteRequest| async move {
        let _cancelled = Cancelled(request);
        std::future::pending().await
    }));
    let valuer = Valuer::new(memory.clone(), quotes);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut other_call = Box::pin(valuer.value(vrm("A"), miles(5.0), trace()));
    runtime.block_on(async {
        let first = valuer.clone();
        tokio::spawn(async move { first.value(vrm("A"), miles(5.0), trace()).await });
        tokio::task::yield_now().await;
        assert!(poll_once(&mut other_call).await.is_pending());
        assert_eq!(valuer.in_flight(), 1);
    });
    drop(runtime);
    let submitted = memory.submitted.lock().unwrap().clone();
    let [Entry { valuation: None, calls }] = &submitted[..] else { panic!("{submitted:?}") };
    assert_eq!(calls[0].error.as_ref().unwrap().0, ErrorCode::Cancelled);
    assert_eq!(valuer.in_flight(), 0);
    // Who still waits, on a runtime that goes on, hears of it.
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(matches!(other.block_on(other_call), Err(ValueError::Stopping)));
}
