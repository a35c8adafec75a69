//! A process with secrets in every place that takes one, through everything that can happen to it. No
//! output of it may contain a secret.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use crate::app_harness::{admin_get, admin_send};
use crate::http_harness::{Client, get, put};
use crate::process_harness::binary;
use crate::stub::{Act, GOOD_JSON, Nobody, Stub, response, send};

/// In every secret, and nowhere else.
const CANARY: &str = "c4n4ry";
const TOKEN: &str = "c4n4ry-of-the-operators";
/// What the providers' credentials, `c4n4ry:c4n4ry`, are in a header.
const IN_BASE64: &str = "YzRuNHJ5OmM0bjRyeQ";

fn with_secrets(address: SocketAddr) -> String {
    format!("http://{CANARY}:{CANARY}@{address}/v1?key={CANARY}&X-Api-Key={CANARY}&a=b")
}

/// All output so far, and its source.
#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Told {
    fn add(&mut self, by: impl Into<String>, what: impl Into<String>) {
        self.0.push((by.into(), what.into()));
    }

    #[track_caller]
    fn all_about(&self, expected: &str) {
        assert!(self.0.iter().any(|(_, what)| what.contains(expected)), "nobody told {expected}");
    }

    #[track_caller]
    fn assert_no_secret(&self) {
        for (by, what) in &self.0 {
            for secret in [CANARY, IN_BASE64] {
                assert!(!what.contains(secret), "{by} tells {secret}: {what}");
            }
        }
    }
}

struct Server {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    async fn start(database: &Path, urls: [&str; 3], format: &str, told: &mut Told) -> Self {
        let mut child = configured(database, urls)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--provider-timeout", "500ms", "--log-format", format, "--access-log", "on"])
            .env("RUST_LOG", "trace")
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut public, mut admin) = (None, None);
        while public.is_none() || admin.is_none() {
            let line = log.next_line().await.unwrap().expect("the server ended at its start");
            let address = |after: &str| {
                let rest = line.split(after).nth(1)?;
                let end = rest.find([';', '"', ' ']).unwrap_or(rest.len());
                rest[..end].parse().ok()
            };
            public = public.or_else(|| address("listening on http://"));
            admin = admin.or_else(|| address("operators: http://"));
            told.add("the log", line);
        }
        Self { child, log, public: public.unwrap(), admin: admin.unwrap() }
    }

    async fn ask(&self, request: &str, told: &mut Told) -> u16 {
        let mut client = Client::connect(self.public).await;
        client.send(request).await;
        let answer = client.answer().await;
        told.add(request, format!("{answer:?}"));
        answer.status
    }

    async fn operate(&self, request: &str, token: &str, told: &mut Told) -> u16 {
        let bearing = format!("\r\nAuthorization: Bearer {token}\r\n");
        let mut client = Client::operator(self.admin).await;
        client.send(request.replacen("\r\n", &bearing, 1)).await;
        let answer = client.answer().await;
        told.add(request, format!("{answer:?}"));
        answer.status
    }

    async fn stop(mut self, told: &mut Told) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").arg(&id).status().unwrap().success());
        while let Some(line) = self.log.next_line().await.unwrap() {
            told.add("the log", line);
        }
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }
}

fn configured(database: &Path, [supercar, premium, bus]: [&str; 3]) -> tokio::process::Command {
    let mut command = binary();
    command
        .stdout(Stdio::piped())
        .env("VALUATION_SUPERCAR_URL", supercar)
        .env("VALUATION_PREMIUM_URL", premium)
        .env("VALUATION_CLUSTER", bus)
        .env("VALUATION_CLUSTER_SECRET", "c4n4ry-of-the-cluster")
        .env("VALUATION_ADMIN_TOKEN", TOKEN)
        .env("VALUATION_DATABASE", database);
    command
}

