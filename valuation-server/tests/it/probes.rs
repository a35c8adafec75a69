//! `check --live` and `check --ready`: what a container's health check sees.

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use valuation_server::demo::simulator::Fault;

use crate::process_harness::{Rig, binary};
use crate::stub::{Stub, response};

/// The exit code and the output of `check` with these flags and variables.
async fn check(flags: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = binary();
    command.stdout(Stdio::piped()).arg("check").args(flags).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Where the operators' side of a process listens: the line after the one that the rig waits for.
async fn admin_address(rig: &mut Rig) -> SocketAddr {
    let line = rig.process.until_logged("operators: http://").await;
    line.split("operators: http://").nth(1).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_running_server_is_live_and_ready_by_its_url_and_by_its_settings() {
    let mut rig = Rig::start(Fault::NONE, &["--admin-listen", "127.0.0.1:0"]).await;
    let address = admin_address(&mut rig).await;
    let url = format!("http://{address}");
    for (probe, path) in [("--live", "livez"), ("--ready", "readyz")] {
        let (code, out, error) = check(&[probe, "--url", &url], &[]).await;
        assert_eq!((code, error.as_str()), (0, ""), "{out}");
        assert!(out.starts_with(&format!("ok    {url}/{path}: 200 OK")), "{out}");
        // As in a container: the settings of the server are in the environment.
        let listens = address.to_string();
        let variables = [
            ("VALUATION_ADMIN_LISTEN", listens.as_str()),
            ("VALUATION_DATABASE", "/no/such/folder/v.sqlite"),
        ];
        let (code, out, error) = check(&[probe], &variables).await;
        assert_eq!((code, error.as_str()), (0, ""), "{out}");
    }
    rig.stop().await;
    let (code, out, _) = check(&["--live", "--url", &url], &[]).await;
    assert_eq!(code, 1);
    assert!(out.starts_with("FAIL ") && out.contains("does the server run"), "{out}");
}

#[tokio::test]
async fn a_server_with_a_token_on_all_addresses_is_asked_on_loopback_and_without_it() {
    let mut rig = Rig::start(
        Fault::NONE,
        &["--admin-listen", "0.0.0.0:0", "--admin-token", "0123456789abcdef"],
    )
    .await;
    let port = admin_address(&mut rig).await.port();
    let listen = format!("0.0.0.0:{port}");
    let flags = ["--live", "--admin-listen", &listen, "--admin-token", "0123456789abcdef"];
    let (code, out, error) = check(&flags, &[]).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.starts_with(&format!("ok    http://127.0.0.1:{port}/livez")), "{out}");
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_ready_says_why_and_the_code_is_1() {
    let stub =
        Stub::start(vec![response("503 Service Unavailable", b"database: disk full\n")]).await;
    let url = format!("http://{}", stub.address);
    let (code, out, _) = check(&["--ready", "--url", &url], &[]).await;
    assert_eq!(code, 1);
    assert_eq!(out, format!("FAIL  {url}/readyz: 503 Service Unavailable: database: disk full\n"));
}

#[tokio::test]
async fn a_server_that_accepts_and_does_not_answer_is_not_live_after_two_seconds() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (code, out, _) = check(&["--live", "--url", &url], &[]).await;
    assert_eq!((code, out), (1, format!("FAIL  {url}/livez: no answer within 2 s\n")));
}

#[tokio::test]
async fn a_check_that_cannot_know_the_server_says_what_to_set_and_the_code_is_1() {
    for (flags, part, expected) in [
        (&["--live"][..], "set --admin-listen", 1),
        (&["--live", "--admin-listen", "9000"], "--admin-listen", 1),
        (&["--live", "--admin-listen", "127.0.0.1:0"], "with --url http://HOST:PORT", 1),
        (
            &["--live", "--url", "https://127.0.0.1:9000"],
            "--url: \"https://127.0.0.1:9000\" is not",
            1,
        ),
        (&["--url", "http://127.0.0.1:9000"], "--live|--ready", 2),
        (&["--live", "--ready"], "cannot be used with", 2),
    ] {
        let (code, out, error) = check(flags, &[]).await;
        assert_eq!((code, out.as_str()), (expected, ""), "{flags:?}: {error}");
        assert!(error.contains(part), "{flags:?}: {error}");
    }
}
