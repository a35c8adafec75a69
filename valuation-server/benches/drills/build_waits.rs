//! How long PUTs wait while the rollups of a log are built: by the server, and by `rollups` next to it.
//!
//! ```console
//! $ cargo bench -p valuation-server --bench drills -- build-waits FILE
//! ```
//!
//! The database must be without rollups. It is copied, so no program may have it open.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Failed;
use crate::load::{Tally, drive};
use crate::marks::{Marks, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::speed::all_well;

const CLIENTS: usize = 4;
/// How long PUTs are sent between two looks at the mark, and after the build.
const SLICE: Duration = Duration::from_millis(200);
const AFTER: Duration = Duration::from_secs(10);

/// Prints a line per way of building, and for the PUTs after it.
pub(crate) async fn measure(log: &Path) -> Result<(), Failed> {
    let providers = Providers::start().await?;
    for next_to_it in [false, true] {
        let folder = tempfile::tempdir_in(log.parent().ok_or("the database has no folder")?)?;
        let database = folder.path().join("valuations.sqlite");
        fs::copy(log, &database)?;
        let mut command = Command::new(BINARY);
        serve(&mut command, &database, &providers.urls());
        let server = Process::start(&mut command)?;
        let began = Instant::now();
        let mut rollups = Command::new(BINARY);
        rollups.env_clear().args(["rollups", "--database"]).arg(&database).stdout(Stdio::null());
        let rollups = if next_to_it { Some(rollups.spawn()?) } else { None };
        let look = Connection::open(&database)?;
        let marks = Arc::new(Marks::default());
        let mut during = Tally::default();
        let is_built = "SELECT countedTo = (SELECT max(id) FROM ProviderLogs) FROM rollup_mark";
        while !look.query_row(is_built, [], |row| row.get::<_, bool>(0))? {
            during.add(puts(&server, &marks, SLICE).await);
        }
        let took = began.elapsed();
        if let Some(mut rollups) = rollups {
            rollups.wait()?;
        }
        let by = if next_to_it { "by the server and `rollups`" } else { "by the server" };
        print(&format!("built {by} in {took:.1?}"), &mut during)?;
        print("afterwards", &mut puts(&server, &marks, AFTER).await)?;
    }
    Ok(())
}

async fn puts(server: &Process, marks: &Arc<Marks>, time: Duration) -> Tally {
    let marks = Arc::clone(marks);
    drive(server.address, CLIENTS, time, move |buffer| put(buffer, &marks.next()), |(), _| ()).await
}

fn print(what: &str, tally: &mut Tally) -> Result<(), Failed> {
    all_well(tally)?;
    let [p50, p99, max] = [500, 990, 1_000].map(|of_1000| tally.latency(of_1000));
    println!("{what}: {} PUTs, p50 {p50:.1?}, p99 {p99:.1?}, longest {max:.1?}", tally.answers());
    Ok(())
}
