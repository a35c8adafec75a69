//! The end of an epoch by the probes of a few.

use super::*;

fn probing(_: u64) -> Setup {
    Setup { patience: Some(10_000), ..Setup::default() }
}

/// A fleet on the fallback, at the beginning of its time.
fn tripped(nodes: u64, setup: impl Fn(u64) -> Setup) -> Fleet {
    let mut fleet = Fleet::new(nodes, setup);
    fleet.run(2_000);
    fleet.outage(true);
    fleet.run(4_000);
    assert!(all(&fleet), "{:?}", fleet.away());
    fleet
}

/// Those that the first node expects to probe.
fn probers(fleet: &Fleet) -> Vec<usize> {
    let elected = fleet.members[0].node.probers();
    let is_elected = |at: &usize| elected.contains(&fleet.members[*at].node.identity().id);
    (0..fleet.members.len()).filter(is_elected).collect()
}

/// Until just after the deadline.
fn pass_the_deadline(fleet: &mut Fleet) {
    let deadline = fleet.members[0].node.stay().unwrap().deadline;
    let now = fleet.members[0].clock(fleet.now) / 1_000;
    fleet.run(deadline - now + 20);
}

#[test]
fn three_probe_and_one_success_returns_all() {
    let mut fleet = tripped(10, probing);
    fleet.outage(false);
    let elected = probers(&fleet);
    assert_eq!(elected.len(), 3);
    // Without calls nothing is decided, and the others wait.
    for member in &mut fleet.members {
        member.next_call = u64::MAX;
    }
    pass_the_deadline(&mut fleet);
    let waits = fleet.away();
    assert_eq!(waits, (0..10).map(|at| !elected.contains(&at)).collect::<Vec<_>>());
    let now = fleet.now;
    fleet.members[elected[1]].next_call = now;
    fleet.run(BEAT + 10);
    assert!(none(&fleet), "{:?}", fleet.away());
    fleet.run(STAY);
    assert_eq!(fleet.trips(), [1; 10]);
}

#[test]
fn if_the_probes_of_all_fail_the_fleet_stays_in_the_next_epoch() {
    let mut fleet = tripped(10, probing);
    let (first, mut at) = (fleet.epochs()[0], 0);
    while fleet.epochs().contains(&first) {
        fleet.run(BEAT);
        at += 1;
        assert!(at < 200, "{:?} {:?}", fleet.epochs(), fleet.away());
    }
    assert_eq!(fleet.epochs(), [first + 1; 10]);
    assert!(all(&fleet));
    let trips = fleet.trips();
    // Only those that probed were back for a moment.
    assert!(trips.iter().filter(|trips| **trips > 1).count() <= 3, "{trips:?}");
    fleet.outage(false);
    fleet.run(STAY + 1_000);
    assert!(none(&fleet), "{:?}", fleet.away());
    assert!(spread(&fleet.last(false)) <= 2 * BEAT, "{:?}", fleet.last(false));
}

#[test]
fn a_prober_that_dies_is_replaced() {
    let mut fleet = tripped(6, probing);
    fleet.outage(false);
    // Only one that is not elected at first could find out.
    let elected = probers(&fleet);
    fleet.run(STAY - 6_000);
    for at in elected {
        fleet.set_up(at, false);
    }
    fleet.run(8_000);
    assert!(none(&fleet), "{:?}", fleet.away());
}

#[test]
fn where_no_prober_has_calls_all_probe_after_a_while() {
    let mut fleet = tripped(6, probing);
    fleet.outage(false);
    let elected = probers(&fleet);
    for at in &elected {
        fleet.members[*at].next_call = u64::MAX;
    }
    pass_the_deadline(&mut fleet);
    fleet.run(5_000);
    assert_eq!(fleet.away().iter().filter(|away| **away).count(), 3);
    fleet.run(6_000);
    assert!(none(&fleet), "{:?}", fleet.away());
}

#[test]
fn one_whose_own_path_is_broken_stays_alone() {
    let mut fleet = tripped(5, probing);
    let bad = probers(&fleet)[0];
    fleet.outage(false);
    fleet.members[bad].fails = true;
    fleet.run(STAY + 2_000);
    assert_eq!(fleet.away(), (0..5).map(|at| at == bad).collect::<Vec<_>>());
    assert_eq!(fleet.epochs(), [fleet.epochs()[0]; 5]);
}

#[test]
fn one_that_an_operator_reverted_is_not_expected_to_probe() {
    let mut fleet = tripped(6, probing);
    fleet.outage(false);
    for at in probers(&fleet) {
        fleet.members[at].local.revert();
    }
    fleet.run(STAY);
    assert!(none(&fleet), "{:?}", fleet.away());
    assert!(fleet.members.iter().any(|member| member.node.probes == Some(true)));
}
