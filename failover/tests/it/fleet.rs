//! Nodes that fail over as one, on a manual clock and a network that delivers at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::clock::ManualClock;
use failover::cluster::bus::Port;
use failover::cluster::{Cluster, ClusterBuilder, ClusterError, Command, Secret, Suspicion, View};
use failover::event::{Cause, Condition};
use failover::policy::{Backoff, Probing};
use failover::{Event, Monitor, Outcome, Policy, Route, State};

const BEAT: Duration = Duration::from_millis(200);

struct Node {
    monitor: Monitor<ManualClock>,
    cluster: Cluster,
    port: Port,
    events: Arc<Mutex<Vec<Event>>>,
}

struct Fleet {
    clock: ManualClock,
    nodes: Vec<Node>,
}

impl Fleet {
    fn new(nodes: usize, policy: &Policy) -> Self {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(12_345));
        let mut fleet = Self { clock, nodes: Vec::new() };
        for _ in 0..nodes {
            fleet.add(policy, Cluster::builder("test"));
        }
        fleet
    }

    fn add(&mut self, policy: &Policy, builder: ClusterBuilder) {
        let monitor = Monitor::with_clock(policy.clone(), self.clock.clone()).named("valuations");
        let cluster = builder.build_on(self.clock.clone()).unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
        cluster.join(&monitor.handle()).unwrap();
        let port = cluster.port();
        self.nodes.push(Node { monitor, cluster, port, events });
    }

    /// A beat of every node, whose messages arrive at once.
    fn beat(&self) {
        for node in &self.nodes {
            node.cluster.beat();
            self.carry(&node.port);
        }
        self.clock.advance(BEAT);
    }

    fn beats(&self, beats: u32) {
        (0..beats).for_each(|_| self.beat());
    }

    fn carry(&self, port: &Port) {
        while let Some(message) = port.try_next() {
            self.nodes.iter().for_each(|node| node.port.deliver(&message));
        }
    }

    fn call(&self, node: usize, outcome: Outcome) {
        if let Some(ticket) = self.nodes[node].monitor.admit().ticket() {
            self.nodes[node].monitor.record(ticket, outcome);
        }
    }

    fn routes(&self) -> Vec<Route> {
        self.nodes.iter().map(|node| node.monitor.route()).collect()
    }

    fn view(&self, node: usize) -> View {
        self.nodes[node].cluster.view()
    }
}

