//! One monitor per key, and eviction.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use failover::clock::ManualClock;
use failover::event::Cause;
use failover::monitor::KeyedMonitors;
use failover::policy::Probing;
use failover::{Event, Monitor, Outcome, Policy, Route};

use crate::common::SECOND;

fn registry(capacity: usize) -> (KeyedMonitors<u32, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (KeyedMonitors::with_clock(Policy::default(), capacity, clock.clone()), clock)
}

fn call(monitor: &Monitor<ManualClock>, outcome: Outcome) {
    let ticket = monitor.admit().ticket().expect("on the primary");
    monitor.record(ticket, outcome);
}

fn fail(registry: &KeyedMonitors<u32, ManualClock>, key: u32, calls: usize) {
    (0..calls).for_each(|_| call(&registry.monitor(&key), Outcome::Failure));
}

fn keys(registry: &KeyedMonitors<u32, ManualClock>) -> Vec<u32> {
    let mut keys: Vec<_> = registry.handles().into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn each_key_has_a_window_and_a_route_of_its_own() {
    let (registry, _) = registry(8);
    fail(&registry, 1, 10);
    assert_eq!(registry.monitor(&1).route(), Route::Fallback);
    assert_eq!(registry.monitor(&2).route(), Route::Primary);
    assert_eq!(registry.monitor(&2).handle().snapshot().tally.calls(), 0);
    assert_eq!(keys(&registry), [1, 2]);
    assert!(registry.handle(&3).is_none());
    assert_eq!(registry.len(), 2);
}

#[test]
fn a_registry_never_holds_more_keys_than_its_capacity() {
    let (registry, _) = registry(20);
    for key in 0..1_000 {
        call(&registry.monitor(&key), Outcome::Success);
        assert!(registry.len() <= 20);
    }
    assert_eq!((registry.len(), registry.capacity(), registry.unshared()), (20, 20, 0));
}

#[test]
fn a_key_that_is_tripped_forced_failing_in_use_or_of_another_policy_is_not_evicted() {
    let (registry, _) = registry(6);
    fail(&registry, 1, 10);
    registry.monitor(&2).handle().force(Route::Primary);
    registry.monitor(&3).handle().force(Route::Fallback);
    fail(&registry, 4, 1);
    let held = registry.monitor(&5);
    let own = Policy::builder().minimum_calls(3).build().unwrap();
    registry.monitor(&6).handle().swap_policy(own);
    for key in 100..200 {
        call(&registry.monitor(&key), Outcome::Success);
    }
    assert_eq!(keys(&registry), [1, 2, 3, 4, 5, 6]);
    assert_eq!(registry.unshared(), 100);
    drop(held);
    call(&registry.monitor(&200), Outcome::Success);
    assert_eq!(keys(&registry), [1, 2, 3, 4, 6, 200]);
    assert_eq!(registry.unshared(), 100);
}

/// Few keys may be evicted, at any position: each new key still finds room.
#[test]
fn a_new_key_is_added_among_tripped_ones_however_few_may_be_evicted() {
    for healthy in [50, 5, 1] {
        let (registry, _) = registry(1_000);
        (healthy..1_000).for_each(|key| fail(&registry, key, 10));
        (0..healthy).for_each(|key| call(&registry.monitor(&key), Outcome::Success));
        for key in 1_000..1_200 {
            call(&registry.monitor(&key), Outcome::Success);
        }
        assert_eq!((registry.len(), registry.unshared()), (1_000, 0), "{healthy} of 1000");
        let broken = |key: &u32| registry.monitor(key).route() == Route::Fallback;
        assert!((healthy..1_000).all(|key| broken(&key)));
    }
}

/// After a search of a large table in vain, new keys do not repeat it, and a healthy key is still
/// found.
#[test]
fn a_healthy_key_in_a_table_full_of_tripped_ones_is_found_and_evicted() {
    let (registry, clock) = registry(1_000);
    fail(&registry, 0, 1);
    (1..1_000).for_each(|key| fail(&registry, key, 10));
    let _ = registry.monitor(&1_000);
    assert_eq!(registry.unshared(), 1);
    clock.advance(60 * SECOND);
    let added = (2_000..2_100).take_while(|key| {
        let _ = registry.monitor(key);
        registry.handle(key).is_none()
    });
    assert!(added.count() <= 1_000 / 32 + 1);
    assert!(registry.handle(&0).is_none());
}

#[test]
fn if_no_key_may_be_evicted_calls_go_to_the_primary_unprotected() {
    let (registry, _) = registry(1);
    fail(&registry, 1, 10);
    for _ in 0..100 {
        let monitor = registry.monitor(&2);
        assert_eq!(monitor.route(), Route::Primary);
        call(&monitor, Outcome::Failure);
    }
    assert_eq!((registry.unshared(), registry.len()), (100, 1));
    // A caller that keeps an unshared monitor is protected by its own calls.
    let kept = registry.monitor(&2);
    (0..10).for_each(|_| call(&kept, Outcome::Failure));
    assert_eq!(kept.route(), Route::Fallback);
    assert_eq!(registry.monitor(&1).route(), Route::Fallback);
}

#[test]
fn a_key_is_evicted_once_it_is_healthy_again() {
    let (registry, clock) = registry(2);
    fail(&registry, 1, 10);
    fail(&registry, 2, 1);
    assert_eq!(registry.monitor(&3).route(), Route::Primary);
    assert_eq!((keys(&registry), registry.unshared()), (vec![1, 2], 1));
    // The failure leaves the window after a minute, the time on the fallback ends after five.
    clock.advance(60 * SECOND);
    let _ = registry.monitor(&3);
    assert_eq!(keys(&registry), [1, 3]);
    let third = registry.monitor(&3);
    clock.advance(240 * SECOND);
    let _ = registry.monitor(&4);
    assert_eq!(keys(&registry), [3, 4]);
    drop(third);
}

#[test]
fn a_key_whose_time_on_the_fallback_is_over_reports_its_revert_before_it_is_evicted() {
    let (registry, clock) = registry(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    registry.observe(move |key: &u32, event: &Event| {
        seen.lock().unwrap().push((*key, event.cause == Cause::Reverted));
    });
    fail(&registry, 1, 10);
    clock.advance(300 * SECOND);
    let _ = registry.monitor(&2);
    assert_eq!(keys(&registry), [2]);
    assert_eq!(*told.lock().unwrap(), [(1, false), (1, true)]);
}

#[test]
fn a_key_with_an_empty_window_is_evicted_first() {
    let (registry, clock) = registry(3);
    let succeed = |key| call(&registry.monitor(&key), Outcome::Success);
    (1..=3).for_each(succeed);
    clock.advance(60 * SECOND);
    succeed(1);
    succeed(3);
    let _ = registry.monitor(&2);
    let _ = registry.monitor(&4);
    assert_eq!(keys(&registry), [1, 3, 4]);
}

#[test]
fn of_keys_with_calls_in_the_window_one_that_was_used_lately_is_evicted_last() {
    let (registry, _) = registry(3);
    let succeed = |key| call(&registry.monitor(&key), Outcome::Success);
    (1..=3).for_each(succeed);
    // Evicts one of the three, after a look at the others.
    succeed(4);
    let [one, other] = keys(&registry)[..2] else { panic!("two of the first three are left") };
    succeed(one);
    succeed(4);
    succeed(5);
    assert_eq!(keys(&registry), [one, 4, 5], "{other} was asked for least");
}

#[test]
fn a_swap_of_the_policy_reaches_the_keys_that_are_there_and_those_to_come() {
    let (registry, _) = registry(8);
    fail(&registry, 1, 5);
    registry.swap_policy(Policy::builder().minimum_calls(5).build().unwrap());
    assert_eq!(registry.monitor(&1).route(), Route::Fallback);
    fail(&registry, 2, 5);
    assert_eq!(registry.monitor(&2).route(), Route::Fallback);
    assert_eq!(registry.policy().minimum_calls(), 5);
    assert_eq!(registry.handle(&2).unwrap().policy(), registry.policy());
}

#[test]
fn an_observer_may_use_the_registry() {
    let (registry, _) = registry(1);
    let other = registry.clone();
    registry.observe(move |key: &u32, _: &Event| {
        let _ = other.monitor(&(key + 1));
        other.swap_policy(Policy::builder().minimum_calls(7).build().unwrap());
    });
    fail(&registry, 1, 10);
    // It observes the trip, and the swap that it made itself.
    assert_eq!((registry.policy().minimum_calls(), registry.unshared()), (7, 2));
}

fn with_policy(policy: Policy, capacity: usize) -> (KeyedMonitors<u32, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (KeyedMonitors::with_clock(policy, capacity, clock.clone()), clock)
}

#[test]
fn a_key_that_waits_for_probes_is_evicted_when_its_time_is_over_and_there_is_no_other() {
    let policy = Policy::builder().probing(Probing::new(1)).build().unwrap();
    let (registry, clock) = with_policy(policy, 2);
    fail(&registry, 1, 10);
    call(&registry.monitor(&2), Outcome::Success);
    let _ = registry.monitor(&3);
    assert_eq!(keys(&registry), [1, 3]);
    fail(&registry, 3, 1);
    let _ = registry.monitor(&4);
    assert_eq!((keys(&registry), registry.unshared()), (vec![1, 3], 1));
    // The failure of key 3 has left the window too, and that key is evicted first.
    clock.advance(300 * SECOND);
    let _ = registry.monitor(&4);
    assert_eq!(keys(&registry), [1, 4]);
    fail(&registry, 4, 1);
    let _ = registry.monitor(&5);
    assert_eq!(keys(&registry), [4, 5]);
}

#[test]
fn a_failure_in_a_window_of_the_last_calls_does_not_keep_a_key_for_ever() {
    let policy = Policy::builder().last_calls(20).build().unwrap();
    let (registry, _) = with_policy(policy, 2);
    fail(&registry, 1, 1);
    call(&registry.monitor(&2), Outcome::Success);
    call(&registry.monitor(&3), Outcome::Success);
    assert_eq!(keys(&registry), [1, 3]);
    fail(&registry, 3, 9);
    let _ = registry.monitor(&4);
    assert_eq!((keys(&registry), registry.unshared()), (vec![3, 4], 0));
}

/// A dry run diverts no call, but its counts are kept.
#[test]
fn a_key_that_would_be_tripped_is_kept_for_as_long() {
    let policy = Policy::builder().dry_run().build().unwrap();
    let (registry, clock) = with_policy(policy, 1);
    fail(&registry, 1, 10);
    assert_eq!(registry.monitor(&1).route(), Route::Primary);
    let _ = registry.monitor(&2);
    assert_eq!((keys(&registry), registry.unshared()), (vec![1], 1));
    clock.advance(300 * SECOND);
    let _ = registry.monitor(&2);
    assert_eq!(keys(&registry), [2]);
}

#[test]
fn many_threads_that_add_the_same_keys_share_one_state_a_key() {
    let (registry, clock) = registry(64);
    for base in (0..2_000).step_by(8) {
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    for key in base..base + 8 {
                        call(&registry.monitor(&key), Outcome::Success);
                    }
                });
            }
        });
        for key in base..base + 8 {
            let handle = registry.handle(&key).expect("there is room");
            assert_eq!(handle.snapshot().tally.successes, 4);
        }
        assert!(registry.len() <= 64);
        // The windows are empty now: these keys are evicted first.
        clock.advance(60 * SECOND);
    }
    assert_eq!(registry.unshared(), 0);
}
