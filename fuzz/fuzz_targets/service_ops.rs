//! Clones of a service, polled, called, woken and dropped in random orders over mocks that hold
//! them to tower's contract: the service that was made ready is the one that is called, only the
//! chosen one is made ready, each outcome is counted once, nobody who could go on is left asleep,
//! nothing wakes itself, and nothing leaks.
#![no_main]

use std::panic::{catch_unwind, panic_any};
use std::rc::Rc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use failover::classify::ErrorsAsFailures;
use failover::clock::ManualClock;
use failover::monitor::Tally;
use failover::policy::Probing;
use failover::{FailoverLayer, Monitor, Policy, Ratio, Rescue, Route, State};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, Service};

#[path = "support/mock.rs"]
mod mock;
#[path = "support/rig.rs"]
mod rig;
#[path = "support/show.rs"]
mod show;

use mock::{End, Mock, Planned, Readiness, Stage};
use rig::{Client, Failed, Rig};
use show::show;

#[derive(Arbitrary, Debug)]
enum Operation {
    Poll(u8),
    Call(u8),
    CallThatPanics(u8),
    Clone(u8),
    DropService(u8),
    PollFuture(u8),
    DropFuture(u8),
    End { primary: bool, index: u8, success: bool },
    EndByPanic { primary: bool, index: u8 },
    Busy { primary: bool },
    Ready { primary: bool },
    Broken { primary: bool },
    PanicWhenPolled { primary: bool },
    Millis(u16),
    Force { primary: bool },
    Release,
    Reset,
    Revert,
}

fn apply<S>(rig: &mut Rig<S>, operation: &Operation)
where
    S: Service<u8, Response = u8, Error = Failed> + Clone,
{
    let handle = rig.monitor.handle();
    match *operation {
        Operation::Poll(index) => rig.poll(index),
        Operation::Call(index) => rig.call(index, false),
        Operation::CallThatPanics(index) => rig.call(index, true),
        Operation::Clone(index) => {
            if let Some(index) =
                Rig::<S>::pick(&rig.clients, index).filter(|_| rig.clients.len() < 8)
            {
                let service = rig.clients[index].service.clone();
                rig.clients.push(Client::new(service));
            }
        }
        Operation::DropService(index) => {
            if let Some(index) = Rig::<S>::pick(&rig.clients, index) {
                drop(rig.clients.swap_remove(index));
            }
        }
        Operation::PollFuture(index) => rig.poll_future(index),
        Operation::DropFuture(index) => {
            if let Some(index) = Rig::<S>::pick(&rig.running, index) {
                drop(rig.running.swap_remove(index));
            }
        }
        Operation::End { primary, index, success } => {
            let end = if success { End::Success } else { End::Failure };
            rig.stage(primary).end(index, end);
        }
        Operation::EndByPanic { primary, index } => {
            rig.stage(primary).end(index, End::Panics);
        }
        Operation::Busy { primary } => rig.stage(primary).set(Readiness::Busy),
        Operation::Ready { primary } => rig.stage(primary).set(Readiness::Ready),
        Operation::Broken { primary } => rig.stage(primary).set(Readiness::Broken),
        Operation::PanicWhenPolled { primary } => rig.stage(primary).set(Readiness::Panics),
        Operation::Millis(by) => rig.clock.advance(Duration::from_millis(by.into())),
        Operation::Force { primary } => {
            handle.force(if primary { Route::Primary } else { Route::Fallback });
        }
        Operation::Release => {
            handle.release();
        }
        Operation::Reset => handle.reset(),
        Operation::Revert => {
            handle.revert();
        }
    }
}

/// A window that forgets nothing, so that what it holds can be said; short times back.
fn policy(bytes: &mut Unstructured<'_>) -> Result<Policy> {
    let day = Duration::from_secs(24 * 60 * 60);
    let mut policy = Policy::builder()
        .window(300 * day, 2)
        .minimum_calls(bytes.int_in_range(1..=6)?)
        .revert_after(Duration::from_millis(bytes.int_in_range(1..=500)?));
    if bytes.arbitrary()? {
        let probing = Probing::new(bytes.int_in_range(1..=3)?)
            .successes(bytes.int_in_range(1..=3)?)
            .lease(day);
        policy = policy.probing(probing);
    }
    if bytes.arbitrary()? {
        let first = Ratio::new(1, 3).expect("a third");
        policy = policy.ramp_up(first, Duration::from_millis(200));
    }
    Ok(policy.build().expect("all of these make sense"))
}

fn drive<S>(
    bytes: &mut Unstructured<'_>,
    policy: &Policy,
    make: impl FnOnce(Mock, FailoverLayer<Mock, ErrorsAsFailures, ManualClock>) -> S,
) -> Result<()>
where
    S: Service<u8, Response = u8, Error = Failed> + Clone,
{
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(1_000));
    let monitor = Monitor::with_clock(policy.clone(), clock.clone());
    let (primary, fallback): (Rc<Stage>, Rc<Stage>) = Default::default();
    let layer = FailoverLayer::with_monitor(Mock::new(&fallback), monitor.clone());
    let service = make(Mock::new(&primary), layer);
    let epoch = monitor.handle().snapshot().epoch;
    let (counted, began) = ((epoch, Tally::default()), (epoch, State::Primary));
    let clients = vec![Client::new(service)];
    let mut rig =
        Rig { monitor, clock, primary, fallback, clients, running: vec![], counted, began };
    let mut result = Ok(());
    for _ in 0..400 {
        if bytes.is_empty() {
            break;
        }
        match Operation::arbitrary(bytes) {
            Ok(operation) => {
                show(&(&operation, rig.monitor.handle().snapshot()));
                apply(&mut rig, &operation);
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
        rig.check_counts();
    }
    rig.end(policy);
    result
}

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let policy = policy(bytes)?;
    match bytes.int_in_range(0..=2)? {
        0 => drive(bytes, &policy, |primary, layer| layer.layer(primary)),
        1 => drive(bytes, &policy, |primary, layer| layer.rescue(Rescue::cloning()).layer(primary)),
        _ => drive(bytes, &policy, |primary, layer| {
            layer.rescue(Rescue::cloning().both_ways()).layer(primary)
        }),
    }
}

/// The fuzzer takes every panic for a finding; those of the mocks are none.
fn let_mocks_panic() {
    let findings = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Planned>() {
            findings(info);
        }
    }));
    let _ = catch_unwind(|| panic_any(Planned));
}

fuzz_target!(
    init: let_mocks_panic(),
    |bytes: &[u8]| {
        // Bytes that end in the middle of something have done what they could.
        let _ = run(&mut Unstructured::new(bytes));
    }
);
