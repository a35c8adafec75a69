use std::time::Duration;

use super::*;
use crate::engine::time::{Epoch, When};
use crate::engine::window::Flights;
use crate::policy::{Probing, StallLimit};

#[test]
fn the_default_policy_needs_less_than_8_kib_for_16_threads() {
    let engine = Engine::new(&Policy::default(), Moment::default(), 16);
    assert!(engine.bytes() < 8 * 1024, "{} bytes", engine.bytes());
}

fn stalling() -> Policy {
    let (after, limit) = (Duration::from_secs(1), StallLimit::Calls(5));
    Policy::builder().stalled_calls(after, limit).build().expect("a sound policy")
}

#[test]
fn its_memory_is_that_of_its_parts() {
    let policy = Policy::builder().probing(Probing::new(4)).build().unwrap();
    let (plain, probing) = (Policy::default(), policy);
    let bytes = |policy: &Policy| Engine::new(policy, Moment::default(), 2).bytes();
    assert_eq!(bytes(&probing), bytes(&plain) + 4 * 8);
    let flights = Flights::new(1, 2).bytes();
    assert_eq!(bytes(&stalling()), bytes(&plain) + flights);
    assert!(bytes(&plain) > size_of::<Engine>() + 2 * 10 * 32);
}

#[test]
fn a_call_that_begins_after_its_epoch_is_not_in_flight() {
    let engine = Engine::new(&stalling(), Moment::default(), 1);
    let running = engine.transitions.phase().epoch();
    assert!(engine.begin(running, Moment::default()).1);
    assert!(!engine.begin(Epoch::from_number(9), Moment::default()).1);
    let ages = Moment::from_nanos(10_000_000_000);
    assert_eq!(
        engine
            .evidence
            .flights(engine.transitions.options())
            .unwrap()
            .stalled(When { epoch: running, at: engine.transitions.at(ages) })
            .calls,
        1
    );
}
