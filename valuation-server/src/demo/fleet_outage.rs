//! The story of several outages, as the nodes of a fleet and their clients see them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval, timeout};

use super::clients::{self, RATE, Traffic};
use super::fleet_stage::{Node, Stage};
use super::simulator::{Fault, Mode};
use super::{DemoError, say};
use crate::app::{Transition, provider};
use crate::domain::Provider;

/// How long SuperCar is healthy before each outage.
const WELL: Duration = Duration::from_secs(3);
/// How long others are watched while one node alone has a broken way to SuperCar.
const WATCHED: Duration = Duration::from_secs(2);
/// How long anything may take: machines may be busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the nodes' views are looked at.
const LOOKS: Duration = Duration::from_millis(10);

/// Plays the story and prints it as it happens.
pub(super) async fn play(stage: &mut Stage, revert_after: Duration) -> Result<(), DemoError> {
    let (tell, changes) = mpsc::unbounded_channel();
    for (node, Node { providers, .. }) in stage.nodes.iter().enumerate() {
        let tell = tell.clone();
        providers.on_transition(move |transition: &Transition| {
            let at = Instant::now();
            // Nobody listens once the story is over.
            let _ = tell.send(Change { node, at, transition: transition.clone() });
        });
    }
    let traffic = Arc::new(Traffic::default());
    let servers = stage.nodes.iter().map(|node| node.address).collect();
    let clients = clients::start(servers, Arc::clone(&traffic));
    let (rows, looks) = (interval(Duration::from_secs(1)), interval(LOOKS));
    let start = Instant::now();
    let counts = Counts::default();
    let mut story = Story { stage, changes, log: Vec::new(), traffic, start, counts, rows, looks };
    let told = story.tell(revert_after).await;
    clients.abort();
    // An aborted task's result says nothing.
    let _ = clients.await;
    told
}

/// A node's transition, as it says it.
struct Change {
    node: usize,
    at: Instant,
    transition: Transition,
}

/// A node's transition, as it is counted.
struct Move {
    node: usize,
    at: Instant,
    kind: Kind,
    /// Whether the calls of all nodes decided it.
    by_fleet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// To Premium.
    Trip,
    /// It is there already: its fleet sends it there as well.
    Stay,
    /// To SuperCar.
    Revert,
}

/// Answers, errors, calls to SuperCar and calls to Premium.
type Counts = [u64; 4];

struct Story<'a> {
    stage: &'a mut Stage,
    changes: mpsc::UnboundedReceiver<Change>,
    /// All changes so far.
    log: Vec<Move>,
    traffic: Arc<Traffic>,
    start: Instant,
    /// Those of the last row.
    counts: Counts,
    rows: Interval,
    looks: Interval,
}

