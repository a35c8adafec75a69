//! What a request costs: the server's CPU time, next to that of a bare hyper server.
//!
//! Each server runs on a core of its own (`taskset`), the load on the others. The result is the CPU time
//! of the server's process, with all its threads and system calls, divided by the answers. So a slow
//! client only reduces the precision. Rounds alternate between the servers, and a ratio is taken within
//! one round. Linux only.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::Failed;
use crate::load::{Client, Tally, drive};
use crate::marks::{Marks, get, mark, put};
use crate::process::{BINARY, Process, Providers, pinned, serve};

pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const LOAD_CORE: &str = "1";
/// How many valuations are requested repeatedly.
const STORED: u64 = 10_000;

/// A row of the table.
struct Case {
    name: &'static str,
    to_reach: &'static str,
    server: Server,
    connections: usize,
    request: fn(&mut Vec<u8>, &Marks),
}

#[derive(Clone, Copy)]
pub(crate) enum Server {
    Bare,
    Ours(&'static [&'static str]),
    WithoutAHop,
}

const BARE: Case = Case {
    name: "bare hyper, 120 bytes from memory",
    to_reach: "1.00",
    server: Server::Bare,
    connections: 64,
    request: |buffer, _| get(buffer, "0000000"),
};

const CASES: [Case; 5] = [
    Case {
        name: "GET of a stored one, from SQLite (--cache off)",
        to_reach: "0.50",
        server: Server::Ours(&["--cache", "off"]),
        connections: 64,
        request: |buffer, marks| get(buffer, &stored(marks)),
    },
    Case {
        name: "GET of a stored one, from memory",
        to_reach: "0.75",
        server: Server::Ours(&[]),
        connections: 64,
        request: |buffer, marks| get(buffer, &stored(marks)),
    },
    Case {
        name: "PUT of a stored one",
        to_reach: "0.50",
        server: Server::Ours(&[]),
        connections: 64,
        request: |buffer, marks| put(buffer, &stored(marks)),
    },
    Case {
        name: "PUT of a new one, FULL, 256 connections, no hop",
        to_reach: "0.40",
        server: Server::WithoutAHop,
        connections: 256,
        request: |buffer, marks| put(buffer, &marks.next()),
    },
    Case {
        name: "the same through a provider on loopback",
        to_reach: "0.20",
        server: Server::Ours(&[]),
        connections: 256,
        request: |buffer, marks| put(buffer, &marks.next()),
    },
];

/// A vehicle that the database has.
fn stored(marks: &Marks) -> String {
    mark(marks.number() % STORED)
}

/// Prints the table. With `only`, only the rows whose name contains it.
pub(crate) async fn measure(time: Duration, rounds: usize, only: &str) -> Result<(), Failed> {
    let own = std::process::id().to_string();
    Command::new("taskset").args(["-a", "-p", "-c", LOAD_CORE, &own]).output()?;
    let providers = Providers::start().await?;
    let urls = providers.urls();

    println!("{:<50} {:>8} {:>7} {:>7} {:>9}", "", "µs CPU", "ratio", "goal", "answers/s");
    let mut rows: Vec<Vec<Measured>> = Vec::new();
    rows.resize_with(CASES.len() + 1, Vec::new);
    for _ in 0..rounds {
        for (row, case) in std::iter::once(&BARE).chain(&CASES).enumerate() {
            if row == 0 || case.name.contains(only) {
                rows[row].push(run(case, time, &urls).await?);
            }
        }
    }
    for (row, case) in std::iter::once(&BARE).chain(&CASES).enumerate() {
        let mut ratios: Vec<(f64, &Measured)> = rows[row]
            .iter()
            .zip(&rows[0])
            .map(|(this, bare)| (bare.micros / this.micros, this))
            .collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((ratio, measured)) = ratios.get(ratios.len() / 2) else { continue };
        println!(
            "{:<50} {:>8.2} {ratio:>7.2} {:>7} {:>9.0}",
            case.name, measured.micros, case.to_reach, measured.rate
        );
    }
    println!();
    if "GET beside PUTs".contains(only) {
        under_saturated_writes(time, rounds).await?;
    }
    if "64 PUTs of new ones at once".contains(only) {
        commits_of_64(time).await?;
    }
    Ok(())
}

struct Measured {
    micros: f64,
    rate: f64,
}

async fn run(case: &Case, time: Duration, urls: &[String; 2]) -> Result<Measured, Failed> {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("valuations.sqlite");
    let process = start(case.server, &database, urls, Some(SERVER_CORE))?;
    let (marks, address) = (Arc::new(Marks::default()), process.address);
    if let Server::Ours(_) = case.server {
        fill(&process).await?;
        marks.skip(STORED);
    }
    let load = |time| {
        let (marks, request) = (Arc::clone(&marks), case.request);
        drive(address, case.connections, time, move |buffer| request(buffer, &marks), |(), _| ())
    };
    load(time / 4).await;
    let before = process.cpu()?;
    let tally = load(time).await;
    let cpu = process.cpu()? - before;
    all_well(&tally)?;
    let answers = tally.answers() as f64;
    Ok(Measured { micros: cpu.as_secs_f64() * 1e6 / answers, rate: answers / time.as_secs_f64() })
}