#[test]
fn nodes_that_would_not_trip_alone_trip_together_and_return_together() {
    let fleet = Fleet::new(3, &Policy::default());
    fleet.beats(2);
    for node in 0..3 {
        // Ten is the minimum.
        (0..6).for_each(|_| fleet.call(node, Outcome::Failure));
    }
    assert_eq!(fleet.routes(), [Route::Primary; 3]);
    fleet.beat();
    assert_eq!(fleet.routes(), [Route::Fallback; 3]);
    for node in &fleet.nodes {
        let events = node.events.lock().unwrap();
        let [Event { cause: Cause::Tripped { condition, .. }, scope, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((condition, scope), (&Condition::FleetFailureRate, &None));
    }
    fleet.beat();
    let view = fleet.view(0);
    let valuations = &view.failovers[0];
    assert_eq!((valuations.nodes.len(), valuations.epoch, valuations.vouchers), (3, 1, 2));
    assert_eq!(valuations.tally.failures, 18);
    let lefts: Vec<_> =
        fleet.nodes.iter().map(|n| n.monitor.handle().snapshot().reverts_in.unwrap()).collect();
    let spread = lefts.iter().max().unwrap().abs_diff(*lefts.iter().min().unwrap());
    assert!(spread < Duration::from_millis(5), "{lefts:?}");
    fleet.clock.advance(lefts[0] - BEAT);
    fleet.beats(2);
    assert_eq!(fleet.routes(), [Route::Primary; 3]);
    // The evidence of that outage trips nobody again.
    fleet.beats(20);
    assert_eq!(fleet.routes(), [Route::Primary; 3]);
    assert_eq!(fleet.view(1).failovers[0].tally.calls(), 0);
}

#[test]
fn one_bad_node_leaves_alone() {
    let fleet = Fleet::new(3, &Policy::default());
    for _ in 0..20 {
        fleet.call(0, Outcome::Failure);
        fleet.call(1, Outcome::Success);
        fleet.call(2, Outcome::Success);
    }
    fleet.beats(10);
    assert_eq!(fleet.routes(), [Route::Fallback, Route::Primary, Route::Primary]);
    assert_eq!(fleet.view(1).failovers[0].nodes.len(), 3);
}

#[test]
fn a_bad_zone_leaves_alone_and_the_event_names_it() {
    let mut fleet = Fleet::new(0, &Policy::default());
    for zone in ["zone=a", "zone=a", "zone=a", "zone=b", "zone=b", "zone=c"] {
        let builder = Cluster::builder("test").label(zone.parse().unwrap()).domain("zone");
        fleet.add(&Policy::default(), builder);
    }
    fleet.beats(2);
    for node in 0..6 {
        let outcome = if node < 3 { Outcome::Failure } else { Outcome::Success };
        (0..8).for_each(|_| fleet.call(node, outcome));
    }
    fleet.beats(3);
    assert_eq!(fleet.routes()[..3], [Route::Fallback; 3]);
    assert_eq!(fleet.routes()[3..], [Route::Primary; 3]);
    let events = fleet.nodes[1].events.lock().unwrap();
    assert_eq!(events[0].scope.as_deref(), Some("zone=a"));
}

#[test]
fn a_node_that_starts_during_an_outage_follows_and_one_that_leaves_is_forgotten() {
    let mut fleet = Fleet::new(3, &Policy::default());
    fleet.beats(2);
    for node in 0..3 {
        (0..6).for_each(|_| fleet.call(node, Outcome::Failure));
    }
    fleet.beats(3);
    fleet.add(&Policy::default(), Cluster::builder("test"));
    fleet.beats(2);
    assert_eq!(fleet.routes(), [Route::Fallback; 4]);
    let left = |node: usize| fleet.nodes[node].monitor.handle().snapshot().reverts_in.unwrap();
    assert!(left(3).abs_diff(left(0)) < Duration::from_millis(5));
    fleet.nodes.pop();
    fleet.beats(7);
    assert_eq!(fleet.view(0).failovers[0].nodes.len(), 3);
}

#[test]
fn some_nodes_probe_for_the_others() {
    let policy = Policy::builder().probing(Probing::new(1).successes(1)).build().unwrap();
    let fleet = Fleet::new(6, &policy);
    fleet.beats(2);
    for node in 0..6 {
        (0..4).for_each(|_| fleet.call(node, Outcome::Failure));
    }
    fleet.beats(2);
    assert_eq!(fleet.routes(), [Route::Fallback; 6]);
    // 300 s, less what has passed.
    fleet.beats(1_500);
    let states = || -> Vec<State> {
        fleet.nodes.iter().map(|node| node.monitor.handle().snapshot().state).collect()
    };
    let probing = |states: &[State]| -> Vec<usize> {
        (0..6).filter(|node| states[*node] == State::Probing).collect()
    };
    let probers = probing(&states());
    assert_eq!(probers.len(), 3, "{:?}", states());
    for &prober in &probers {
        fleet.call(prober, Outcome::Failure);
    }
    fleet.beats(2);
    assert_eq!(states(), [State::Fallback; 6], "they stay, since all probes failed");
    assert_eq!(fleet.view(0).failovers[0].epoch, 2);
    fleet.beats(1_505);
    let probers = probing(&states());
    assert_eq!(probers.len(), 3, "{:?}", states());
    fleet.call(probers[1], Outcome::Success);
    fleet.beats(2);
    assert_eq!(fleet.routes(), [Route::Primary; 6]);
}

#[test]
fn an_order_reaches_all_nodes_and_those_that_start_later_and_ends_everywhere() {
    let mut fleet = Fleet::new(3, &Policy::default());
    fleet.beats(2);
    let lasts = Some(Duration::from_secs(10));
    let force = Command::Force { route: Route::Fallback, lasts };
    fleet.nodes[1].cluster.order("valuations", force, "10.0.0.1", "maintenance").unwrap();
    fleet.beat();
    assert_eq!(fleet.routes(), [Route::Fallback; 3]);
    fleet.add(&Policy::default(), Cluster::builder("test"));
    fleet.beats(2);
    assert_eq!(fleet.routes(), [Route::Fallback; 4]);
    let order = &fleet.view(3).failovers[0].orders[0];
    assert_eq!((&*order.by, &*order.reason), ("10.0.0.1", "maintenance"));
    assert_eq!(order.age, BEAT * 3);
    fleet.beats(48);
    assert_eq!(fleet.routes(), [Route::Primary; 4]);

    let errors = [
        fleet.nodes[0].cluster.order("other", Command::Release, "", ""),
        fleet.nodes[0].cluster.order("valuations", Command::Release, "", &"x".repeat(121)),
    ];
    let longest = 120;
    assert_eq!(
        errors.map(Result::unwrap_err),
        [ClusterError::Unknown("other".into()), ClusterError::TooLong { text: "reason", longest }]
    );
}

#[test]
fn a_node_that_was_suspended_doubts_its_evidence_and_says_so() {
    let fleet = Fleet::new(3, &Policy::default());
    fleet.beats(2);
    fleet.clock.advance(BEAT * 3);
    fleet.beat();
    let suspicion = |node: usize| fleet.view(node).failovers[0].nodes[0].suspicion;
    assert_eq!(suspicion(0), Some(Suspicion::LateBeats));
    fleet.beats(6);
    assert_eq!(suspicion(0), None);
    fleet.nodes[0].cluster.suspect_itself(true);
    fleet.beat();
    let seen = fleet.view(1).failovers[0].nodes.iter().filter(|n| n.suspicion.is_some()).count();
    assert_eq!((suspicion(0), seen), (Some(Suspicion::Reported), 1));
}

#[test]
fn hostile_messages_change_nothing_and_are_counted() {
    let mut fleet = Fleet::new(0, &Policy::default());
    let secret = || Secret::new(b"sixteen bytes, or more").unwrap();
    for _ in 0..2 {
        fleet.add(&Policy::default(), Cluster::builder("test").secret(secret()));
    }
    fleet.beats(2);
    let before = fleet.view(0);
    fleet.nodes[1].cluster.beat();
    let sound = fleet.nodes[1].port.try_next().unwrap();
    let port = &fleet.nodes[0].port;
    port.deliver(&sound);
    for _ in 0..3 {
        port.deliver(&sound);
    }
    let mut forged = sound.clone();
    forged[12] ^= 1;
    port.deliver(&forged);
    port.deliver(&[&[9], &sound[1..]].concat());
    port.deliver(&[1; 1_025]);
    port.deliver(&[]);
    port.deliver(&sound[..sound.len() - 1]);
    let stranger = Cluster::builder("test").build_on(fleet.clock.clone()).unwrap();
    stranger.join(&fleet.nodes[1].monitor.handle()).unwrap();
    let outlet = stranger.port();
    stranger.beat();
    port.deliver(&outlet.try_next().unwrap());
    let after = fleet.view(0);
    let grown = |what| {
        let count = |view: &View| view.messages.get(what).copied().unwrap_or(0);
        count(&after) - count(&before)
    };
    assert_eq!(
        ["merged", "stale", "tag", "version", "too_long"].map(grown),
        [1, 3, 4, 1, 1],
        "{:?}",
        after.messages
    );
    assert_eq!(after.failovers[0].nodes.len(), 2);
    assert_eq!(fleet.routes(), [Route::Primary; 2]);
}

#[test]
fn what_is_wrong_with_a_cluster_is_said() {
    let label = |text: &str| text.parse().unwrap();
    let build = |builder: ClusterBuilder| builder.build().unwrap_err().to_string();
    let many = (0..9).fold(Cluster::builder("x"), |b, at| b.label(label(&format!("k{at}=v"))));
    let texts = [
        build(Cluster::builder("Ä")),
        build(Cluster::builder("x").label(label("a=1")).label(label("a=2"))),
        build(many),
        build(Cluster::builder("x").beat(Duration::from_millis(1))),
    ];
    for (text, part) in texts.iter().zip(["a to z", "two labels a", "8", "20 ms to 10 s"]) {
        assert!(text.contains(part), "{text}");
    }
    let cluster = Cluster::builder("x").build().unwrap();
    let monitor = Monitor::new(Policy::default());
    assert!(cluster.join(&monitor.handle()).unwrap_err().to_string().contains("needs a name"));
    let monitor = monitor.named("m");
    cluster.join(&monitor.handle()).unwrap();
    assert!(cluster.join(&monitor.handle()).unwrap_err().to_string().contains("already"));
}

#[test]
fn a_bus_that_is_lost_is_seen() {
    let fleet = Fleet::new(1, &Policy::default());
    let deliver = Cluster::port(&fleet.nodes[0].cluster);
    assert!(!fleet.view(0).bus.is_up);
    deliver.up();
    deliver.down("connection refused");
    deliver.lagged(7);
    fleet.clock.advance(BEAT);
    let bus = fleet.view(0).bus;
    assert_eq!(
        (bus.is_up, &*bus.reason, bus.losses, bus.lagged),
        (false, "connection refused", 1, 7)
    );
    assert_eq!(bus.since, BEAT);
}

#[cfg(feature = "prometheus")]
#[test]
fn a_node_exports_what_it_knows_of_the_fleet() {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    let fleet = Fleet::new(3, &Policy::default());
    fleet.nodes[0].port.up();
    fleet.beats(2);
    fleet.nodes[1].monitor.handle().force(Route::Fallback);
    fleet.call(0, Outcome::Failure);
    fleet.nodes[0].port.deliver(b"x");
    fleet.beats(1);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(fleet.nodes[0].cluster.clone()));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    for line in [
        r#"failover_cluster_up{cluster="test"} 1"#,
        r#"failover_cluster_bus_losses_total{cluster="test"} 0"#,
        r#"failover_cluster_messages_total{cluster="test",result="version"} 1"#,
        r#"failover_cluster_messages_total{cluster="test",result="tag"} 0"#,
        r#"failover_cluster_nodes{name="valuations",route="primary"} 2"#,
        r#"failover_cluster_nodes{name="valuations",route="fallback"} 1"#,
        r#"failover_cluster_epoch{name="valuations"} 0"#,
        r#"failover_cluster_window_calls{name="valuations",outcome="failure"} 1"#,
        r#"failover_cluster_oldest_news_seconds{name="valuations"} 0.2"#,
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line}\n{page}");
    }
}

