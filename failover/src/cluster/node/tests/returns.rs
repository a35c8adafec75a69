//! The end of an epoch by its time.

use super::*;

/// Trips a fleet, ends the outage, and runs until after the return.
fn round(fleet: &mut Fleet) {
    fleet.outage(true);
    fleet.run(6_000);
    assert!(all(fleet), "{:?}", fleet.away());
    fleet.outage(false);
    fleet.run(STAY + 5_000);
    assert!(none(fleet), "{:?}", fleet.away());
}

#[test]
fn all_nodes_return_at_once_and_with_empty_windows() {
    let mut fleet = Fleet::new(10, |_| Setup::default());
    fleet.run(3_000);
    round(&mut fleet);
    assert_eq!(fleet.trips(), [1; 10]);
    let (tripped, back) = (fleet.last(true), fleet.last(false));
    assert!(spread(&back) <= TOGETHER, "{back:?}");
    let stay = back[0] - tripped.iter().min().unwrap();
    // The first trip may be a node's own, up to a beat before the fleet's.
    assert!((STAY..=STAY + BEAT + 5).contains(&stay), "{stay}");
    // Still failing: they leave again only by failures after the return.
    let mut fleet = Fleet::new(10, |_| Setup::default());
    fleet.outage(true);
    fleet.run(STAY + 10_000);
    assert_eq!(fleet.trips(), [2; 10]);
    assert!(fleet.epochs().iter().all(|epoch| *epoch == 2), "{:?}", fleet.epochs());
}

#[test]
fn the_return_is_by_the_first_deadline_where_nodes_have_other_intervals() {
    let mut fleet =
        Fleet::new(6, |at| Setup { revert_after: STAY + at * 1_000, ..Setup::default() });
    round(&mut fleet);
    assert!(spread(&fleet.last(false)) <= TOGETHER, "{:?}", fleet.last(false));
}

#[test]
fn a_loss_of_a_third_and_late_and_repeated_frames_change_little() {
    let conditions = Conditions {
        loss: Some(Ratio::percent(30)),
        duplication: Some(Ratio::percent(20)),
        delay: millis(1)..=millis(150),
    };
    let mut fleet = Fleet::on(conditions, 12, |_| Setup { every: 400_000, ..Setup::default() });
    fleet.run(10_000);
    round(&mut fleet);
    assert_eq!(fleet.trips(), [1; 12]);
    assert!(spread(&fleet.last(true)) <= 3 * BEAT, "{:?}", fleet.last(true));
    assert!(spread(&fleet.last(false)) <= BEAT, "{:?}", fleet.last(false));
}

#[test]
fn frames_that_come_a_second_late_never_trip_the_fleet_again() {
    // Not shorter than a frame takes to come: such an epoch is over before others hear of it.
    for stay in [1_500, 3_000, STAY] {
        let delay = millis(1_000)..=millis(1_000);
        let conditions = Conditions { delay, ..Conditions::default() };
        let setup = |_| Setup { every: 200_000, revert_after: stay, ..Setup::default() };
        let mut fleet = Fleet::on(conditions, 10, setup);
        fleet.run(5_000);
        fleet.outage(true);
        // Until the first have tripped.
        while none(&fleet) {
            fleet.run(10);
        }
        fleet.outage(false);
        fleet.run(stay + 30_000);
        assert!(none(&fleet), "{:?}", fleet.away());
        let trips = fleet.trips();
        assert!(trips.iter().all(|trips| *trips <= 1), "{stay}: {trips:?}");
    }
}