pub(crate) fn start(
    server: Server,
    database: &Path,
    urls: &[String; 2],
    core: Option<&str>,
) -> Result<Process, Failed> {
    let command = |program: &Path| match core {
        Some(core) => pinned(core, program),
        None => pinned("0,1", program),
    };
    let this = std::env::current_exe()?;
    let mut command = match server {
        Server::Bare => {
            let mut command = command(&this);
            command.arg("bare-server");
            command
        }
        Server::WithoutAHop => {
            let mut command = command(&this);
            command.arg("server-without-a-hop").arg(database);
            command
        }
        Server::Ours(flags) => {
            let mut command = command(Path::new(BINARY));
            serve(&mut command, database, urls);
            command.args(flags);
            command
        }
    };
    Process::start(&mut command)
}

/// Stores the valuations that will be requested.
async fn fill(process: &Process) -> Result<(), Failed> {
    let marks = Arc::new(Marks::default());
    let left = Arc::clone(&marks);
    while left.given() < STORED {
        let marks = Arc::clone(&marks);
        let some = Duration::from_millis(100);
        let request = move |buffer: &mut Vec<u8>| put(buffer, &marks.next());
        all_well(&drive(process.address, 64, some, request, |(), _| ()).await)?;
    }
    Ok(())
}

pub(crate) fn all_well(tally: &Tally) -> Result<(), Failed> {
    if tally.broken == 0 && tally.answers() > 0 && tally.count(200) == tally.answers() {
        return Ok(());
    }
    Err(format!("{:?} answers, {} broken", tally.statuses, tally.broken).into())
}

/// GETs on one connection during PUTs of unknown vehicles on 64, of ours and of the bare server: the
/// latency of answers that wait only for the machine.
async fn under_saturated_writes(time: Duration, rounds: usize) -> Result<(), Failed> {
    for (name, server) in [("ours", Server::WithoutAHop), ("the bare server", Server::Bare)] {
        let mut tails = Vec::new();
        for _ in 0..rounds {
            tails.push(beside_writes(server, time).await?);
        }
        tails.sort_by_key(|tail| tail.p999);
        let Tail { writes, p50, p99, p999 } = tails[tails.len() / 2];
        println!(
            "GET beside PUTs of new ones, {name}: p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}; \
             {writes:.0} PUTs a second"
        );
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Tail {
    writes: f64,
    p50: Duration,
    p99: Duration,
    p999: Duration,
}

async fn beside_writes(server: Server, time: Duration) -> Result<Tail, Failed> {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("valuations.sqlite");
    let process = start(server, &database, &Default::default(), Some(SERVER_CORE))?;
    let (address, marks) = (process.address, Marks::default());
    let known = mark(u64::MAX >> 30);
    let mut first = Vec::new();
    put(&mut first, &known);
    Client::connect(address).await?.ask(&first).await?;
    // On a thread of its own, so that it does not wait for the writing clients.
    let reader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let reads = drive(address, 1, time, move |buffer| get(buffer, &known), |(), _| ());
        Ok::<_, std::io::Error>(runtime.block_on(reads))
    });
    let writes = drive(address, 64, time, move |buffer| put(buffer, &marks.next()), |(), _| ());
    let writes = writes.await;
    let mut reads = reader.join().map_err(|_| "the reads ended")??;
    all_well(&writes)?;
    all_well(&reads)?;
    let writes = writes.answers() as f64 / time.as_secs_f64();
    let [p50, p99, p999] = [500, 990, 999].map(|of_1000| reads.latency(of_1000));
    Ok(Tail { writes, p50, p99, p999 })
}

/// The size of commits with 64 writing clients.
async fn commits_of_64(time: Duration) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("valuations.sqlite");
    let mut process = start(Server::WithoutAHop, &database, &Default::default(), None)?;
    let idle = process.resident()?;
    let marks = Marks::default();
    drive(process.address, 64, time, move |buffer| put(buffer, &marks.next()), |(), _| ()).await;
    let busy = process.resident()?;
    process.close_input();
    process.wait()?;
    let log = process.log();
    let numbers = log.last().map(|line| line.split_whitespace().filter_map(|w| w.parse().ok()));
    let [rows, transactions]: [u64; 2] = numbers
        .map(Iterator::collect::<Vec<_>>)
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or("the server did not say how large its commits were")?;
    println!(
        "64 PUTs of new ones at once: {:.1} rows a commit; RSS {} MiB idle, {} MiB under it",
        rows as f64 / transactions.max(1) as f64,
        idle >> 10,
        busy >> 10
    );
    Ok(())
}
