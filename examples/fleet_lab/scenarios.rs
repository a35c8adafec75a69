//! What happens to the fleets, and the table of the results.

use std::time::Duration;

use failover::Ratio;
use failover::cluster::bus::Conditions;

use crate::fleet::{Fleet, Micros, SECOND, Setup};

const SEEDS: u64 = 5;

/// The result of one run.
#[derive(Clone, Copy, Default)]
struct Run {
    /// Since the beginning of the outage, until the first and the last of the nodes that are to leave.
    first: Option<Micros>,
    last: Option<Micros>,
    /// Between the first and the last return.
    back: Option<Micros>,
    /// The nodes that left, and are not among those that were to leave.
    false_trips: usize,
    /// Per node and second.
    messages: u64,
    bytes: u64,
    /// Over the bus per second.
    deliveries: u64,
}

/// Nodes of half a call a second: none reaches the minimum by itself.
pub(crate) fn quiet(nodes: usize) -> Setup {
    Setup {
        nodes,
        every: 2 * SECOND,
        window: Duration::from_secs(10),
        revert_after: Duration::from_secs(20),
        label: None,
        domain: None,
        conditions: Conditions {
            delay: Duration::from_micros(500)..=Duration::from_millis(3),
            ..Conditions::default()
        },
        publish_after: 0,
        drift: |_| 0,
    }
}

fn busy(nodes: usize) -> Setup {
    Setup { every: SECOND / 10, ..quiet(nodes) }
}

fn zone(number: usize) -> String {
    format!("zone={}", ["a", "b", "c"][number % 3])
}

fn version(number: usize) -> String {
    format!("version={}", if is_new(number) { 2 } else { 1 })
}

/// An outage for some nodes after the window has filled; `leave`: those that should go to the fallback.
fn outage(
    setup: &Setup,
    seed: u64,
    fails: impl Fn(usize) -> bool,
    leave: impl Fn(usize) -> bool,
) -> Run {
    let mut fleet = Fleet::new(setup.clone(), seed);
    // The outage begins anywhere in a beat.
    fleet.run(warm(setup) + seed * 37_000 % (SECOND / 5));
    let began = fleet.now;
    let (messages, bytes, deliveries) = (fleet.messages, fleet.bytes, fleet.deliveries);
    fleet.outage(true, &fails);
    // In steps, until those that should have left have.
    let wait = warm(setup) * 3 / 2;
    while fleet.now < began + wait {
        fleet.run(SECOND / 5);
        if fleet.nodes.iter().enumerate().all(|(at, node)| !leave(at) || node.is_away()) {
            break;
        }
    }
    let passed = (fleet.now - began).max(1);
    let rate = |before: u64, after: u64| (after - before) * SECOND / passed;
    let nodes = fleet.nodes.len() as u64;
    let run = Run {
        messages: rate(messages, fleet.messages) / nodes,
        bytes: rate(bytes, fleet.bytes) / nodes,
        deliveries: rate(deliveries, fleet.deliveries),
        ..Run::default()
    };
    finish(fleet, setup, began, leave, run)
}

/// Reads the times of a run, and ends its outage.
fn finish(
    mut fleet: Fleet,
    setup: &Setup,
    began: Micros,
    leave: impl Fn(usize) -> bool,
    run: Run,
) -> Run {
    let times = |fleet: &Fleet, away, after| -> Option<(Micros, Micros)> {
        let numbered = fleet.nodes.iter().enumerate().filter(|(at, _)| leave(*at));
        let times: Option<Vec<_>> = numbered.map(|(_, node)| node.first(away, after)).collect();
        let times = times?;
        Some((*times.iter().min()?, *times.iter().max()?))
    };
    let left = times(&fleet, true, began);
    let strangers = fleet.nodes.iter().enumerate().filter(|(at, _)| !leave(*at));
    let false_trips = strangers.filter(|(_, node)| node.first(true, 0).is_some()).count();
    let mut back = None;
    // The return of big fleets is that of small ones, and takes the simulation minutes.
    if let Some((_, last)) = left.filter(|_| setup.publish_after == 0) {
        fleet.outage(false, |_| true);
        fleet.run(u64::try_from(setup.revert_after.as_micros()).unwrap_or(0) + 2 * SECOND);
        back = times(&fleet, false, last).map(|(first, last)| last - first);
    }
    let since = |at: Micros| at - began;
    Run {
        first: left.map(|(first, _)| since(first)),
        last: left.map(|(_, last)| since(last)),
        back,
        false_trips,
        ..run
    }
}

