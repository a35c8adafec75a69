//! What a PUT of a new vehicle costs by several builds of the server: the first is what the others are
//! compared with.
//!
//! ```console
//! $ cargo bench -p valuation-server --bench drills -- builds /tmp/before/valuation-server /tmp/after/valuation-server
//! ```
//!
//! As in `long-log`, all servers run at once on one core, each on a database of its own, and are loaded by
//! turns from the other core; a ratio is taken within one round. The builds need the same profile.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::Failed;
use crate::load::drive;
use crate::marks::{Marks, put};
use crate::process::{Process, Providers, pinned, serve};
use crate::speed::{LOAD_CORE, SERVER_CORE, all_well};

const CONNECTIONS: usize = 64;

/// Prints a line per build: medians of all rounds, of which each has this time.
pub(crate) async fn compare(builds: &[&str], time: Duration, rounds: usize) -> Result<(), Failed> {
    let own = std::process::id().to_string();
    Command::new("taskset").args(["-a", "-p", "-c", LOAD_CORE, &own]).output()?;
    let providers = Providers::start().await?;
    let folder = tempfile::tempdir()?;
    let mut servers = Vec::new();
    for (index, build) in builds.iter().enumerate() {
        let mut command = pinned(SERVER_CORE, Path::new(build));
        serve(&mut command, &folder.path().join(format!("{index}.sqlite")), &providers.urls());
        let (server, marks) = (Process::start(&mut command)?, Arc::new(Marks::default()));
        load(&server, &marks, time / 4).await?;
        servers.push((server, marks, Vec::new()));
    }
    for round in 0..rounds {
        for place in 0..servers.len() {
            // Each round begins with another one.
            let index = (place + round) % servers.len();
            let (server, marks, measured) = &mut servers[index];
            measured.push(load(server, marks, time).await?);
        }
    }
    let of_first = servers[0].2.clone();
    for (build, (_, _, measured)) in builds.iter().zip(servers) {
        let ratios = sorted(measured.iter().zip(&of_first).map(|(this, first)| this / first));
        println!(
            "{build}: {:.1} µs CPU, ratio {:.3} ({:.3} to {:.3})",
            sorted(measured.into_iter())[rounds / 2],
            ratios[rounds / 2],
            ratios[0],
            ratios[rounds - 1]
        );
    }
    Ok(())
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The CPU time per answer in microseconds.
async fn load(server: &Process, marks: &Arc<Marks>, time: Duration) -> Result<f64, Failed> {
    let before = server.cpu()?;
    let marks = Arc::clone(marks);
    let request = move |buffer: &mut Vec<u8>| put(buffer, &marks.next());
    let tally = drive(server.address, CONNECTIONS, time, request, |(), _| ()).await;
    all_well(&tally)?;
    Ok((server.cpu()? - before).as_secs_f64() * 1e6 / tally.answers() as f64)
}
