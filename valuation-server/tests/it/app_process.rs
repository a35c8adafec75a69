//! The binary as an operator sees it: starts that can't work, signals, and kill -9 under load.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::Mutex;
use valuation_server::demo::simulator::{Fault, Mode, Pace};
use valuation_server::domain::Provider;

use crate::app_harness::admin_get;
use crate::http_harness::{Client, put};
use crate::process_harness::{Process, Rig, binary, simulators};
use crate::store_support::{in_time, until};

async fn refused(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().await.unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn serve_without_the_two_urls_is_refused_with_a_sentence_that_says_what_to_set() {
    let (code, log) = refused(binary().arg("serve")).await;
    assert_eq!(code, 2);
    for word in ["--supercar-url", "--premium-url", "VALUATION_SUPERCAR_URL"] {
        assert!(log.contains(word), "{log}");
    }
}

#[tokio::test]
async fn a_refusal_is_reported_even_if_the_log_is_silenced() {
    for filter in ["off", "hyper=debug"] {
        let (code, log) = refused(binary().arg("serve").env("RUST_LOG", filter)).await;
        assert_eq!(code, 2);
        assert!(log.contains("--supercar-url"), "{filter}: {log}");
    }
}

#[tokio::test]
async fn the_demo_goes_on_if_its_output_is_not_read() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // Killed, it leaves its folder behind: in one that goes away.
    let folder = tempfile::tempdir().unwrap();
    let mut demo = binary()
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stdout(writer)
        .env("RUST_LOG", "valuation_server=debug")
        .env("TMPDIR", folder.path())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(demo.stderr.take().unwrap()).lines();
    let line = log.next_line().await.unwrap().unwrap_or_default();
    assert!(line.contains("the demo is ready"), "{line}");
    assert_eq!(demo.try_wait().unwrap(), None);
    demo.kill().await.unwrap();
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused_by_its_name() {
    let urls = ["--supercar-url", "http://127.0.0.1:1", "--premium-url", "http://127.0.0.1:2"];
    let (code, log) =
        refused(binary().arg("serve").args(urls).env("VALUATION_WINDOW", "soon")).await;
    assert_eq!(code, 2);
    assert!(log.contains("VALUATION_WINDOW") && log.contains("soon"), "{log}");
    let (code, log) = refused(binary().arg("serve").args(urls).args(["--window", "5ms"])).await;
    assert_eq!(code, 2);
    assert!(log.contains("--window") && log.contains("from 10ms"), "{log}");
}

#[tokio::test]
async fn a_variable_that_is_no_setting_is_refused_and_the_nearest_one_is_named() {
    let urls = ["--supercar-url", "http://127.0.0.1:1", "--premium-url", "http://127.0.0.1:2"];
    let (code, log) =
        refused(binary().arg("serve").args(urls).env("VALUATION_MIN_CALL", "s3cret")).await;
    assert_eq!(code, 2);
    assert_eq!(
        log,
        "error: there is no setting VALUATION_MIN_CALL; the nearest is VALUATION_MIN_CALLS\n"
    );
}

#[tokio::test]
async fn a_start_that_cannot_work_ends_at_once_and_names_the_file_or_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let urls = ["--supercar-url", "http://127.0.0.1:1", "--premium-url", "http://127.0.0.1:2"];
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "remember the milk").unwrap();
    let listen = ["--listen", "127.0.0.1:0"];
    let (code, log) =
        refused(binary().arg("serve").args(urls).args(listen).arg("--database").arg(&text)).await;
    assert_eq!(code, 1);
    assert!(log.contains("notes.txt") && log.contains("not an SQLite database"), "{log}");
    assert_eq!(std::fs::read_to_string(&text).unwrap(), "remember the milk");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let database = folder.path().join("v.sqlite");
    let (code, log) = refused(
        binary().arg("serve").args(urls).args(["--listen", &address, "--database"]).arg(&database),
    )
    .await;
    assert_eq!(code, 1);
    assert!(log.contains(&address) && log.contains("--listen"), "{log}");
    assert!(!database.exists(), "a server that can't listen makes no database");
}

#[tokio::test]
async fn sigterm_and_ctrl_c_let_the_running_request_finish_and_end_with_0() {
    for signal in ["TERM", "INT"] {
        let mut rig = Rig::start(Fault::always(Mode::Slow), &[]).await;
        let mut client = rig.put_in_flight().await;
        rig.process.signal(signal);
        rig.process.until_logged("stop requested").await;
        assert_eq!(client.answer().await.status, 200);
        rig.process.until_logged("stopped; everything is stored").await;
        assert_eq!(rig.process.exit_code().await, Some(0));
        assert_eq!((rig.rows("vehicle_valuation"), rig.rows("ProviderLogs")), (1, 1));
    }
}