fn warm(setup: &Setup) -> Micros {
    u64::try_from(setup.window.as_micros()).unwrap_or(0)
}

/// Two nodes of five hear the others again only after these have left.
fn healed(setup: &Setup, seed: u64) -> Run {
    let mut fleet = Fleet::new(setup.clone(), seed);
    fleet.run(warm(setup));
    fleet.partition(|number| number % 5 < 2);
    let began = fleet.now;
    // The others alone see the outage, until the network heals.
    fleet.outage(true, |number| number % 5 >= 2);
    fleet.run(warm(setup));
    let healed = fleet.now;
    fleet.network.heal();
    fleet.run(2 * SECOND);
    let cut: Vec<_> = fleet.nodes.iter().enumerate().filter(|(at, _)| at % 5 < 2).collect();
    let early = cut.iter().filter(|(_, node)| node.first(true, 0).is_some_and(|at| at < healed));
    let run = Run { false_trips: early.count(), ..Run::default() };
    let followed = finish(fleet, setup, began, |number| number % 5 < 2, Run::default());
    let since = |time: Option<Micros>| time.map(|time| time + began - healed);
    Run { first: since(followed.first), last: since(followed.last), back: followed.back, ..run }
}

/// A node restarts every quarter of a second, before and in the outage.
fn storm(setup: &Setup, seed: u64) -> Run {
    let mut fleet = Fleet::new(setup.clone(), seed);
    let mut number = 0;
    let mut restart = |fleet: &mut Fleet| {
        fleet.run(SECOND / 4);
        fleet.restart(number % setup.nodes);
        number += 1;
    };
    while fleet.now < 120 * SECOND {
        restart(&mut fleet);
    }
    let began = fleet.now;
    let early = fleet.nodes.iter().filter(|node| node.first(true, 0).is_some()).count();
    fleet.outage(true, |_| true);
    while fleet.now < began + 10 * SECOND {
        restart(&mut fleet);
    }
    fleet.run(SECOND);
    let run = finish(fleet, setup, began, |_| true, Run::default());
    // Those that restarted in between were back for a moment: no return of the fleet.
    Run { false_trips: early, back: None, ..run }
}

/// The median of what all runs have, in milliseconds.
fn median(runs: &[Run], time: impl Fn(&Run) -> Option<Micros>) -> String {
    let times: Option<Vec<_>> = runs.iter().map(time).collect();
    let Some(mut times) = times.filter(|times| !times.is_empty()) else { return "–".to_owned() };
    times.sort_unstable();
    format!("{}", times[times.len() / 2].div_ceil(1_000))
}

fn row(name: &str, seeds: u64, play: impl Fn(u64) -> Run) {
    let runs: Vec<_> = (1..=seeds).map(play).collect();
    let spread = |run: &Run| Some(run.last? - run.first?);
    let traffic = |of: fn(&Run) -> u64| match of(&runs[0]) {
        0 => "–".to_owned(),
        number => number.to_string(),
    };
    println!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} |",
        median(&runs, |run| run.last),
        median(&runs, spread),
        median(&runs, |run| run.back),
        runs.iter().map(|run| run.false_trips).sum::<usize>(),
        traffic(|run| run.messages),
        traffic(|run| run.bytes),
        traffic(|run| run.deliveries),
    );
}

