//! Servers that fail over as one, over UDP on loopback.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use valuation_server::app::{App, Ended, Providers, State};
use valuation_server::config::{Config, Origin, Setting};
use valuation_server::demo::simulator::{Pace, Simulator};
use valuation_server::domain::Provider;

use crate::app_harness::{admin_get, admin_send, broken};
use crate::http_harness::{Answer, Client, get, put};
use crate::process_harness::Process;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(30);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A running node.
struct Node {
    public: SocketAddr,
    admin: SocketAddr,
    providers: Providers,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Ended>,
}

async fn simulator(provider: Provider) -> Simulator {
    Simulator::start(provider, ([127, 0, 0, 1], 0).into(), Pace::INSTANT).await.unwrap()
}

async fn app(
    database: &Path,
    supercar: &Simulator,
    premium: &Simulator,
    more: &[(Setting, &str)],
) -> App {
    let any = || "127.0.0.1:0".to_owned();
    let mut flags = BTreeMap::from([
        (Setting::Listen, any()),
        (Setting::AdminListen, any()),
        (Setting::Cluster, "udp://127.0.0.1:0".to_owned()),
    ]);
    flags.extend(more.iter().map(|(setting, value)| (*setting, (*value).to_owned())));
    let config =
        Config::with_providers(&flags, database, supercar.base_url(), premium.base_url()).unwrap();
    App::start(&config).await.unwrap()
}

