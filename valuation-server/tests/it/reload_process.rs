//! The binary with a configuration that changes: from a file, on SIGHUP, from a URL.

use std::fs;
use std::process::{Output, Stdio};

use rustls::version::TLS13;
use valuation_server::demo::simulator::{Fault, Mode, Pace};

use crate::config::URLS;
use crate::config_server::{Behaviour, ConfigServer};
use crate::http_harness::{Client, put};
use crate::process_harness::{Process, Rig, binary, simulators};
use crate::tls_stub::{Authority, TlsStub};

const WAITING: &str = "some settings wait for a restart";

/// The exit code and the outputs of the binary with these arguments and variables.
async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = binary();
    command.stdout(Stdio::piped()).args(arguments).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test]
async fn a_changed_file_and_a_sighup_are_each_logged_with_what_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, "listen = '127.0.0.1:1'\nmax-puts = 5\n").unwrap();
    let mut rig = Rig::start(Fault::NONE, &["--config", path.to_str().unwrap()]).await;
    rig.process.signal("HUP");
    rig.process.until_logged("the configuration was read again").await;
    // By itself.
    fs::write(&path, "listen = '127.0.0.1:1'\nmax-puts = 6\n").unwrap();
    let line = rig.process.until_logged("the configuration was read again").await;
    assert!(line.contains("max-puts"), "{line}");
    assert!(!line.contains("listen"), "the flag goes before the file: {line}");
    fs::write(&path, "max-puts = 0\n").unwrap();
    let line = rig.process.until_logged("the new configuration is refused").await;
    assert!(line.contains("max-puts (") && line.contains("line 1"), "{line}");
    fs::remove_file(&path).unwrap();
    let line = rig.process.until_logged("the configuration can't be read now").await;
    assert!(line.contains("No such file"), "{line}");
    fs::write(&path, "max-puts = 7\n").unwrap();
    rig.process.until_logged("the configuration can be read again").await;
    rig.process.until_logged("the configuration was read again").await;
    rig.stop().await;
}

