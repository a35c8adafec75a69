//! PostgreSQL as the database: kill -9 of it and of the server, ten servers that start at once, and fresh PUTs a
//! second next to SQLite.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use valuation_server::demo::simulator::{Fault, Mode};

use crate::load::{Client, Tally, drive};
use crate::marks::{Marks, get, put};
use crate::postgres_client::PostgresClient;
use crate::postgres_server::PostgresServer;
use crate::process::{BINARY, Process, Providers};
use crate::{Failed, Found, Scale, passed_over};

const CLIENTS: usize = 16;

/// How long the server may need until it stores again, beyond the start of PostgreSQL.
const WELL_AGAIN: Duration = Duration::from_secs(1);

const NONE: &str = "PostgreSQL is not installed";

/// A PostgreSQL with a database for servers of this program.
struct Shared {
    postgres: PostgresServer,
    database: String,
    folder: TempDir,
    providers: Providers,
}

impl Shared {
    async fn start() -> Result<Option<Self>, Failed> {
        // As in production: an answered commit has reached the disk.
        let Some(postgres) = PostgresServer::own_with(&["fsync=on", "shared_buffers=128MB"]) else {
            return Ok(None);
        };
        let providers = Providers::start().await?;
        // A third of the answers rest on two calls.
        providers.supercar.set_fault(Fault::share(Mode::Status(500), "1/3".parse()?));
        let database = postgres.database();
        Ok(Some(Self { postgres, database, folder: tempfile::tempdir()?, providers }))
    }

    /// The command of a server of this name. The URL has a password, which belongs into no command line.
    fn command(&self, node: &str) -> Result<Command, Failed> {
        let file = self.folder.path().join(format!("{node}.toml"));
        let [supercar, premium] = self.providers.urls();
        let text = format!(
            "database = {:?}\nnode-name = {node:?}\nsupercar-url = {supercar:?}\npremium-url = {premium:?}\n",
            self.postgres.url(&self.database)
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file);
        Ok(command)
    }

    fn server(&self, node: &str) -> Result<Process, Failed> {
        Process::start(&mut self.command(node)?)
    }

    fn client(&self) -> PostgresClient {
        self.postgres.client(&self.database)
    }
}

/// The answered PUTs by mark: the body.
type Answered = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Starts clients that put new vehicles.
fn load(
    address: SocketAddr,
    marks: &Arc<Marks>,
    answered: &Answered,
    time: Duration,
) -> tokio::task::JoinHandle<Tally> {
    let (next, noted) = (Arc::clone(marks), Arc::clone(answered));
    tokio::spawn(drive(
        address,
        CLIENTS,
        time,
        move |buffer| {
            let mark = next.next();
            put(buffer, &mark);
            mark
        },
        move |mark, answer| {
            if answer.status == 200 {
                let body = answer.body.clone();
                noted.lock().unwrap_or_else(PoisonError::into_inner).insert(mark, body);
            }
        },
    ))
}

/// PostgreSQL is killed under load and started again, many times; the server stays.
pub(crate) async fn killed(scale: Scale) -> Found {
    let kills = scale.of(100, 5);
    let Some(mut shared) = Shared::start().await? else { return passed_over(NONE) };
    let mut server = shared.server("drill")?;
    let (marks, answered) = (Arc::default(), Answered::default());
    let (mut tally, mut again) = (Tally::default(), Vec::new());
    for kill in 0..kills {
        let time = Duration::from_millis(100 + kill * 37 % 64);
        let loading = load(server.address, &marks, &answered, time + Duration::from_millis(300));
        tokio::time::sleep(time).await;
        tokio::task::block_in_place(|| {
            shared.postgres.kill_9();
            shared.postgres.restart();
        });
        again.push(until_stored(server.address, &marks).await?);
        tally.add(loading.await?);
    }
    server.signal("TERM")?;
    let ended = tokio::task::block_in_place(|| server.wait())?;
    if !ended.success() {
        return Err(format!("the server ended with {ended}").into());
    }
    let found = check(&shared, &answered)?;
    // The server was never killed: each call of a provider is there once.
    let calls = shared.providers.calls();
    if found.rows != calls {
        return Err(format!("{calls} calls of providers, {} rows in the log", found.rows).into());
    }
    again.sort();
    let longest = again.last().copied().unwrap_or_default();
    if longest > WELL_AGAIN {
        return Err(format!("the server needed {longest:?} to store again").into());
    }
    Ok(format!(
        "{kills} kill -9 of PostgreSQL under the load of {CLIENTS} clients: {} PUTs answered and all there, {} \
         refused, {} broken; {calls} calls of providers and as many rows; stored again {:?} after its start \
         (median; longest {longest:?})",
        found.answered,
        tally.count(503),
        tally.broken,
        again[again.len() / 2],
    ))
}