/// A node's clock counts ages; a failover's own decides how long it stays.
#[test]
fn a_failover_on_another_clock_than_its_node_keeps_its_backoff() {
    let (own, of_nodes) = (ManualClock::new(), ManualClock::new());
    of_nodes.advance(Duration::from_secs(1_000_000));
    let pass = |time| {
        own.advance(time);
        of_nodes.advance(time);
    };
    let policy = Policy::builder().backoff(Backoff::new(2)).build().unwrap();
    let nodes = [(); 3].map(|()| {
        let monitor = Monitor::with_clock(policy.clone(), own.clone()).named("valuations");
        let cluster = Cluster::builder("test").build_on(of_nodes.clone()).unwrap();
        cluster.join(&monitor.handle()).unwrap();
        let port = cluster.port();
        (monitor, cluster, port)
    });
    let beat = || {
        for (_, cluster, port) in &nodes {
            cluster.beat();
            while let Some(message) = port.try_next() {
                nodes.iter().for_each(|(.., port)| {
                    port.deliver(&message);
                });
            }
        }
        pass(Duration::from_millis(200));
    };
    let mut stays = Vec::new();
    for _ in 0..3 {
        (0..5).for_each(|_| beat());
        for (monitor, ..) in &nodes {
            for ticket in (0..6).filter_map(|_| monitor.admit().ticket()) {
                monitor.record(ticket, Outcome::Failure);
            }
        }
        beat();
        let left = nodes[0].0.handle().snapshot().reverts_in.unwrap();
        stays.push(left.as_secs().next_multiple_of(100));
        pass(left);
        nodes.iter().for_each(|(monitor, ..)| drop(monitor.admit()));
    }
    assert_eq!(stays, [300, 600, 1_200]);
}
