//! Signals that do not stop the server: it goes on, and logs them.

use valuation_server::demo::simulator::{Fault, Mode};

use crate::process_harness::Rig;

/// Each of these ends a process that does not handle it. The last two are real-time signals.
#[cfg(target_os = "linux")]
const IGNORED: [&str; 11] =
    ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "STKFLT", "40", "50", "64"];
#[cfg(not(target_os = "linux"))]
const IGNORED: [&str; 5] = ["USR1", "USR2", "ALRM", "VTALRM", "PROF"];

#[tokio::test]
async fn a_signal_that_orders_no_stop_is_logged_and_the_call_in_flight_is_seen_through() {
    let mut rig = Rig::start(Fault::always(Mode::Slow), &[]).await;
    let mut client = rig.put_in_flight().await;
    for signal in IGNORED {
        rig.process.signal(signal);
        rig.process.until_logged("ignored a signal").await;
    }
    assert_eq!(client.answer().await.status, 200);
    rig.stop().await;
    assert_eq!(rig.rows("ProviderLogs WHERE responseCode = 200"), 1);
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
