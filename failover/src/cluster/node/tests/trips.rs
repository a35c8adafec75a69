//! Who trips, and who does not.

use super::*;

/// Half a call a second: none reaches the minimum by itself within its window.
fn quiet(_: u64) -> Setup {
    Setup { every: 2_000_000, ..Setup::default() }
}

#[test]
fn many_quiet_nodes_trip_together() {
    let mut fleet = Fleet::new(20, quiet);
    fleet.run(30_000);
    assert!(none(&fleet));
    fleet.outage(true);
    fleet.run(8_000);
    assert!(all(&fleet), "{:?}", fleet.away());
    let tripped = fleet.last(true);
    assert!(spread(&tripped) < 20, "{tripped:?}");
    assert!(tripped[0] < 37_000, "{tripped:?}");
    assert_eq!(fleet.epochs(), [1; 20]);
}

#[test]
fn one_node_alone_does_not_trip_the_others() {
    // However many calls it has.
    for every in [1_000, 100_000, 2_000_000] {
        let mut fleet =
            Fleet::new(10, |at| Setup { every: if at == 3 { every } else { 50_000 }, ..quiet(at) });
        fleet.run(5_000);
        fleet.members[3].fails = true;
        fleet.run(60_000);
        let trips = fleet.trips();
        assert_eq!(trips.iter().sum::<usize>(), trips[3], "{every}: {trips:?}");
        assert_eq!(fleet.epochs(), [0; 10]);
    }
}

#[test]
fn a_bad_zone_does_not_trip_the_others_if_a_zone_is_a_domain() {
    let zones = ["zone=a", "zone=b", "zone=c"];
    let setup = |at: u64| Setup {
        labels: zones[usize::try_from(at % 3).unwrap()],
        domain: Some("zone"),
        ..Setup::default()
    };
    let mut fleet = Fleet::new(9, setup);
    fleet.run(5_000);
    for at in [0, 3, 6] {
        fleet.members[at].fails = true;
    }
    fleet.run(15_000);
    let away: Vec<_> = (0..9).map(|at| at % 3 == 0).collect();
    assert_eq!(fleet.away(), away);
}

#[test]
fn a_bad_version_leaves_alone_and_comes_back_together() {
    let setup = |at: u64| Setup {
        labels: if at < 3 { "version=2" } else { "version=1" },
        every: 1_100_000,
        ..quiet(at)
    };
    let mut fleet = Fleet::new(30, |at| Setup { every: 3_000_000, ..setup(at) });
    fleet.run(12_000);
    (0..3).for_each(|at| fleet.members[at].fails = true);
    fleet.run(15_000);
    // Two of them have fewer calls than the minimum, and the third does not count.
    assert!(none(&fleet));
    let mut fleet = Fleet::new(30, setup);
    fleet.run(12_000);
    (0..3).for_each(|at| fleet.members[at].fails = true);
    fleet.run(10_000);
    assert_eq!(fleet.away(), (0..30).map(|at| at < 3).collect::<Vec<_>>());
    let Change::Enter { scope, .. } = &fleet.members[0].entered[0] else { panic!("not entered") };
    assert_eq!(scope.to_string(), "version=2");
    (0..3).for_each(|at| fleet.members[at].fails = false);
    fleet.run(STAY);
    assert!(none(&fleet));
    let back = fleet.last(false);
    assert!(spread(&back[..3]) <= TOGETHER, "{back:?}");
}

#[test]
fn a_joiner_follows_the_fleet_by_its_next_beat() {
    let mut fleet = Fleet::new(3, |_| Setup::default());
    fleet.outage(true);
    fleet.run(5_000);
    assert!(all(&fleet));
    // It has no calls, and so no view of its own.
    fleet.join(9, Setup { every: 0, ..Setup::default() });
    fleet.run(2 * BEAT);
    assert!(all(&fleet), "{:?}", fleet.away());
    all_return_together(&mut fleet);
}

