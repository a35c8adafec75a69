//! What a request costs on a database with a long log, next to an empty one, and one without rollups.
//!
//! ```console
//! $ cargo bench -p valuation-server --bench drills -- log /tmp/audit.sqlite 10000000
//! $ cargo bench -p valuation-server --bench drills -- long-log /tmp/audit.sqlite
//! ```
//!
//! The figure is the CPU time of the server's process per answer, as of `speed`. All servers run at once on
//! one core, and are loaded by turns from the other; a ratio is taken within one round. The database is
//! copied, so no program may have it open.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use valuation_server::store::{Store, StoreConfig};

use crate::Failed;
use crate::load::drive;
use crate::marks::{Marks, get, mark, put};
use crate::process::{Process, Providers};
use crate::speed::{LOAD_CORE, SERVER_CORE, Server, all_well, start};

/// The databases: the first is what the others are compared with.
const DATABASES: [&str; 3] = ["empty", "with the long log", "empty, without rollups"];
const CONNECTIONS: usize = 64;

/// Requests of one kind.
struct Case {
    name: &'static str,
    server: Server,
    is_get: bool,
}

const CASES: [Case; 3] = [
    Case { name: "PUT of a new one, no hop", server: Server::WithoutAHop, is_get: false },
    Case { name: "PUT of a new one", server: Server::Ours(&["--cache", "off"]), is_get: false },
    Case { name: "GET from SQLite", server: Server::Ours(&["--cache", "off"]), is_get: true },
];

/// CPU time per answer in microseconds, and the median latency.
type Measured = (f64, Duration);

/// Prints a line per kind of request and database: medians of all rounds, of which each has this time.
pub(crate) async fn measure(long: &Path, time: Duration, rounds: usize) -> Result<(), Failed> {
    let own = std::process::id().to_string();
    Command::new("taskset").args(["-a", "-p", "-c", LOAD_CORE, &own]).output()?;
    let providers = Providers::start().await?;
    // Next to the original, where there is room for it.
    let folder = tempfile::tempdir_in(long.parent().ok_or("the database has no folder")?)?;
    let path = |index: usize| folder.path().join(format!("{index}.sqlite"));
    for index in [0, 2] {
        Store::open(&StoreConfig::new(path(index))).await?.shutdown().await;
    }
    fs::copy(long, path(1))?;
    // The servers' commits must not wait for it.
    fs::File::open(path(1))?.sync_all()?;
    // Without its mark the writer leaves the rollups alone.
    Connection::open(path(2))?.execute_batch("DELETE FROM rollup_mark")?;

    for case in &CASES {
        let start = |index| start(case.server, &path(index), &providers.urls(), Some(SERVER_CORE));
        let servers = (0..DATABASES.len()).map(start).collect::<Result<Vec<_>, _>>()?;
        let mut marks = Vec::new();
        for (index, server) in servers.iter().enumerate() {
            // Each vehicle that the cases before used is stored.
            let of_this = Arc::new(Marks::default());
            of_this.skip(stored(&path(index))?);
            load(server, case, &of_this, time / 4).await?;
            marks.push(of_this);
        }
        let mut measured = vec![Vec::new(); servers.len()];
        for round in 0..rounds {
            for place in 0..servers.len() {
                // Each round begins with another one.
                let index = (place + round) % servers.len();
                measured[index].push(load(&servers[index], case, &marks[index], time).await?);
            }
        }
        for (name, of_this) in DATABASES.iter().zip(&measured) {
            let ratios = of_this.iter().zip(&measured[0]).map(|(this, first)| this.0 / first.0);
            let mut ratios: Vec<f64> = ratios.collect();
            ratios.sort_by(f64::total_cmp);
            let mut micros: Vec<f64> = of_this.iter().map(|this| this.0).collect();
            micros.sort_by(f64::total_cmp);
            let mut p50: Vec<Duration> = of_this.iter().map(|this| this.1).collect();
            p50.sort();
            println!(
                "{:<26} {name:<24} {:>7.2} µs CPU, ratio {:.3} ({:.3} to {:.3}), p50 {:.2?}",
                case.name,
                micros[rounds / 2],
                ratios[rounds / 2],
                ratios[0],
                ratios[rounds - 1],
                p50[rounds / 2],
            );
        }
    }
    Ok(())
}

/// How many vehicles are stored there.
fn stored(database: &Path) -> Result<u64, Failed> {
    let sql = "SELECT count(*) FROM vehicle_valuation";
    let stored: i64 = Connection::open(database)?.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(stored)?)
}

async fn load(
    server: &Process,
    case: &Case,
    marks: &Arc<Marks>,
    time: Duration,
) -> Result<Measured, Failed> {
    let before = server.cpu()?;
    let (marks, is_get) = (Arc::clone(marks), case.is_get);
    let request = move |buffer: &mut Vec<u8>| {
        if is_get {
            get(buffer, &mark(marks.number() % 100));
        } else {
            put(buffer, &marks.next());
        }
    };
    let mut tally = drive(server.address, CONNECTIONS, time, request, |(), _| ()).await;
    all_well(&tally)?;
    let cpu = server.cpu()? - before;
    let micros = cpu.as_secs_f64() * 1e6 / tally.answers() as f64;
    Ok((micros, tally.latency(500)))
}
