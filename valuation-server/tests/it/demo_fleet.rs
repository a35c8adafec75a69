//! The demo of a fleet, as one command.

use std::process::Stdio;

use crate::process_harness::binary;

#[tokio::test]
async fn a_fleet_goes_over_and_comes_back_as_one_alone_only_its_own_and_without_the_bus_each_for_itself()
 {
    let folder = tempfile::tempdir().unwrap();
    let output = binary()
        .args(["demo", "--nodes", "3", "--scenario", "outage", "--quick"])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{log}");
    assert_eq!(said.matches("the operators' page").count(), 3, "{said}");
    let numbers = said.lines().last().unwrap();
    for text in [
        " 0 errors; 1 node alone over, 0 others with it; 3 of 3 nodes over within ",
        "; 3 quiet ones over by the fleet's calls within ",
        "; 3 over by their own calls without the bus; 1 killed and forgotten after ",
    ] {
        assert!(numbers.contains(text), "{said}\n{log}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a folder is left behind");
}

#[tokio::test]
async fn a_bus_without_its_program_and_one_without_nodes_are_refused_with_what_to_do() {
    let refused = |flags: &'static [&'static str]| async move {
        let mut command = binary();
        let demo = command.arg("demo").args(flags).env("PATH", "/nothing").output();
        let output = demo.await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, log) = refused(&["--nodes", "3", "--cluster", "kafka"]).await;
    assert!(code == Some(1) && log.contains("tansu") && log.contains("pip install"), "{log}");
    let (code, log) = refused(&["--cluster", "redis"]).await;
    assert!(code == Some(2) && log.contains("--nodes"), "{log}");
}
