//! The document of the configuration changes under load: in a file, and in Consul.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use valuation_server::config::{Config, Seen, Setting, Sources, Status};
use valuation_server::document::Timing;
use valuation_server::reload::Reload;

use crate::app_harness::TestApp;
use crate::config_server::{Behaviour, ConfigServer, parameter};
use crate::live_load::Load;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);
const CHANGES: u32 = 12;

/// An application under load that follows a document, as `serve` has it.
struct Drill {
    app: TestApp,
    status: Status,
    load: Load,
    _reload: JoinSet<()>,
}

impl Drill {
    async fn start(place: String) -> Self {
        let app = TestApp::start().await;
        let flags = BTreeMap::from([
            (Setting::Listen, "127.0.0.1:0".to_owned()),
            (Setting::AdminListen, "127.0.0.1:0".to_owned()),
            (Setting::Database, app.folder.path().join("valuations.sqlite").display().to_string()),
            (Setting::SupercarUrl, app.supercar.base_url().to_string()),
            (Setting::PremiumUrl, app.premium.base_url().to_string()),
        ]);
        let sources = Sources::new(&flags, Some(place.as_ref()), []).unwrap();
        let status = Status::of(place, std::time::SystemTime::now());
        let live = app.live.clone();
        let apply = move |config| live.apply(config);
        // No document yet: the first one is a change.
        let reload = Reload::new(sources, None, Timing::default(), status.clone(), apply).unwrap();
        let reload = JoinSet::from_iter([reload.run(Arc::new(Notify::new()))]);
        let load = Load::start(app.address);
        Self { app, status, load, _reload: reload }
    }

    fn config(&self) -> Config {
        self.app.providers.config()
    }

    async fn until(&self, wanted: impl Fn(&Seen) -> bool) {
        let reached = async {
            while !wanted(&self.status.seen()) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, reached).await.unwrap_or_else(|_| panic!("never: {:?}", self.status));
    }

    /// Writes documents with other values, and gives how long each took to be in force.
    async fn change(&self, write: impl AsyncFn(String)) -> Vec<Duration> {
        let mut took = Vec::new();
        for change in 1..=CHANGES {
            let (seconds, rescue) = (4 + change % 2, change % 2 == 0);
            write(format!(
                "min-calls = {}\nprovider-timeout = '{seconds}s'\nrescue = {rescue}\n",
                10 + change
            ))
            .await;
            let began = Instant::now();
            let in_force = async {
                while self.config().min_calls != 10 + change {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(DEADLINE, in_force).await.unwrap();
            took.push(began.elapsed());
            let config = self.config();
            assert_eq!(
                (config.provider_timeout.as_secs(), config.rescue),
                (u64::from(seconds), rescue),
                "all of it"
            );
            self.load.goes_on().await;
        }
        took
    }

    /// Writes documents that are wrong. Nothing changes, also with what is right in them.
    async fn refuse(&self, write: impl AsyncFn(String)) {
        let before = self.config();
        let ca = self.app.folder.path().join("missing.pem");
        for (wrong, words) in [
            ("[".to_owned(), "line 3"),
            ("max-puts = 0".to_owned(), "max-puts ("),
            ("nonsense = 1".to_owned(), "nonsense"),
            ("slow-call = '1h'".to_owned(), "slow-call"),
            (format!("provider-ca = '{}'", ca.display()), "missing.pem"),
        ] {
            let refused = self.status.counts()[1].get();
            write(format!("min-calls = 99\nwindow = '30s'\n{wrong}\n")).await;
            self.until(|_| self.status.counts()[1].get() > refused).await;
            let because = self.status.seen().refused.unwrap().because;
            assert!(because.contains(words), "{because}");
            assert_eq!(self.config().changes(&before), []);
            self.load.goes_on().await;
        }
    }

    /// After the document can't be read.
    async fn lose(&self) {
        let before = self.config();
        self.until(|seen| seen.unreachable.is_some()).await;
        assert_eq!(self.config().changes(&before), []);
        self.load.goes_on().await;
    }

    async fn end(self, what: &str, mut took: Vec<Duration>) {
        let answered = self.load.stop().await;
        took.sort_unstable();
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "{what}: {CHANGES} changes in force after {median:?} (median), {longest:?} (longest); \
             {answered} requests, none failed"
        );
        // Not the longest: another process may have the processor meanwhile.
        assert!(took[0] < Duration::from_secs(1), "{took:?}");
        let [applied, refused, _] = self.status.counts().map(Counter::get);
        assert!(applied >= u64::from(CHANGES) && refused >= 5, "{applied} {refused}");
    }
}

async fn replace(path: &Path, text: String) {
    let path = path.to_owned();
    let written = spawn_blocking(move || {
        let next = path.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, path).unwrap();
    });
    written.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_under_load_is_in_force_and_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "").unwrap();
    let drill = Drill::start(path.display().to_string()).await;
    let write = async |text| replace(&path, text).await;
    let took = drill.change(write).await;
    drill.refuse(write).await;
    std::fs::remove_file(&path).unwrap();
    drill.lose().await;
    write("min-calls = 7\n".to_owned()).await;
    drill.until(|seen| seen.refused.is_none() && seen.unreachable.is_none()).await;
    assert_eq!(drill.config().min_calls, 7);
    drill.end("file", took).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_consul_that_changes_under_load_is_in_force_and_no_request_fails() {
    let server = ConfigServer::start(Behaviour::Consul, "").await;
    let drill = Drill::start(server.url()).await;
    let write = async |text: String| server.set(&text);
    let took = drill.change(write).await;
    drill.refuse(write).await;
    for broken in [
        Behaviour::Bytes(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec()),
        Behaviour::Bytes(b"\0garbage\r\n\r\n".to_vec()),
    ] {
        server.behave(broken);
        drill.lose().await;
        server.behave(Behaviour::Consul);
        drill.until(|seen| seen.unreachable.is_none()).await;
    }
    // A query that comes after the restored snapshot, with a greater index, waits in vain, in Consul as well.
    let waits = async {
        while server.heads().last().is_none_or(|head| parameter(head, "index").is_none()) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, waits).await.unwrap();
    server.restore("min-calls = 7\n", 3);
    drill.until(|seen| seen.refused.is_none() && seen.unreachable.is_none()).await;
    assert_eq!(drill.config().min_calls, 7);
    drill.end("Consul", took).await;
}