/// `is_large`: also one that takes the simulation minutes.
pub(crate) fn print(is_large: bool) {
    println!("# A fleet in the laboratory\n");
    println!(
        "By `cargo run --release -p examples --example fleet_lab`; the README says what each row means.\n"
    );
    println!(
        "| fleet | all away, ms | spread, ms | spread of the return, ms | false trips | messages/s of a node | bytes/s of a node | deliveries/s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let all = |_| true;
    let none = |_| false;
    row("3 busy nodes", SEEDS, |seed| outage(&busy(3), seed, all, all));
    row("20 quiet nodes", SEEDS, |seed| outage(&quiet(20), seed, all, all));
    row("one bad node of 10", SEEDS, |seed| outage(&busy(10), seed, |at| at == 4, |at| at == 4));
    row("one bad quiet node of 20", SEEDS, |seed| outage(&quiet(20), seed, |at| at == 4, none));
    let zones = Setup { label: Some(zone), domain: Some("zone"), ..busy(30) };
    row("bad zone of 3, a zone is a domain", 5, |seed| outage(&zones, seed, in_zone, in_zone));
    let zones = Setup { label: Some(zone), ..quiet(30) };
    row("bad zone of 3, quiet", 5, |seed| outage(&zones, seed, in_zone, in_zone));
    let versions = Setup { label: Some(version), ..quiet(100) };
    row("bad version on a tenth of 100", 1, |seed| outage(&versions, seed, is_new, is_new));

    let with = |conditions| Setup { conditions, ..quiet(20) };
    let loss = with(Conditions { loss: Some(Ratio::percent(30)), ..quiet(1).conditions });
    row("20 quiet, 30 % loss", SEEDS, |seed| outage(&loss, seed, all, all));
    let second = Duration::from_secs(1);
    let late = with(Conditions { delay: second..=second, ..Conditions::default() });
    row("20 quiet, delay of 1 s", SEEDS, |seed| outage(&late, seed, all, all));
    let drift = |number| [-10_000, 0, 10_000][number % 3];
    let drift = Setup { drift, ..quiet(20) };
    row("20 quiet, clocks that differ by 2 %", SEEDS, |seed| outage(&drift, seed, all, all));
    row("20 quiet, 8 cut off until the rest has left", SEEDS, |seed| healed(&quiet(20), seed));
    row("20 nodes, a restart each 250 ms", SEEDS, |seed| storm(&busy(20), seed));

    row("100 quiet nodes", 1, |seed| outage(&quiet(100), seed, all, all));
    let short =
        |nodes| Setup { window: Duration::from_secs(1), publish_after: SECOND / 2, ..quiet(nodes) };
    row("100 quiet nodes, window of 1 s", 1, |seed| outage(&short(100), seed, all, all));
    row("10,000 in 100 cells, window of 1 s", 1, |seed| cells(&short(100), 100, seed));
    if is_large {
        row("1,000 in one mesh, window of 1 s", 1, |seed| outage(&short(1_000), seed, all, all));
    }
}

/// Cells are clusters of their own.
fn cells(setup: &Setup, cells: u64, seed: u64) -> Run {
    let runs: Vec<_> =
        (0..cells).map(|cell| outage(setup, seed * 1_000 + cell, |_| true, |_| true)).collect();
    Run {
        first: runs.iter().map(|run| run.first).min().flatten(),
        last: runs.iter().map(|run| run.last).max().flatten(),
        back: None,
        false_trips: runs.iter().map(|run| run.false_trips).sum(),
        messages: runs[0].messages,
        bytes: runs[0].bytes,
        deliveries: runs.iter().map(|run| run.deliveries).sum(),
    }
}

fn in_zone(number: usize) -> bool {
    number.is_multiple_of(3)
}

fn is_new(number: usize) -> bool {
    number.is_multiple_of(10)
}
