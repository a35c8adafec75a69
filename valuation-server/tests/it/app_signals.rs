//! Signals that order no stop: the server goes on, and says so.

use valuation_server::demo::simulator::{Fault, Mode, Pace};

use crate::http_harness::{Client, put};
use crate::process_harness::{Process, simulators};

/// Each of these ends a process that does not handle it. The last two are real-time signals.
#[cfg(target_os = "linux")]
const IGNORED: [&str; 11] =
    ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "STKFLT", "40", "50", "64"];
#[cfg(not(target_os = "linux"))]
const IGNORED: [&str; 5] = ["USR1", "USR2", "ALRM", "VTALRM", "PROF"];

#[tokio::test]
async fn a_signal_that_orders_no_stop_is_logged_and_the_call_in_flight_is_seen_through() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    supercar.set_fault(Fault::always(Mode::Slow));
    let database = folder.path().join("v.sqlite");
    let mut process = Process::start(&database, &supercar, &premium).await;
    let mut client = Client::connect(process.address).await;
    client.send(put("/valuations/A", "{\"mileage\": 1}")).await;
    while supercar.calls() == 0 {
        tokio::task::yield_now().await;
    }
    for signal in IGNORED {
        process.signal(signal);
        process.until_logged("ignored a signal").await;
    }
    assert_eq!(client.answer().await.status, 200);
    process.signal("TERM");
    process.until_logged("stopped; everything is stored").await;
    assert_eq!(process.exit_code().await, Some(0));
    let stored = rusqlite::Connection::open(&database).unwrap();
    let rows = "SELECT count(*) FROM ProviderLogs WHERE responseCode = 200";
    assert_eq!(stored.query_row(rows, [], |row| row.get::<_, u32>(0)).unwrap(), 1);
}

#[tokio::test]
async fn sighup_reloads_nothing_and_says_how_settings_are_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let mut process = Process::start(&folder.path().join("v.sqlite"), &supercar, &premium).await;
    // Twice: the handler stays.
    for _ in 0..2 {
        process.signal("HUP");
        let line = process.until_logged("SIGHUP").await;
        assert!(line.contains("no setting is reloaded") && line.contains("restart"), "{line}");
    }
    process.signal("TERM");
    process.until_logged("stopped; everything is stored").await;
    assert_eq!(process.exit_code().await, Some(0));
}

/// Closing the terminal of a demo is the end of it.
#[tokio::test]
async fn sighup_ends_the_demo_in_order_and_leaves_no_folder_behind() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut demo = crate::process_harness::binary()
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::null())
        .env("RUST_LOG", "valuation_server=debug")
        .env("TMPDIR", folder.path())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(demo.stderr.take().unwrap()).lines();
    while !log.next_line().await.unwrap().unwrap().contains("the demo is ready") {}
    let id = demo.id().unwrap().to_string();
    let sent = std::process::Command::new("kill").args(["-s", "HUP", &id]).status().unwrap();
    assert!(sent.success());
    // Read to its end, so that it can write.
    while log.next_line().await.unwrap().is_some() {}
    assert_eq!(demo.wait().await.unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