#[tokio::test]
async fn sighup_without_a_document_says_that_flags_and_the_environment_cant_change() {
    let mut rig = Rig::start(Fault::NONE, &[]).await;
    // Twice: the handler stays.
    for _ in 0..2 {
        rig.process.signal("HUP");
        let line = rig.process.until_logged("SIGHUP").await;
        assert!(line.contains("no document") && line.contains("restart"), "{line}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_server_with_its_configuration_in_consul_hears_of_changes_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let server = ConfigServer::start(Behaviour::Consul, "max-puts = 5\n").await;
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let mut command = binary();
    command.env("VALUATION_CONFIG", server.url()).env("VALUATION_CONFIG_TOKEN", "t0p-s3cret");
    let database = folder.path().join("v.sqlite");
    let mut process = Process::of(command, &database, &supercar, &premium, &[]).await;
    server.until_asked(3).await;
    server.set("max-puts = 6\n");
    let line = process.until_logged(WAITING).await;
    assert!(line.contains("max-puts") && !line.contains("s3cret"), "{line}");
    process.signal("TERM");
    process.until_logged("stopped; everything is stored").await;
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_printed_configuration_shows_since_when_a_document_is_as_it_is_and_no_secret_of_its_url()
 {
    let text = "supercar-url = 'http://s'\npremium-url = 'http://p'\nmin-calls = 7\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, text).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    file.set_modified(at).unwrap();
    let flags = ["serve", "--print-config", "--config"];
    let (code, out, _) = run(&[&flags[..], &[path.to_str().unwrap()]].concat(), &[]).await;
    assert_eq!(code, 0);
    let line = |out: &str, key: &str| {
        out.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned()
    };
    let found = line(&out, "min-calls");
    let wanted = format!("# file {}, line 3, since 2023-11-14T22:13:20Z", path.display());
    assert!(found.ends_with(&wanted), "{found}");
    assert!(line(&out, "window").ends_with("# default"), "{out}");

    let modified = "last-modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n";
    let answer =
        format!("HTTP/1.1 200 OK\r\n{modified}content-length: {}\r\n\r\n{text}", text.len());
    let server = ConfigServer::start(Behaviour::Bytes(answer.into_bytes()), "").await;
    let url = format!("http://me:c4n4ry@{}/c.toml?key=c4n4ry&a=b", server.address);
    let (code, out, error) = run(&[&flags[..], &[&url]].concat(), &[]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    let shown = format!("http://REDACTED@{}/c.toml?key=REDACTED&a=b", server.address);
    let found = line(&out, "min-calls");
    let wanted = format!("# document {shown}, line 3, since 2023-11-14T22:13:20Z");
    assert!(found.ends_with(&wanted), "{found}");
    assert!(!out.contains("c4n4ry"), "{out}");
    let head = &server.heads()[0];
    assert!(head.starts_with("get /c.toml?key=c4n4ry&a=b http"), "{head}");
    // `me:c4n4ry`, in the lower case of the stub.
    assert!(head.contains("\r\nauthorization: basic bwu6yzrunhj5"), "{head}");
}

#[tokio::test]
async fn each_command_that_takes_a_file_takes_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let database = folder.path().join("v.sqlite");
    let text = format!(
        "supercar-url = 'http://{}'\npremium-url = 'http://{}'\ndatabase = '{}'\nadmin-listen = '127.0.0.1:1'\n",
        supercar.address(),
        premium.address(),
        database.display(),
    );
    let server = ConfigServer::start(Behaviour::Consul, &text).await;
    let url = server.url();
    let (code, out, error) = run(&["check", "--config", &url], &[]).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.contains("4 settings given"), "{out}");
    let (code, out, _) = run(&["check", "--live", "--config", &url], &[]).await;
    assert_eq!(code, 1);
    assert!(out.contains("http://127.0.0.1:1/livez"), "{out}");
    for command in ["report", "logs"] {
        let (code, _, error) = run(&[command], &[("VALUATION_CONFIG", &url)]).await;
        assert_eq!(code, 1);
        assert!(error.contains(database.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_url_that_does_not_answer_is_another_exit_code_than_a_wrong_setting() {
    let server = ConfigServer::start(Behaviour::Plain, "min-calls = 0\n").await;
    let serve = |url: String| async move {
        let flags = [&["serve"][..], &URLS, &["--config", &url]].concat();
        run(&flags, &[]).await
    };
    let (code, _, error) = serve(server.url()).await;
    assert_eq!(code, 2, "{error}");
    let place = server.url();
    assert!(error.contains(&format!("min-calls ({place}, line 1): \"0\" is not")), "{error}");
    server.behave(Behaviour::Bytes(b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let (code, _, error) = serve(server.url()).await;
    assert_eq!(code, 1, "{error}");
    let said = format!("the configuration document {place} can't be read: the answer is 503; name");
    assert!(error.contains(&said), "{error}");
    // Wrong whatever a server answers.
    let (code, _, error) = serve("https://me:c4n4ry@h:99999/".to_owned()).await;
    assert_eq!(code, 2);
    assert!(
        error.contains("--config (or VALUATION_CONFIG): ") && !error.contains("c4n4ry"),
        "{error}"
    );
    for (variable, value) in
        [("VALUATION_CONFIG_TOKEN", "c4n4ry two"), ("VALUATION_CONFIG_CA", "/no/such")]
    {
        let url = "https://127.0.0.1:1/";
        let (code, _, error) = run(&["serve", "--config", url], &[(variable, value)]).await;
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(variable) && !error.contains("c4n4ry"), "{error}");
    }
}

#[tokio::test]
async fn the_logs_level_changes_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, "log-level = 'info'\n").unwrap();
    let fault = Fault::always(Mode::Status(404));
    let mut rig = Rig::start(fault, &["--config", path.to_str().unwrap()]).await;
    let mut client = Client::connect(rig.process.address).await;
    fs::write(&path, "log-level = 'debug'\n").unwrap();
    rig.process.until_logged("the configuration was read again").await;
    client.send(put("/valuations/A", "{\"mileage\": 1}")).await;
    assert_eq!(client.answer().await.status, 404);
    rig.process.until_logged("no valuation").await;
    rig.stop().await;
}

#[tokio::test]
async fn a_document_over_tls_needs_a_trusted_authority() {
    let (own, other) = (Authority::new(), Authority::new());
    let text = "supercar-url = 'http://s'\npremium-url = 'http://p'\nmin-calls = 7\n";
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    let server = TlsStub::start(&own.identity("127.0.0.1"), None, &TLS13, answer).await;
    let flags = ["serve", "--print-config", "--config", &server.url()];
    let with = |ca: &Authority| ca.trusted().to_str().unwrap().to_owned();
    let (code, out, error) = run(&flags, &[("VALUATION_CONFIG_CA", &with(&own))]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.contains("min-calls = \"7\""), "{out}");
    let (code, _, error) = run(&flags, &[("VALUATION_CONFIG_CA", &with(&other))]).await;
    assert_eq!(code, 1);
    assert!(error.contains("there is no answer: ") && error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn rust_log_goes_before_the_log_level_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    for (flags, says) in [(&["--log-level", "off"][..], true), (&[], false)] {
        let mut command = binary();
        command.env("RUST_LOG", "info");
        let database = folder.path().join("v.sqlite");
        let mut process = Process::of(command, &database, &supercar, &premium, flags).await;
        let said = process.said.iter().any(|line| line.contains("RUST_LOG is set"));
        assert_eq!(said, says, "{:?}", process.said);
        process.kill().await;
    }
    // Without it the setting counts: an error at the start is no line of the log.
    let flags =
        ["serve", "--supercar-url", "http://127.0.0.1:1", "--premium-url", "http://127.0.0.1:1"];
    let place = ["--listen", "192.0.2.1:1", "--log-level", "off"];
    let (code, _, error) = run(&[&flags[..], &place].concat(), &[]).await;
    assert_eq!(code, 1);
    assert_eq!(error.lines().count(), 1, "{error}");
}