#[test]
fn what_suspects_say_weighs_nothing_unless_most_are_suspects() {
    let mut fleet = Fleet::new(5, |_| Setup::default());
    fleet.run(2_000);
    for at in [0, 1] {
        fleet.members[at].fails = true;
        fleet.members[at].suspicion = Some(Suspicion::Reported);
    }
    fleet.run(10_000);
    assert_eq!(fleet.away(), [true, true, false, false, false]);
    assert_eq!(fleet.epochs(), [0; 5]);
    // Their fallbacks fail too, and those of three.
    let mut fleet = Fleet::new(5, quiet);
    fleet.run(20_000);
    fleet.outage(true);
    (0..3).for_each(|at| fleet.members[at].suspicion = Some(Suspicion::Reported));
    fleet.run(10_000);
    assert!(all(&fleet), "{:?}", fleet.away());
}

#[test]
fn nodes_of_which_an_operator_forced_one_leave_without_it() {
    let mut fleet = Fleet::new(4, |_| Setup::default());
    fleet.run(1_000);
    fleet.members[2].local.command(&Command::Force { route: Route::Primary, lasts: None }, 0);
    fleet.outage(true);
    fleet.run(5_000);
    assert_eq!(fleet.away(), [true, true, false, true]);
    fleet.outage(false);
    fleet.run(STAY);
    assert!(none(&fleet));
    fleet.members[2].local.command(&Command::Release, fleet.now);
    fleet.run(1_000);
    assert!(none(&fleet));
}

#[test]
fn an_order_reaches_all_nodes_and_those_that_join_later() {
    let mut fleet = Fleet::new(6, |_| Setup::default());
    fleet.run(1_000);
    fleet.order(4, Command::Force { route: Route::Fallback, lasts: None });
    fleet.run(2 * BEAT);
    assert!(all(&fleet));
    fleet.join(30, Setup::default());
    fleet.run(3 * BEAT);
    assert!(all(&fleet));
    fleet.order(1, Command::Release);
    fleet.run(2 * BEAT + 10);
    assert!(none(&fleet), "{:?}", fleet.away());
}

#[test]
fn a_storm_of_restarts_neither_trips_nor_hides_an_outage() {
    let mut fleet = Fleet::new(10, |_| Setup { every: 500_000, ..Setup::default() });
    for round in 0..40 {
        fleet.restart(round % 10);
        fleet.run(500);
    }
    assert_eq!(fleet.trips(), [0; 10]);
    fleet.outage(true);
    for round in 0..10 {
        fleet.restart(round);
        fleet.run(1_000);
    }
    fleet.run(2 * BEAT);
    assert!(all(&fleet), "{:?}", fleet.away());
}

#[test]
fn a_sick_observer_goes_alone_and_leaves_no_short_epoch_to_the_others() {
    let mut fleet = Fleet::new(6, |_| Setup::default());
    fleet.run(2_000);
    // It hears what nobody said.
    for at in [1, 2, 3] {
        let Message::Frame(frame) = fleet.members[at].beat(fleet.now).remove(0) else { panic!() };
        let bad = vec![crate::cluster::wire::Bucket { age: 0, calls: 100, failures: 100 }];
        let sequence = frame.sequence + 1;
        fleet.members[0]
            .receive(Message::Frame(Frame { sequence, buckets: bad, ..frame }), fleet.now);
    }
    fleet.run(BEAT);
    assert_eq!(fleet.away(), [true, false, false, false, false, false]);
    fleet.run(STAY - 2_000);
    assert_eq!(fleet.trips(), [1, 0, 0, 0, 0, 0]);
    // Its epoch has a second to go when there is an outage.
    fleet.outage(true);
    fleet.run(1_000);
    fleet.run(STAY - 3_000);
    assert_eq!(fleet.trips(), [2, 1, 1, 1, 1, 1]);
}