#[tokio::test]
async fn while_it_stops_operators_see_that_it_is_alive_and_not_ready() {
    // So that the stop lasts until this test ends it.
    let flags = ["--admin-listen", "127.0.0.1:0", "--provider-timeout", "10m"];
    let mut rig = Rig::start(Fault::always(Mode::Hang), &flags).await;
    let line = rig.process.until_logged("operators: http://").await;
    let admin: SocketAddr = line.split("http://").nth(1).unwrap().parse().unwrap();
    let mut client = rig.put_in_flight().await;
    rig.process.signal("TERM");
    let mut operator = Client::operator(admin).await;
    // The signal takes a moment to arrive.
    let verbose = loop {
        operator.send(admin_get("/readyz?verbose")).await;
        let answer = operator.answer().await;
        if answer.status == 503 {
            break answer.body;
        }
    };
    assert_eq!(verbose, "[+] database: ok\n[-] accepting: the server is stopping\nnot ready\n");
    operator.send(admin_get("/livez")).await;
    assert_eq!(operator.answer().await.status, 200);
    // The hanging call breaks off and is rescued, and then the end comes.
    rig.supercar.stop().await;
    rig.process.until_logged("stopped; everything is stored").await;
    assert_eq!(client.answer().await.status, 200);
}

/// The members of the first line of a JSON log that has this text.
async fn json_line(process: &mut Process, text: &str) -> serde_json::Value {
    serde_json::from_str(&process.until_logged(text).await).unwrap()
}

#[tokio::test]
async fn the_log_names_the_request_that_met_a_providers_failure_and_each_request_if_asked_to() {
    let flags = ["--log-format", "json", "--access-log", "on", "--min-calls", "1"];
    let mut rig = Rig::start(Fault::always(Mode::Status(500)), &flags).await;
    let process = &mut rig.process;
    let mut client = Client::connect(process.address).await;
    let traced = "Host: x\r\nX-Request-Id: order-77\r\ntraceparent: \
                  00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let request = put("/valuations/A", "{\"mileage\": 1}").replace("Host: x\r\n", traced);
    client.send(request).await;
    assert_eq!(client.answer().await.status, 200);
    let failure = json_line(process, "SuperCar Valuations: STATUS").await;
    let transition = json_line(process, "failover: Premium is asked").await;
    let access = json_line(process, "\"answered\"").await;
    for line in [&failure, &access] {
        assert_eq!(line["span"]["request_id"], "order-77");
        assert_eq!(line["span"]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    }
    assert_eq!([&failure["level"], &transition["level"]], ["WARN", "WARN"]);
    assert_eq!(
        [&failure["vrm"], &access["method"], &access["path"]],
        ["A", "PUT", "/valuations/A"]
    );
    assert_eq!([&failure["status"], &access["status"]], [500, 200]);
    assert_eq!(access["client"], client.stream.local_addr().unwrap().to_string());
    for (line, number) in [(&failure, "duration_ms"), (&access, "duration_us")] {
        assert!(line[number].is_u64(), "{number} is no number: {line}");
    }
    let why = transition["message"].as_str().unwrap();
    assert!(why.contains("1 of its last 1 calls failed; back in 5m"), "{why}");
    rig.stop().await;
}

#[tokio::test]
async fn by_default_a_request_that_goes_well_leaves_no_line_in_the_log() {
    let mut rig = Rig::start(Fault::NONE, &[]).await;
    let process = &mut rig.process;
    let mut client = Client::connect(process.address).await;
    client.send(put("/valuations/A", "{\"mileage\": 1}")).await;
    assert_eq!(client.answer().await.status, 200);
    client.send(crate::http_harness::get("/valuations/A")).await;
    assert_eq!(client.answer().await.status, 200);
    drop(client);
    process.signal("TERM");
    let next = process.log.next_line().await.unwrap().unwrap();
    assert!(next.contains("stop requested"), "{next}");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut rig = Rig::start(Fault::always(Mode::Hang), &[]).await;
    let _client = rig.put_in_flight().await;
    let process = &mut rig.process;
    process.signal("TERM");
    process.until_logged("stop requested").await;
    // The second one may come before the process waits for it again: it is sent until it is taken.
    let code = loop {
        if let Some(status) = process.child.try_wait().unwrap() {
            break status.code();
        }
        process.signal("INT");
        tokio::task::yield_now().await;
    };
    assert_eq!(code, Some(130));
}

/// Kill -9 under load, repeatedly on one database: answered valuations are stored, with every
/// call to a provider that it rests on.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_no_answered_valuation_and_no_log_row_of_an_answered_request() {
    const ROUNDS: usize = 5;
    const CLIENTS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("valuations.sqlite");
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    // A third of the answers rest on two calls.
    supercar.set_fault(Fault::share(Mode::Status(500), "1/3".parse().unwrap()));
    let answered = Arc::new(Mutex::new(HashSet::new()));
    let next = Arc::new(AtomicUsize::new(0));
    for round in 1..=ROUNDS {
        let mut process = Process::start(&database, &supercar, &premium).await;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (answered, next) = (Arc::clone(&answered), Arc::clone(&next));
                let address = process.address;
                tokio::spawn(async move {
                    loop {
                        let vrm = format!("K{}", next.fetch_add(1, Ordering::Relaxed));
                        match ask(address, &vrm).await {
                            Some(provider) => answered.lock().await.insert((vrm, provider)),
                            None => return,
                        };
                    }
                })
            })
            .collect();
        let enough = async {
            while answered.lock().await.len() < round * 100 {
                tokio::task::yield_now().await;
            }
        };
        in_time("a hundred more answers", enough).await;
        process.child.kill().await.unwrap();
        for client in clients {
            client.await.unwrap();
        }
    }
    let stored = rusqlite::Connection::open(&database).unwrap();
    let check: String = stored.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(check, "ok");
    let answered = answered.lock().await;
    assert!(answered.len() >= ROUNDS * 100);
    for (vrm, provider) in answered.iter() {
        let name: String = stored
            .query_row("SELECT providerName FROM vehicle_valuation WHERE vrm = ?1", [vrm], |r| {
                r.get(0)
            })
            .unwrap();
        assert_eq!(&name, provider);
        let calls: Vec<(String, Option<String>)> = stored
            .prepare("SELECT providerName, errorCode FROM ProviderLogs WHERE vrm = ?1 ORDER BY id")
            .unwrap()
            .query_map([vrm], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(calls.last(), Some(&(name.clone(), None)), "{vrm}");
        let rescued = name == Provider::Premium.name() && calls.len() == 2;
        assert!(calls.len() == 1 || rescued, "{vrm}: {calls:?}");
    }
    // No half transactions either: each valuation has the call that gave it.
    let halves: u32 = stored
        .query_row(
            "SELECT count(*) FROM vehicle_valuation v WHERE NOT EXISTS (SELECT 1 FROM ProviderLogs l
             WHERE l.vrm = v.vrm AND l.providerName = v.providerName AND l.errorCode IS NULL)",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(halves, 0);
}