impl Node {
    fn run(app: App, folder: TempDir) -> Self {
        let (public, admin) = (app.address(), app.admin_address().unwrap());
        let providers = app.providers().clone();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async { drop(stopped.await) }));
        Self { public, admin, providers, folder, stop, task }
    }

    async fn ask(mut client: Client, request: &str) -> Answer {
        client.send(request).await;
        client.answer().await
    }

    /// Values this many new cars.
    async fn put_many(&self, cars: u32) {
        for car in 0..cars {
            let path = format!("/valuations/C{car}");
            let answer = Client::connect(self.public).await;
            let answer = Self::ask(answer, &put(&path, "{\"mileage\": 1}")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    async fn operate(&self, request: &str) -> Answer {
        Self::ask(Client::operator(self.admin).await, request).await
    }

    async fn look(&self, path: &str) -> Value {
        let answer = self.operate(&admin_get(path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn view(&self) -> Value {
        self.look("/admin/failovers/valuations").await
    }

    /// Its latest events, newest first.
    async fn events(&self) -> Vec<Value> {
        let events = self.look("/admin/failovers/valuations/events").await;
        events.as_array().unwrap().clone()
    }

    async fn order(&self, body: &str) -> Answer {
        self.operate(&admin_send("POST", "/admin/failovers/valuations", body)).await
    }

    fn state(&self) -> State {
        self.providers.status().state
    }

    /// How many live nodes it knows, itself included.
    fn nodes(&self) -> usize {
        self.providers.cluster().unwrap().failovers[0].nodes.len()
    }

    async fn stop(self) -> TempDir {
        drop(self.stop);
        assert_eq!(self.task.await.unwrap(), Ended::Whole);
        self.folder
    }
}

/// Nodes that know one another. Each has its own SuperCar: those in `supercars`, in turn.
async fn fleet(
    supercars: &[&Simulator],
    premium: &Simulator,
    more: &[(Setting, &str)],
) -> (Vec<Node>, Vec<SocketAddr>) {
    let mut apps = Vec::new();
    for supercar in supercars {
        let folder = tempfile::tempdir().unwrap();
        apps.push((app(&folder.path().join("v.sqlite"), supercar, premium, more).await, folder));
    }
    let addresses: Vec<_> = apps.iter().filter_map(|(app, _)| app.cluster_address()).collect();
    let nodes: Vec<_> = apps
        .into_iter()
        .map(|(app, folder)| Node::run(app.with_cluster_peers(addresses.clone()), folder))
        .collect();
    for node in &nodes {
        until("each knows all", async || node.nodes() == nodes.len()).await;
    }
    (nodes, addresses)
}

async fn all_are(nodes: &[Node], state: State) {
    for node in nodes {
        until(&format!("{state:?}"), async || node.state() == state).await;
    }
}

#[tokio::test]
async fn quiet_nodes_trip_together_and_come_back_together() {
    let (supercar, premium) =
        (simulator(Provider::SuperCar).await, simulator(Provider::Premium).await);
    let settings = [(Setting::RevertAfter, "2s"), (Setting::Label, "zone=a,version=1.4")];
    let (nodes, _) = fleet(&[&supercar; 3], &premium, &settings).await;
    supercar.set_fault(broken());
    // No node has the minimum of ten calls.
    for node in &nodes {
        node.put_many(5).await;
    }
    all_are(&nodes, State::Fallback).await;
    for node in &nodes {
        let event = &node.events().await[0];
        let message = event["message"].as_str().unwrap();
        assert!(message.contains("calls of the fleet's 3 nodes failed; back in"), "{message}");
        assert_eq!((&event["cause"], &event["scope"]), (&json!("tripped"), &json!("fleet")));
        let page = node.operate(&admin_get("/page/now")).await;
        assert!(page.json().to_string().contains("s 3 nodes to SuperCar failed"));
    }
    supercar.set_fault(valuation_server::demo::simulator::Fault::NONE);
    all_are(&nodes, State::Primary).await;
    let view = nodes[0].look("/admin/cluster").await;
    assert_eq!((&view["cluster"], &view["bus"]["up"]), (&json!("valuations"), &json!(true)));
    let fleet = &view["failovers"][0];
    assert_eq!(
        (&fleet["failover"], fleet["nodes"].as_array().unwrap().len()),
        (&json!("valuations"), 3)
    );
    assert_eq!(fleet["nodes"][1]["labels"], json!({"version": "1.4", "zone": "a"}));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_server_without_a_cluster_says_so_and_takes_orders_for_itself_alone() {
    let app = crate::app_harness::TestApp::start().await;
    let answer = app.look("/admin/cluster").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("this server is in no cluster: --cluster names"), "{answer:?}");
    for (scope, status) in [("fleet", 400), ("all", 400), ("node", 200)] {
        let body = json!({"updateState": "AUTO", "scope": scope}).to_string();
        assert_eq!(app.order(&body).await.status, status, "{scope}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_node_that_can_connect_to_neither_provider_doubts_itself_and_says_so() {
    let premium = simulator(Provider::Premium).await;
    let (gone, supercar) =
        (simulator(Provider::SuperCar).await, simulator(Provider::SuperCar).await);
    let (nodes, _) = fleet(&[&gone, &supercar], &premium, &[]).await;
    // Both are gone for a moment, as far as it can tell.
    gone.stop().await;
    premium.stop().await;
    let client = Client::connect(nodes[0].public).await;
    let answer = Node::ask(client, &put("/valuations/A", "{\"mileage\": 1}")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    until("a warning", async || {
        let ready = nodes[0].operate(&admin_get("/readyz?verbose")).await;
        ready.status == 200
            && ready.body.contains("[!] cluster: neither SuperCar nor Premium can be connected to")
    })
    .await;
    until("the other node knows", async || {
        let view = nodes[1].look("/admin/cluster").await;
        view["failovers"][0]["nodes"][1]["suspicion"] == "reported"
    })
    .await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_node_with_a_broken_primary_alone_trips_no_other() {
    let premium = simulator(Provider::Premium).await;
    let (sick, healthy) =
        (simulator(Provider::SuperCar).await, simulator(Provider::SuperCar).await);
    sick.set_fault(broken());
    let (nodes, _) = fleet(&[&sick, &healthy, &healthy], &premium, &[]).await;
    nodes[1].put_many(3).await;
    nodes[0].put_many(20).await;
    assert_eq!(nodes[0].state(), State::Fallback);
    for node in &nodes[1..] {
        let sick = &nodes[0].providers.cluster().unwrap().node;
        until("the others have seen it", async || {
            let view = node.providers.cluster().unwrap();
            let seen = view.failovers[0].nodes.iter().find(|other| other.id == *sick);
            seen.is_some_and(|seen| seen.state == State::Fallback)
        })
        .await;
        assert_eq!(node.state(), State::Primary);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn an_order_for_the_fleet_reaches_all_nodes_and_a_restart_changes_nothing() {
    let (supercar, premium) =
        (simulator(Provider::SuperCar).await, simulator(Provider::Premium).await);
    let (mut nodes, addresses) = fleet(&[&supercar; 3], &premium, &[]).await;
    let unsaid = nodes[0].order(r#"{"updateState": "FORCE_FALLBACK"}"#).await;
    assert_eq!((unsaid.status, &unsaid.json()["field"]), (400, &json!("scope")), "{unsaid:?}");
    let force =
        r#"{"updateState": "FORCE_FALLBACK", "for": "10m", "reason": "a test", "scope": "fleet"}"#;
    let answer = nodes[0].order(force).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("forced_fallback")));
    all_are(&nodes, State::ForcedFallback).await;
    for node in &nodes {
        let (order, events) = (node.view().await["order"].clone(), node.events().await);
        let by = order["by"].as_str().unwrap();
        assert!(by.starts_with("127.0.0.1:") && by.contains(" at node "), "{by}");
        assert_eq!(order["reason"], "a test");
        assert!(order["until"].is_string());
        let ordered: Vec<_> = events.iter().filter(|event| event["kind"] == "order").collect();
        assert_eq!(ordered.len(), 1, "{events:?}");
        let message = ordered[0]["message"].as_str().unwrap();
        assert!(message.contains("for the whole fleet: a test"), "{message}");
        assert_eq!(ordered[0]["from"], order["by"]);
    }

    // A restarted node gets it again from the others, and has carried it out before.
    let order = nodes[1].view().await["order"].clone();
    let folder = nodes.remove(1).stop().await;
    let bound = format!("udp://{}", addresses[1]);
    let peers: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let more = [(Setting::Cluster, bound.as_str()), (Setting::Peers, &peers.join(","))];
    let again = app(&folder.path().join("v.sqlite"), &supercar, &premium, &more).await;
    let again = Node::run(again, folder);
    until("it knows the order of the others", async || {
        again.providers.cluster().unwrap().failovers[0].orders.len() == 1
    })
    .await;
    assert_eq!(again.view().await["order"], order);
    assert!(again.events().await.iter().all(|event| event["kind"] != "order"));
    nodes.push(again);

    let amend = r#"{"failure-rate": "1/3", "scope": "fleet"}"#;
    let path = "/admin/failovers/valuations/policy";
    let answer = nodes[2].operate(&admin_send("PUT", path, amend)).await;
    assert_eq!((answer.status, &answer.json()["policy"]["failure-rate"]), (200, &json!("1/3")));
    let release = nodes[1].order(r#"{"updateState": "AUTO", "scope": "fleet"}"#).await;
    assert_eq!(release.status, 200, "{release:?}");
    all_are(&nodes, State::Primary).await;
    for node in &nodes {
        until("the policy", async || node.view().await["policy"]["failure-rate"] == "1/3").await;
    }

    // Saved by each node, and the earlier change taken back.
    let amend = r#"{"min-calls": 7, "failure-rate": null, "persist": true, "scope": "fleet"}"#;
    let answer = nodes[1].operate(&admin_send("PUT", path, amend)).await;
    assert_eq!((answer.status, &answer.json()["policy"]["min-calls"]), (200, &json!("7")));
    for node in &nodes {
        until("the saved policy", async || {
            let config = node.providers.config();
            let origins = [Setting::MinCalls, Setting::FailureRate].map(|s| config.origin(s));
            config.min_calls == 7 && origins == [&Origin::Saved, &Origin::Default]
        })
        .await;
    }

    // For one node.
    let answer = nodes[0].order(r#"{"updateState": "FORCE_PRIMARY", "scope": "node"}"#).await;
    assert_eq!(answer.json()["state"], "forced_primary");
    for (body, field) in [
        (r#"{"updateState": "RESET", "scope": "fleet"}"#.to_owned(), "updateState"),
        (r#"{"updateState": "AUTO", "scope": "all"}"#.to_owned(), "scope"),
        (
            json!({"updateState": "AUTO", "scope": "fleet", "reason": "x".repeat(121)}).to_string(),
            "reason",
        ),
    ] {
        let answer = nodes[0].order(&body).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{answer:?}");
    }
    assert!(nodes[1..].iter().all(|node| node.state() == State::Primary));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_is_killed_is_forgotten_within_beats_and_one_that_stops_at_once() {
    let (supercar, premium) =
        (simulator(Provider::SuperCar).await, simulator(Provider::Premium).await);
    let folder = tempfile::tempdir().unwrap();
    // Free a moment ago.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut apps = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        apps.push((app(&folder.path().join("v.sqlite"), &supercar, &premium, &[]).await, folder));
    }
    let mut addresses: Vec<_> = apps.iter().filter_map(|(app, _)| app.cluster_address()).collect();
    let peers: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    addresses.push(free);
    let mut nodes: Vec<_> = apps
        .into_iter()
        .map(|(app, folder)| Node::run(app.with_cluster_peers(addresses.clone()), folder))
        .collect();
    let flags = ["--cluster", &format!("udp://{free}"), "--peers", &peers.join(",")];
    let database = folder.path().join("v.sqlite");
    let mut process = Process::start_with(&database, &supercar, &premium, &flags).await;
    for node in &nodes {
        until("three nodes", async || node.nodes() == 3).await;
    }
    process.kill().await;
    for node in &nodes {
        until("two nodes", async || node.nodes() == 2).await;
    }
    nodes.pop().unwrap().stop().await;
    until("one node", async || nodes[0].nodes() == 1).await;
    nodes.pop().unwrap().stop().await;
}

#[tokio::test]
async fn a_bus_that_cannot_be_reached_is_a_warning_and_no_unreadiness() {
    let (supercar, premium) =
        (simulator(Provider::SuperCar).await, simulator(Provider::Premium).await);
    let folder = tempfile::tempdir().unwrap();
    let bus = [(Setting::Cluster, "redis://c4n4ry:c4n4ry@127.0.0.1:1")];
    let app = app(&folder.path().join("v.sqlite"), &supercar, &premium, &bus).await;
    let node = Node::run(app, folder);
    until("a warning", async || {
        let answer = node.operate(&admin_get("/readyz?verbose")).await;
        assert!(answer.status == 200 && !answer.body.contains("c4n4ry"), "{answer:?}");
        let page = node.operate(&admin_get("/page/now")).await.body;
        assert!(!page.contains("c4n4ry"), "{page}");
        answer
            .body
            .contains("[!] cluster: the bus redis://REDACTED@127.0.0.1:1 has not been connected")
            && page.contains("redis://REDACTED@127.0.0.1:1 has not been connected")
    })
    .await;
    node.put_many(2).await;
    let path = "/valuations/C1".to_owned();
    let answer = Node::ask(Client::connect(node.public).await, &get(&path)).await;
    assert_eq!(answer.status, 200);
    // Its own decisions go on.
    supercar.set_fault(broken());
    node.put_many(25).await;
    assert_eq!(node.state(), State::Fallback);
    let began = Instant::now();
    node.stop().await;
    assert!(began.elapsed() < DEADLINE);
}
