//! Drills of the real binary: what it survives, and what it costs. Each has a bounded duration.
//!
//! ```console
//! $ cargo bench -p valuation-server --bench drills -- all          # about ten minutes
//! $ cargo bench -p valuation-server --bench drills -- all --quick  # about two
//! $ cargo bench -p valuation-server --bench drills -- kill-9 idle  # two of them
//! $ cargo bench -p valuation-server --bench drills -- speed        # the table of CPU a request
//! $ cargo bench -p valuation-server --bench drills -- postgres-speed  # fresh PUTs on SQLite and PostgreSQL
//! ```
//!
//! Each drill prints one line, and the program ends with 0 only if all of them passed. A drill without
//! the tools that it needs is skipped, or fails if `CI=true`. Linux only: a process's usage is read from
//! `/proc`, and `taskset`, `kill`, `prlimit`, `mount`, `strace` and `faketime` are used.
//!
//! They are not tests, because they take minutes and load the machine. They are a bench, because Cargo
//! builds that with optimisation and together with the server's binary.

mod audits;
mod build_waits;
mod builds;
mod clock;
mod crowds;
mod disks;
mod floods;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, which panic where surprised"
)]
#[path = "../../tests/it/http2.rs"]
mod http2;
mod kills;
mod load;
mod long_log;
mod marks;
mod order;
mod postgres;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, which panic where surprised"
)]
#[path = "../../tests/it/postgres_client.rs"]
mod postgres_client;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, which panic where surprised"
)]
#[path = "../../tests/it/postgres_guard.rs"]
mod postgres_guard;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, which panic where surprised"
)]
#[path = "../../tests/it/postgres_server.rs"]
mod postgres_server;
mod process;
mod records;
mod resumed;
mod servers;
mod speed;
mod stops;
mod vanishing;

use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Whatever went wrong; a drill ends with it.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The result of a drill in one line; the error says what failed.
pub(crate) type Found = Result<String, Failed>;

/// Skips a drill whose tools are missing. In CI that is an error, since nobody would notice it.
pub(crate) fn passed_over(because: &str) -> Found {
    let because = because.lines().next().unwrap_or_default();
    if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        return Err(format!("not played, and CI=true: {because}").into());
    }
    Ok(format!("passed over: {because}"))
}

type Drill = fn(Scale) -> Pin<Box<dyn Future<Output = Found>>>;

/// How long a drill runs.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    Full,
    Quick,
}

impl Scale {
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

const DRILLS: [(&str, Drill); 15] = [
    ("kill-9", |scale| Box::pin(kills::under_load(scale))),
    ("audit", |scale| Box::pin(resumed::after_kills(scale))),
    ("order", |scale| Box::pin(order::of_the_sync_and_the_answer(scale))),
    ("vanishing", |scale| Box::pin(vanishing::in_the_middle_of_a_put(scale))),
    ("slow", |scale| Box::pin(crowds::slow_clients(scale))),
    ("idle", |scale| Box::pin(crowds::idle_clients(scale))),
    ("overload", |scale| Box::pin(crowds::tenfold(scale))),
    ("held", |scale| Box::pin(floods::held_requests(scale))),
    ("clock", |scale| Box::pin(clock::stepped(scale))),
    ("sigterm", |scale| Box::pin(stops::under_load(scale))),
    ("disks", |scale| Box::pin(disks::full_and_gone(scale))),
    ("file-size", |scale| Box::pin(disks::file_size_limit(scale))),
    ("postgres-kill-9", |scale| Box::pin(postgres::killed(scale))),
    ("postgres-server-kill-9", |scale| Box::pin(postgres::server_killed(scale))),
    ("postgres-starts", |scale| Box::pin(postgres::starts(scale))),
];

fn main() -> ExitCode {
    let mut words: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let quick = words.iter().position(|word| word == "--quick").map(|at| words.remove(at));
    let scale = if quick.is_some() { Scale::Quick } else { Scale::Full };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = on_a_runtime(async {
        match words.as_slice() {
            ["bare-server"] => servers::bare().await,
            ["server-without-a-hop", database] => servers::without_a_hop(Path::new(database)).await,
            ["log", path, rows] => match rows.parse() {
                Ok(rows) => audits::make(Path::new(path), rows).await,
                Err(_) => Err(usage()),
            },
            ["build-waits", path] => build_waits::measure(Path::new(path)).await,
            ["builds", builds @ ..] if !builds.is_empty() => {
                let (time, rounds) = scale.of((1, 41), (1, 1));
                builds::compare(builds, Duration::from_secs(time), rounds).await
            }
            ["long-log", path] => {
                let (time, rounds) = scale.of((1, 15), (1, 1));
                long_log::measure(Path::new(path), Duration::from_secs(time), rounds).await
            }
            ["speed", only @ ..] if only.len() < 2 => {
                let (time, rounds) = scale.of((4, 5), (1, 1));
                let only = only.first().copied().unwrap_or_default();
                speed::measure(Duration::from_secs(time), rounds, only).await
            }
            ["postgres-speed"] => {
                let (time, rounds) = scale.of((4, 5), (1, 1));
                postgres::measure(Duration::from_secs(time), rounds).await
            }
            ["all"] => play(&DRILLS, scale).await,
            [] => Err(usage()),
            names => {
                let known = |name| DRILLS.into_iter().find(|(known, _)| known == name);
                let drills: Option<Vec<_>> = names.iter().map(known).collect();
                play(&drills.ok_or_else(usage)?, scale).await
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> Failed {
    let names: Vec<&str> = DRILLS.iter().map(|(name, _)| *name).collect();
    format!(
        "say what to play: all, speed, postgres-speed, log FILE ROWS, long-log FILE, build-waits FILE, builds \
         PROGRAM…, {}; with --quick less of it",
        names.join(", ")
    )
    .into()
}

fn on_a_runtime(work: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

async fn play(drills: &[(&str, Drill)], scale: Scale) -> Result<(), Failed> {
    let mut failed = Vec::new();
    for (name, drill) in drills {
        let started = Instant::now();
        let found = drill(scale).await;
        let took = started.elapsed().as_secs();
        match found {
            Ok(found) => println!("{name}: {found} ({took} s)"),
            Err(error) => {
                println!("{name}: FAILED: {error} ({took} s)");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}