impl Story<'_> {
    async fn tell(&mut self, revert_after: Duration) -> Result<(), DemoError> {
        let nodes = self.stage.nodes.len();
        let bus = self.stage.bus.name();
        say(&format!(
            "{RATE} new cars a second, spread over {nodes} nodes. Their bus: {bus}.\n   time   answers  \
             errors    SuperCar    Premium  node: its route (the nodes that it hears)\n\x20         a \
             second a second     calls/s    calls/s"
        ));
        self.until("the nodes hear one another", |story| story.hear(nodes)).await?;
        self.act("all nodes hear one another");
        self.pause(WELL).await?;
        let (alone, others) = self.one_alone().await?;
        let together = self.all_together(revert_after).await?;
        // Of two quiet nodes, none may decide for the other.
        let (quiet, quietly) =
            if nodes > 2 { self.quiet_together().await? } else { (0, Duration::ZERO) };
        let local = self.without_the_bus().await?;
        let forgotten = self.one_killed().await?;
        let [answers, errors, supercar, premium] = self.counts();
        let Together { over, back } = together;
        say(&format!(
            "{answers} answers, {errors} errors; {alone} node alone over, {others} others with it; {nodes} of \
             {nodes} nodes over within {} ms and back within {} ms of one another; {quiet} quiet ones over by \
             the fleet's calls within {} ms; {local} over by their own calls without the bus; 1 killed and forgotten after {} ms; {supercar} calls to SuperCar, \
             {premium} to Premium.",
            over.as_millis(),
            back.as_millis(),
            quietly.as_millis(),
            forgotten.as_millis(),
        ));
        let all = local == nodes && (quiet == nodes || nodes == 2);
        match (alone, others, all, answers) {
            (1, 0, true, 1..) => Ok(()),
            _ => Err(DemoError::Story("the last line is not as it should be".into())),
        }
    }

    /// One node can't reach SuperCar. Returns how many went over: this one, and others.
    async fn one_alone(&mut self) -> Result<(usize, usize), DemoError> {
        let (from, last) = (self.log.len(), self.stage.nodes.len() - 1);
        self.stage.gate.set_open(false);
        self.act(&format!("node {} alone can't reach SuperCar from now on", last + 1));
        let is_over = |story: &Self| story.changed(from, Kind::Trip).contains(&last);
        self.until("the node goes over", is_over).await?;
        self.pause(WATCHED).await?;
        let over = self.log[from..].iter().filter(|moved| moved.kind == Kind::Trip);
        let (alone, others): (Vec<_>, Vec<_>) = over.partition(|moved| moved.node == last);
        let counts = (alone.len(), others.len());
        self.stage.gate.set_open(true);
        self.act("it can again; the other nodes stayed with SuperCar");
        self.until("the node comes back", |story| !story.is_over(last)).await?;
        self.pause(WELL).await?;
        Ok(counts)
    }

    /// SuperCar breaks for all.
    async fn all_together(&mut self, revert_after: Duration) -> Result<Together, DemoError> {
        let from = self.log.len();
        self.break_supercar();
        let over = self.all(from, Kind::Trip).await?;
        self.act(&format!("all nodes are over, within {} ms of one another", over.as_millis()));
        self.pause(revert_after / 2).await?;
        self.fix_supercar();
        let back = self.all(from, Kind::Revert).await?;
        self.act(&format!("all nodes are back, within {} ms of one another", back.as_millis()));
        self.pause(WELL).await?;
        Ok(Together { over, back })
    }

    /// SuperCar breaks when each node has too few calls to decide alone. Returns how many went over by the
    /// calls of all of them, and the time between the first and the last.
    async fn quiet_together(&mut self) -> Result<(usize, Duration), DemoError> {
        let from = self.log.len();
        let pause = self.quiet_pause();
        self.traffic.set_pause(pause);
        let nodes = self.stage.nodes.len();
        self.act(&format!(
            "a car each {} ms alone: no node has enough calls to decide",
            pause.as_millis()
        ));
        self.pause(WELL).await?;
        self.break_supercar();
        let over = self.all(from, Kind::Trip).await?;
        self.act(&format!(
            "all nodes are over by what they know together, within {} ms",
            over.as_millis()
        ));
        self.fix_supercar();
        self.all(from, Kind::Revert).await?;
        self.traffic.set_pause(Duration::from_secs(1) / RATE);
        self.pause(WELL).await?;
        let trips = self.log[from..].iter().filter(|moved| moved.kind == Kind::Trip);
        Ok((trips.filter(|moved| moved.by_fleet).count().min(nodes), over))
    }

    /// The time between two cars at which a node has less than the minimum of calls in its window: with a
    /// sixth to spare.
    fn quiet_pause(&self) -> Duration {
        let config = self.stage.nodes[0].providers.config();
        let calls = config.min_calls.max(2) - 1;
        let nodes = u32::try_from(self.stage.nodes.len()).unwrap_or(u32::MAX);
        config.window / calls / nodes * 6 / 5
    }

    /// The bus is killed during an outage. Returns how many nodes went over again without it.
    async fn without_the_bus(&mut self) -> Result<usize, DemoError> {
        let from = self.log.len();
        self.break_supercar();
        self.all(from, Kind::Trip).await?;
        let from = self.log.len();
        self.stage.bus.kill().await;
        self.act("the bus is killed in the middle of the outage: each node decides by itself");
        self.until("the nodes notice", |story| story.hear(1)).await?;
        self.all(from, Kind::Trip).await?;
        let local = self.changed(from, Kind::Trip).len();
        let nodes = self.stage.nodes.len();
        self.act("each node came back and went over again, without the others");
        self.stage.bus.restart().await?;
        self.act("the bus is back");
        self.until("the nodes hear one another again", |story| story.hear(nodes)).await?;
        self.act("all nodes hear one another again");
        self.fix_supercar();
        self.until("all nodes come back", Self::are_all_back).await?;
        self.pause(WELL).await?;
        Ok(local)
    }

    /// The last node is killed. Returns after what time the others forgot it.
    async fn one_killed(&mut self) -> Result<Duration, DemoError> {
        let left = self.stage.nodes.len() - 1;
        self.stage.nodes[left].server.abort();
        let killed = Instant::now();
        self.act(&format!("node {} is killed, without a word to the others", left + 1));
        let forgotten = |story: &Self| (0..left).all(|node| story.heard(node) == left);
        self.until("the others forget it", forgotten).await?;
        let after = killed.elapsed();
        self.act(&format!("the others forgot it after {} ms", after.as_millis()));
        self.pause(Duration::from_secs(1)).await?;
        Ok(after)
    }

    fn break_supercar(&self) {
        self.stage.supercar.set_fault(Fault::always(Mode::Status(500)));
        self.act("SuperCar breaks: it answers 500 from now on");
    }

    fn fix_supercar(&self) {
        self.stage.supercar.set_fault(Fault::NONE);
        self.act("SuperCar is fixed, and is not asked yet");
    }

    fn act(&self, text: &str) {
        say(&format!("--- {:.1} s: {text}", self.start.elapsed().as_secs_f64()));
    }

    async fn pause(&mut self, time: Duration) -> Result<(), DemoError> {
        let end = Instant::now() + time;
        self.until("a pause", |_| Instant::now() >= end).await
    }

    /// Prints what happens until `done`.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), DemoError> {
        let happens = async {
            while !done(self) {
                tokio::select! {
                    Some(change) = self.changes.recv() => self.note(change),
                    _ = self.rows.tick() => self.row(),
                    _ = self.looks.tick() => {}
                }
            }
        };
        let late = |_| DemoError::Story(format!("{what}: not within {PATIENCE:?}"));
        timeout(PATIENCE, happens).await.map_err(late)
    }

    fn note(&mut self, change: Change) {
        let Change { node, at, transition: Transition { to, because, .. } } = change;
        let was_over = self.log.iter().rfind(|moved| moved.node == node).is_some_and(Move::is_over);
        let kind = match (was_over, to == Provider::SuperCar) {
            (false, false) => Kind::Trip,
            (true, false) => Kind::Stay,
            (_, true) => Kind::Revert,
        };
        let text = match kind {
            Kind::Trip => "TRIP: Premium is asked",
            Kind::Stay => "Premium is asked on",
            Kind::Revert => "REVERT: SuperCar is asked",
        };
        let (seconds, number) = ((at - self.start).as_secs_f64(), node + 1);
        say(&format!("--- {seconds:.3} s: node {number}: {text}: {because}"));
        let by_fleet = because.contains("of the fleet");
        self.log.push(Move { node, at, kind, by_fleet });
    }

    /// Prints what has changed since the last row.
    fn row(&mut self) {
        let (now, before) = (self.counts(), self.counts);
        let [answers, errors, supercar, premium] = std::array::from_fn(|i| now[i] - before[i]);
        let mut nodes = String::new();
        for (index, node) in self.stage.nodes.iter().enumerate() {
            if node.server.is_finished() {
                let _ = write!(nodes, "  {}: killed", index + 1);
                continue;
            }
            let route = if self.is_over(index) { "Premium" } else { "SuperCar" };
            let _ = write!(nodes, "  {}: {route} ({})", index + 1, self.heard(index));
        }
        say(&format!(
            "{:5.1} s {answers:9} {errors:7} {supercar:11} {premium:10}{nodes}",
            self.start.elapsed().as_secs_f64(),
        ));
        self.counts = now;
    }

    fn counts(&self) -> Counts {
        let Stage { supercar, premium, .. } = &*self.stage;
        [self.traffic.answers(), self.traffic.errors(), supercar.calls(), premium.calls()]
    }

    /// How many nodes a node hears, itself included.
    fn heard(&self, node: usize) -> usize {
        let view = self.stage.nodes[node].providers.cluster();
        view.and_then(|view| Some(view.failovers.first()?.nodes.len())).unwrap_or_default()
    }

    /// Whether each node hears this many.
    fn hear(&self, nodes: usize) -> bool {
        (0..self.stage.nodes.len()).all(|node| self.heard(node) == nodes)
    }

    fn is_over(&self, node: usize) -> bool {
        provider(self.stage.nodes[node].providers.status().route) != Provider::SuperCar
    }

    fn are_all_back(&self) -> bool {
        (0..self.stage.nodes.len()).all(|node| !self.is_over(node))
    }

    /// The nodes with such a change since the log had this length.
    fn changed(&self, from: usize, meant: Kind) -> BTreeSet<usize> {
        self.log[from..]
            .iter()
            .filter(|moved| moved.kind == meant)
            .map(|moved| moved.node)
            .collect()
    }

    /// Waits until each node has such a change. Returns the time between the first and the last one.
    async fn all(&mut self, from: usize, meant: Kind) -> Result<Duration, DemoError> {
        let nodes = self.stage.nodes.len();
        let what = "a change of all nodes together";
        self.until(what, |story| story.changed(from, meant).len() == nodes).await?;
        let times =
            || self.log[from..].iter().filter(|moved| moved.kind == meant).map(|moved| moved.at);
        Ok(times().max().zip(times().min()).map_or(Duration::ZERO, |(last, first)| last - first))
    }
}

impl Move {
    fn is_over(&self) -> bool {
        self.kind != Kind::Revert
    }
}

/// The time between the first node and the last.
struct Together {
    over: Duration,
    back: Duration,
}
