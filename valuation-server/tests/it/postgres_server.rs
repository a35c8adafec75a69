//! A private PostgreSQL: on a free loopback port, in a temporary folder, gone with the test process however
//! that ends.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use valuation_server::store::PostgresAddress;

use crate::postgres_client::{PostgresClient, words};
use crate::postgres_guard::{ADMINISTRATOR, Guarded, PASSWORD, SERVE, TEMPLATE, as_user, text};

const DEADLINE: Duration = Duration::from_secs(60);

/// The owner of the databases. It is no superuser: for those some connections are kept free.
const OWNER: &str = "owner";

static SHARED: LazyLock<Option<PostgresServer>> = LazyLock::new(PostgresServer::own);

/// A running server.
pub(crate) struct PostgresServer {
    guarded: Guarded,
    process: Pid,
    port: u16,
    paused: Vec<Pid>,
    databases: AtomicU32,
}

impl PostgresServer {
    /// The one for all tests of this process, each with a database of its own. `None` if PostgreSQL is not
    /// installed; in CI that is a failure.
    pub(crate) fn shared() -> Option<&'static Self> {
        SHARED.as_ref()
    }

    /// One for a test that does harm to it.
    pub(crate) fn own() -> Option<Self> {
        Self::own_with(&[])
    }

    /// With other settings, as in `max_connections=8`.
    pub(crate) fn own_with(settings: &[&str]) -> Option<Self> {
        let (programs, template) = TEMPLATE.as_ref()?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let port = free_port();
            let mut guarded = Guarded::new(SERVE, |folder| {
                let template = text(&template.folder.join("data"));
                [vec![template], server(programs, folder, port, settings)].concat()
            });
            let process = guarded.start();
            let databases = AtomicU32::new(0);
            let mut server = Self { guarded, process, port, paused: Vec::new(), databases };
            if server.accepts() {
                let role = format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'");
                server.administrator().execute(&role).unwrap();
                return Some(server);
            }
            // Another program may have taken the port.
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start: {}",
                server.guarded.log()
            );
        }
    }

    /// A new, empty database. It goes with the server.
    pub(crate) fn database(&self) -> String {
        // Ordering: Relaxed. Only the number counts.
        let name = format!("t_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let created = format!("CREATE DATABASE {name} OWNER {OWNER}");
        self.administrator().execute(&created).unwrap();
        name
    }

    /// Drops a database with its connections.
    pub(crate) fn forget(&self, database: &str) {
        if let Ok(administrator) = self.connect(ADMINISTRATOR, "postgres") {
            let _ = administrator.execute(&format!("DROP DATABASE {database} WITH (FORCE)"));
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its URL, with the password of its owner.
    pub(crate) fn url(&self, database: &str) -> String {
        let password = "a%20secret%3A%20%2F%3F%23";
        format!("postgres://{OWNER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn address(&self, database: &str) -> PostgresAddress {
        self.url(database).parse().unwrap()
    }

    /// A connection of the database's owner.
    pub(crate) fn client(&self, database: &str) -> PostgresClient {
        self.connect(OWNER, database).unwrap_or_else(|error| panic!("{}", words(&error)))
    }

    /// A connection of a superuser, for whom some connections are kept free.
    pub(crate) fn administrator(&self) -> PostgresClient {
        self.connect(ADMINISTRATOR, "postgres").unwrap_or_else(|error| panic!("{}", words(&error)))
    }

    fn connect(&self, user: &str, database: &str) -> Result<PostgresClient, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(PASSWORD);
        config.dbname(database).application_name("test").connect_timeout(DEADLINE);
        PostgresClient::connect(config)
    }

    /// SIGKILL to all its processes.
    pub(crate) fn kill_9(&mut self) {
        // Its children are found by their parent, which they have no longer when it is dead.
        for process in self.processes() {
            send(process, Signal::KILL);
        }
    }

    /// Starts it again after [`kill_9`](Self::kill_9), on the same port and data, and waits until it can write.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.process = self.guarded.start();
            if self.accepts() {
                return;
            }
            // Its port may be that of a connection now, or the memory of a killed process is still in use.
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", self.guarded.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// SIGSTOP to all its processes: connections stay, and nothing is answered.
    pub(crate) fn pause(&mut self) {
        // The parent first: it starts no more children.
        send(self.process, Signal::STOP);
        self.paused = self.processes();
        for process in &self.paused {
            send(*process, Signal::STOP);
        }
    }

    pub(crate) fn resume(&mut self) {
        for process in self.paused.drain(..) {
            send(process, Signal::CONT);
        }
    }

    /// Waits until it can be written to. `false` if it has ended.
    fn accepts(&mut self) -> bool {
        let start = Instant::now();
        while self.connect(ADMINISTRATOR, "postgres").is_err() {
            if state_and_parent(self.process).is_none_or(|(state, _)| state == "Z") {
                return false;
            }
            assert!(start.elapsed() < DEADLINE, "it does not answer: {}", self.guarded.log());
            sleep(Duration::from_millis(20));
        }
        true
    }

    /// The first process and its children.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let all = all.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
        let own = |process: &Pid| {
            state_and_parent(*process)
                .is_some_and(|(_, parent)| parent == self.process.as_raw_pid())
        };
        [self.process].into_iter().chain(all.filter(own)).collect()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A stopped child would let it wait for five seconds.
        self.resume();
    }
}

fn server(programs: &Path, folder: &Path, port: u16, settings: &[&str]) -> Vec<String> {
    let mut words = as_user(&programs.join("postgres"));
    words.extend(["-D".to_owned(), text(&folder.join("data"))]);
    let port = format!("port={port}");
    let usual = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        // In the folder, and so removed with it after a SIGKILL.
        "dynamic_shared_memory_type=mmap",
        "shared_buffers=16MB",
        "max_connections=300",
        // What a process wrote outlives the process. No test takes the power away.
        "fsync=off",
        "autovacuum=off",
        &port,
    ];
    for setting in usual.iter().chain(settings) {
        words.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    words
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Of a process: the letter of its state and its parent's id. `None` if there is no such process.
fn state_and_parent(process: Pid) -> Option<(String, i32)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    // Its name is in brackets, and may have some itself.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// One that has ended by itself needs no signal.
fn send(process: Pid, signal: Signal) {
    let _ = kill_process(process, signal);
}

#[test]
fn a_private_postgresql_is_killed_and_started_again_with_its_data_and_leaves_nothing_behind() {
    let Some(mut server) = PostgresServer::own() else { return };
    let database = server.database();
    server.client(&database).execute("CREATE TABLE t AS SELECT 'a' AS v").unwrap();
    server.kill_9();
    assert!(server.connect(OWNER, &database).is_err());
    server.restart();
    let client = server.client(&database);
    assert_eq!(client.rows("SELECT v, NULL FROM t").unwrap(), [[Some("a".to_owned()), None]]);

    let other = server.database();
    assert!(server.client(&other).rows("SELECT v FROM t").is_err(), "it is another database");
    server.pause();
    server.resume();
    assert_eq!(client.rows("SELECT 'a' < 'B'").unwrap(), [[Some("t".to_owned())]]);
    server.forget(&database);
    assert!(client.rows("SELECT 1").is_err());

    let (folder, process) = (server.guarded.folder.clone(), server.process);
    drop(server);
    assert!(!folder.exists());
    assert_eq!(state_and_parent(process), None);
}