/// A collector of logs that dies takes nothing with it: no row, no answer, no orderly stop.
#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_after_the_reader_of_the_log_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("valuations.sqlite");
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    supercar.set_fault(Fault::always(Mode::Status(500)));
    premium.set_fault(Fault::always(Mode::Status(500)));
    let process = Process::start(&database, &supercar, &premium).await;
    let Process { mut child, log, address, .. } = process;
    drop(log);
    for car in 0..3 {
        let mut client = Client::connect(address).await;
        client.send(&put(&format!("/valuations/A{car}"), "{\"mileage\": 1}")).await;
        assert_eq!(client.answer().await.status, 503);
    }
    let id = child.id().unwrap().to_string();
    let sent = std::process::Command::new("kill").args(["-s", "TERM", &id]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    let stored = rusqlite::Connection::open(&database).unwrap();
    let rows: u32 =
        stored.query_row("SELECT count(*) FROM ProviderLogs", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 6);
}

/// A crash loop must not hammer a broken primary: each start would ask it ten times anew.
#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_the_route_is_as_before() {
    let Rig { mut process, supercar, premium, database, folder: _folder } =
        Rig::start(Fault::always(Mode::Status(500)), &[]).await;
    for car in 0..10 {
        assert!(ask(process.address, &format!("A{car}")).await.is_some());
    }
    let reader = rusqlite::Connection::open(&database).unwrap();
    let saved = || -> String {
        let select = r#"SELECT "state" FROM "failover_state" WHERE "name" = 'valuations'"#;
        reader.query_row(select, [], |row| row.get(0)).unwrap_or_default()
    };
    until("the route is saved", || saved().contains("fallback")).await;
    for round in 0..3 {
        process.child.kill().await.unwrap();
        process = Process::start(&database, &supercar, &premium).await;
        let answer = ask(process.address, &format!("B{round}")).await;
        assert_eq!(answer.as_deref(), Some(Provider::Premium.name()));
    }
    assert_eq!(supercar.calls(), 10);
}

/// The name in the answer, or `None` once the server is gone.
async fn ask(address: SocketAddr, vrm: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = put(&format!("/valuations/{vrm}"), "{\"mileage\": 1}");
    let request = request.replace("Host: x", "Host: x\r\nConnection: close");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    // Part of an answer is no answer.
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head.to_ascii_lowercase().split_once("content-length: ")?.1.to_owned();
    let length: usize = length.split("\r\n").next()?.parse().ok()?;
    if body.len() < length {
        return None;
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    Some(json["providerName"].as_str().unwrap().to_owned())
}