#[tokio::test]
async fn whatever_happens_no_secret_is_written_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let echo = format!("{{\"{CANARY}\":{CANARY}}}");
    let scripts = [
        vec![response("200 OK", GOOD_JSON.as_bytes())],
        vec![response("200 OK", echo.as_bytes())],
        vec![response(&format!("500 {CANARY}"), echo.as_bytes())],
        vec![response("404 X", echo.as_bytes())],
        vec![response("401 X", echo.as_bytes())],
        vec![send(&format!("HTTP/1.1 302 X\r\nlocation: http://{CANARY}/\r\n\r\n"))],
        vec![send(&format!("{CANARY}\r\n\r\n"))],
        vec![send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), Act::Reset],
        vec![Act::Hang],
    ];
    let nobody = Nobody::new();
    let refused = with_secrets(nobody.address());
    let mut told = Told::default();
    for (round, script) in scripts.into_iter().enumerate() {
        let stub = Stub::start(script).await;
        let supercar = with_secrets(stub.address);
        let database = folder.path().join(format!("v{round}.sqlite"));
        let format = if round % 2 == 0 { "text" } else { "json" };
        let scheme = ["redis", "rediss", "nats", "tls", "kafka", "kafkas"][round % 6];
        let bus = format!("{scheme}://{CANARY}:{CANARY}@{}", nobody.address());
        let urls = [supercar.as_str(), refused.as_str(), bus.as_str()];
        let server = Server::start(&database, urls, format, &mut told).await;
        let status = server.ask(&put("/valuations/A", r#"{"mileage":1}"#), &mut told).await;
        assert_eq!(status == 200, round == 0, "{status}");
        for request in [
            put("/valuations/A", r#"{"mileage":1}"#),
            put("/valuations/B", r#"{"mileage":0}"#),
            get("/valuations/A"),
            get("/metrics"),
        ] {
            server.ask(&request, &mut told).await;
        }
        let failover = "/admin/failovers/valuations";
        let login = admin_send("POST", "/login", &format!("token={TOKEN}x"));
        let login = login.replace("application/json", "application/x-www-form-urlencoded");
        for (request, expected) in [
            (admin_get("/readyz?verbose"), 200),
            (admin_get("/admin/failovers"), 200),
            (admin_get("/admin/cluster"), 200),
            (login, 401),
            (
                admin_send("POST", failover, r#"{"updateState":"FORCE_FALLBACK","scope":"node"}"#),
                200,
            ),
            (
                admin_send(
                    "PUT",
                    &format!("{failover}/policy"),
                    r#"{"min-calls":0,"scope":"node"}"#,
                ),
                400,
            ),
            (admin_get(&format!("{failover}/events")), 200),
            (admin_get("/metrics"), 200),
        ] {
            let status = server.operate(&request, TOKEN, &mut told).await;
            assert_eq!(status, expected, "{request}");
            // One that was mistyped is nearly as good as the right one.
            let wrong = format!("{TOKEN}x");
            assert_eq!(server.operate(&request, &wrong, &mut told).await, 401);
        }
        // Premium is the route, and nobody listens there: SuperCar is the last resort.
        let status = server.ask(&put("/valuations/C", r#"{"mileage":1}"#), &mut told).await;
        assert_eq!(status == 200, round == 0, "{status}");
        server.stop(&mut told).await;
        for command in [&["check"][..], &["serve", "--print-config"]] {
            let output = configured(&database, urls).args(command).output().await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            told.add(format!("{command:?}"), text(&output.stdout) + &text(&output.stderr));
        }
        assert!(stub.heads().iter().any(|head| head.contains(CANARY)), "it is sent");
    }
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        told.add(path.display().to_string(), String::from_utf8_lossy(&bytes));
    }
    for expected in [
        "http://REDACTED@127.0.0.1",
        "key=REDACTED&X-Api-Key=REDACTED&a=b",
        "admin-token = \"REDACTED\"",
        "cluster-secret = \"REDACTED\"",
        "cluster = \"kafkas://REDACTED@127.0.0.1",
        "an operator ordered: FORCE_FALLBACK",
        r#"\"message\":\"FORCE_FALLBACK until it is released\""#,
        "a login failed",
        "TIMEOUT",
        "CONNECT",
        "SQLite format 3",
        "valuation_provider_call_duration_seconds_count",
    ] {
        told.all_about(expected);
    }
    told.assert_no_secret();
}

/// A server that is not there: the name of it is told, and how to get in is not.
#[tokio::test]
async fn no_command_tells_the_password_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Nobody::new();
    let address = nobody.address();
    let plain = format!("postgres://valuer@{address}/valuations");
    let in_url = format!("postgres://valuer:{CANARY}@{address}/valuations");
    let as_parameter = format!("{plain}?password={CANARY}");
    let target = folder.path().join("copy");
    let target = target.to_str().unwrap();
    let mut told = Told::default();
    for (url, password) in
        [(plain.as_str(), CANARY), (in_url.as_str(), ""), (as_parameter.as_str(), "")]
    {
        for (command, code) in [
            (&["serve", "--listen", "127.0.0.1:0"][..], 1),
            (&["serve", "--print-config"], 0),
            (&["check"], 1),
            (&["report"], 1),
            (&["logs"], 1),
            (&["export", "--format", "csv"], 1),
            (&["rollups"], 1),
            (&["archive", "--before", "2020-01-01", "--to", target], 1),
            // It is a wrong command for such a database.
            (&["backup", target], 2),
        ] {
            let output = binary()
                .stdout(Stdio::piped())
                .env("VALUATION_SUPERCAR_URL", format!("http://{address}"))
                .env("VALUATION_PREMIUM_URL", format!("http://{address}"))
                .env("VALUATION_DATABASE", url)
                .env("VALUATION_DATABASE_PASSWORD", password)
                .env("RUST_LOG", "trace")
                .args(command)
                .output()
                .await
                .unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let all = text(&output.stdout) + &text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{command:?}: {all}");
            assert!(!all.contains("panicked"), "{command:?}: {all}");
            told.add(format!("{command:?}"), all);
        }
    }
    for expected in [
        format!("FAIL  cannot use the database {plain}: "),
        format!("backup is for a file of SQLite, and {plain} is a database of PostgreSQL; for a"),
        format!("# database = \"postgres://valuer:REDACTED@{address}/valuations\""),
        format!("# database = \"{plain}?password=REDACTED\""),
        "# database-password = \"REDACTED\"".to_owned(),
    ] {
        told.all_about(&expected);
    }
    told.assert_no_secret();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}