/// How long it takes until a PUT is answered with 200.
async fn until_stored(address: SocketAddr, marks: &Marks) -> Result<Duration, Failed> {
    let began = Instant::now();
    let mut buffer = Vec::new();
    put(&mut buffer, &marks.next());
    while began.elapsed() < Duration::from_secs(30) {
        let mut client = Client::connect(address).await?;
        if client.ask(&buffer).await?.status == 200 {
            return Ok(began.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("nothing was stored within 30 s after the start of PostgreSQL".into())
}

/// The server is killed under load, many times; PostgreSQL stays.
pub(crate) async fn server_killed(scale: Scale) -> Found {
    let kills = scale.of(100, 10);
    let Some(shared) = Shared::start().await? else { return passed_over(NONE) };
    let (marks, answered) = (Arc::default(), Answered::default());
    for kill in 1..=kills {
        let mut server = shared.server("drill")?;
        let time = Duration::from_millis(10 + kill * 37 % 64);
        let loading = load(server.address, &marks, &answered, time + Duration::from_millis(20));
        tokio::time::sleep(time).await;
        server.kill()?;
        loading.await?;
    }
    let found = check(&shared, &answered)?;
    Ok(format!(
        "{kills} kill -9 of the server under the load of {CLIENTS} clients: {} PUTs answered and all there with \
         all their log rows ({} rows), 0 halves",
        found.answered, found.rows
    ))
}

/// What [`check`] counted.
struct Counted {
    answered: usize,
    rows: u64,
}

/// Checks that each answered PUT is stored as it was answered, with the call that gave it; that no row is twice
/// there or missing between others; and that the sums have each row once.
fn check(shared: &Shared, answered: &Answered) -> Result<Counted, Failed> {
    let client = shared.client();
    let count = |sql: &str| -> Result<u64, Failed> {
        let rows = client.rows(sql)?;
        let number = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
        Ok(number.ok_or("no count")?.parse()?)
    };
    let halves = count(
        r#"SELECT count(*) FROM "vehicle_valuation" v WHERE NOT EXISTS (SELECT 1 FROM "ProviderLogs" l
           WHERE l."vrm" = v."vrm" AND l."providerName" = v."providerName" AND l."errorCode" IS NULL)"#,
    )?;
    let rows = count(r#"SELECT count(*) FROM "ProviderLogs""#)?;
    let ids = count(r#"SELECT count(DISTINCT "id") FROM "ProviderLogs""#)?;
    let head = count(r#"SELECT "lastId" FROM "log_head""#)?;
    let counted = count(r#"SELECT coalesce(sum("calls"), 0) FROM "call_hours""#)?;
    let sealed = count(r#"SELECT coalesce(sum("lastId" - "firstId" + 1), 0) FROM "log_chain""#)?;
    if halves > 0 || [ids, head, counted, sealed] != [rows; 4] {
        return Err(format!(
            "{halves} halves; {rows} rows, {ids} ids, head at {head}, {counted} in the sums, {sealed} in the chain"
        )
        .into());
    }
    let stored = client.rows(r#"SELECT "vrm", "providerName" FROM "vehicle_valuation""#)?;
    let stored: BTreeMap<_, _> = stored
        .into_iter()
        .filter_map(|row| {
            let [vrm, provider] = <[_; 2]>::try_from(row).ok()?;
            Some((vrm?, provider?))
        })
        .collect();
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    for (mark, body) in answered.iter() {
        let answer: serde_json::Value = serde_json::from_slice(body)?;
        let provider = stored.get(mark).map(String::as_str);
        if provider.is_none() || provider != answer["providerName"].as_str() {
            return Err(format!("{mark} was answered with {answer}, {provider:?} is stored").into());
        }
    }
    Ok(Counted { answered: answered.len(), rows })
}

/// Ten servers start at once on an empty database.
pub(crate) async fn starts(_: Scale) -> Found {
    const SERVERS: usize = 10;
    let Some(shared) = Shared::start().await? else { return passed_over(NONE) };
    let began = Instant::now();
    let mut starting = Vec::new();
    for number in 0..SERVERS {
        let mut command = shared.command(&format!("node-{number}"))?;
        starting.push(tokio::task::spawn_blocking(move || Process::start(&mut command)));
    }
    let mut servers = Vec::new();
    for started in starting {
        servers.push(started.await??);
    }
    let took = began.elapsed();
    // What each has stored, all others give.
    for (number, server) in servers.iter().enumerate() {
        let mark = format!("NODE{number}");
        let mut request = Vec::new();
        put(&mut request, &mark);
        let answer = Client::connect(server.address).await?.ask(&request).await?;
        if answer.status != 200 {
            return Err(format!("{mark}: {answer:?}").into());
        }
        request.clear();
        get(&mut request, &mark);
        for other in &servers {
            let found = Client::connect(other.address).await?.ask(&request).await?;
            if found.body != answer.body {
                return Err(format!("{mark}: {found:?}").into());
            }
        }
    }
    let versions = shared.client().rows(r#"SELECT "version" FROM "valuation_server_schema""#)?;
    Ok(format!(
        "{SERVERS} servers started at once on an empty database in {took:.1?}, {} version of the schema, and each \
         gives what each other stored",
        versions.len()
    ))
}

/// Prints the fresh PUTs a second and the CPU of a PUT: one server on SQLite, one on PostgreSQL, two on one
/// PostgreSQL, by turns.
pub(crate) async fn measure(time: Duration, rounds: usize) -> Result<(), Failed> {
    let Some(shared) = Shared::start().await? else {
        println!("{}", passed_over(NONE)?);
        return Ok(());
    };
    shared.providers.supercar.set_fault(Fault::NONE);
    let file: PathBuf = shared.folder.path().join("valuations.sqlite");
    let mut command = Command::new(BINARY);
    crate::process::serve(&mut command, &file, &shared.providers.urls());
    let setups = [
        ("one server, SQLite", vec![Process::start(&mut command)?]),
        ("one server, PostgreSQL", vec![shared.server("one")?]),
        ("two servers, one PostgreSQL", vec![shared.server("two-a")?, shared.server("two-b")?]),
    ];
    let marks = Arc::new(Marks::default());
    let mut measured = vec![Vec::new(); setups.len()];
    for round in 0..rounds {
        for place in 0..setups.len() {
            let index = (place + round) % setups.len();
            measured[index].push(puts(&shared, &setups[index].1, &marks, time).await?);
        }
    }
    println!(
        "| setup | PUTs/s | CPU of the servers a PUT | of PostgreSQL |\n| --- | --- | --- | --- |"
    );
    for ((name, _), rounds) in setups.iter().zip(&measured) {
        let [rate, servers, postgres] = [0, 1, 2].map(|figure| {
            let mut all: Vec<f64> = rounds.iter().map(|round: &[f64; 3]| round[figure]).collect();
            all.sort_by(f64::total_cmp);
            (all[all.len() / 2], all[0], all[all.len() - 1])
        });
        println!(
            "| {name} | {:.0} ({:.0} to {:.0}) | {:.0} µs | {:.0} µs |",
            rate.0, rate.1, rate.2, servers.0, postgres.0
        );
    }
    Ok(())
}

/// PUTs a second, and the CPU of a PUT in microseconds: of the servers, and of PostgreSQL.
async fn puts(
    shared: &Shared,
    servers: &[Process],
    marks: &Arc<Marks>,
    time: Duration,
) -> Result<[f64; 3], Failed> {
    /// For all servers together.
    const CONNECTIONS: usize = 64;
    let cpu = || servers.iter().map(Process::cpu).sum::<Result<Duration, _>>();
    let (before, postgres_before) = (cpu()?, cpu_of(&shared.postgres));
    let loads: Vec<_> = servers
        .iter()
        .map(|server| {
            let marks = Arc::clone(marks);
            let request = move |buffer: &mut Vec<u8>| put(buffer, &marks.next());
            let each = CONNECTIONS / servers.len();
            tokio::spawn(drive(server.address, each, time, request, |(), _| ()))
        })
        .collect();
    let mut tally = Tally::default();
    for load in loads {
        tally.add(load.await?);
    }
    crate::speed::all_well(&tally)?;
    let answers = tally.answers() as f64;
    let each = |used: Duration| used.as_secs_f64() * 1e6 / answers;
    Ok([
        answers / time.as_secs_f64(),
        each(cpu()? - before),
        each(cpu_of(&shared.postgres).saturating_sub(postgres_before)),
    ])
}

/// The CPU time of all its processes so far, those that have ended among them.
fn cpu_of(postgres: &PostgresServer) -> Duration {
    let ticks = |(index, process): (usize, rustix::process::Pid)| -> u64 {
        let path = format!("/proc/{}/stat", process.as_raw_pid());
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        // After the name: fields 14 to 17 of proc_pid_stat(5). The last two are of ended children, which only the
        // first process has.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields = if index == 0 { 4 } else { 2 };
        rest.split_whitespace().skip(11).take(fields).flat_map(str::parse::<u64>).sum()
    };
    let all: u64 = postgres.processes().into_iter().enumerate().map(ticks).sum();
    Duration::from_millis(10 * all)
}