/// Twenty nodes stay for that many milliseconds, on clocks with ticks of that many microseconds; no deadline
/// comes earlier.
fn stay_whole(stay: u64, tick: u64) {
    let setup =
        |_| Setup { revert_after: stay, every: 500_000, tick: tick.max(1), ..Setup::default() };
    let mut fleet = Fleet::new(20, setup);
    fleet.outage(true);
    fleet.run(3_000);
    assert!(all(&fleet));
    fleet.outage(false);
    fleet.run(stay);
    assert!(none(&fleet));
    let (tripped, back) = (fleet.last(true), fleet.last(false));
    // The epoch's own beginning, and a node's own clock to the millisecond and to its tick.
    let (first, ticks) = (tripped.iter().min().unwrap(), tick / 1_000);
    assert!(back.iter().all(|back| back - first + 2 + ticks >= stay), "{first} {back:?}");
    assert!(spread(&back) <= TOGETHER + ticks, "{back:?}");
}

#[test]
fn deadlines_do_not_creep_forward_by_rounding() {
    stay_whole(600_000, 0);
}

/// Each node's coarse clock ticks at another moment.
#[test]
fn deadlines_do_not_creep_forward_by_the_ticks_of_coarse_clocks() {
    stay_whole(300_000, 10_000);
}

#[test]
fn clocks_that_drift_follow_the_fastest() {
    for ppm in [100, 10_000] {
        let drift = |at: u64| Setup {
            ppm: [-ppm, 0, ppm][usize::try_from(at % 3).unwrap()],
            ..Setup::default()
        };
        let mut fleet = Fleet::new(9, drift);
        round(&mut fleet);
        assert_eq!(fleet.trips(), [1; 9]);
        assert!(spread(&fleet.last(false)) <= TOGETHER, "{ppm}: {:?}", fleet.last(false));
    }
}

#[test]
fn an_operators_revert_on_one_node_is_that_nodes_alone() {
    let mut fleet = Fleet::new(5, |_| Setup::default());
    fleet.outage(true);
    fleet.run(6_000);
    fleet.outage(false);
    fleet.members[1].local.revert();
    fleet.run(5_000);
    assert_eq!(fleet.away(), [true, false, true, true, true]);
    assert_eq!(fleet.epochs(), [1; 5]);
    fleet.run(STAY);
    assert!(none(&fleet));
    assert_eq!(fleet.trips(), [1; 5]);
}

#[test]
fn a_partition_that_heals_ends_on_one_route() {
    // Three see the outage, and two are cut off with few calls.
    let setup =
        |at: u64| Setup { every: if at < 3 { 100_000 } else { 3_000_000 }, ..Setup::default() };
    let mut fleet = Fleet::new(5, setup);
    fleet.run(2_000);
    fleet.partition(&[3, 4]);
    fleet.run(2_000);
    fleet.outage(true);
    fleet.run(5_000);
    assert_eq!(fleet.away(), [true, true, true, false, false]);
    fleet.network.heal();
    fleet.run(2 * BEAT);
    assert!(all(&fleet), "{:?}", fleet.away());
    all_return_together(&mut fleet);
}

#[test]
fn sides_that_tripped_apart_return_apart_at_the_latest_after_one_stay() {
    let mut fleet = Fleet::new(6, |_| Setup::default());
    fleet.partition(&[3, 4, 5]);
    (0..3).for_each(|at| fleet.members[at].fails = true);
    fleet.run(10_000);
    fleet.outage(true);
    fleet.run(6_000);
    assert!(all(&fleet));
    fleet.outage(false);
    fleet.network.heal();
    fleet.run(STAY);
    assert!(none(&fleet), "{:?}", fleet.away());
    assert_eq!(fleet.trips(), [1; 6]);
}

#[test]
fn a_node_that_trips_again_at_once_after_the_return_leaves_the_epoch() {
    let mut fleet = Fleet::new(3, |_| Setup { every: 1_000, ..Setup::default() });
    fleet.outage(true);
    fleet.run(1_000);
    assert!(all(&fleet));
    fleet.outage(false);
    fleet.members[0].fails = true;
    fleet.run(STAY + 2_000);
    // It has tripped within a beat of its return, and by itself.
    assert_eq!(fleet.away(), [true, false, false]);
    assert_eq!(fleet.members[0].node.stay(), None);
    assert_eq!(fleet.epochs(), [1; 3]);
}
