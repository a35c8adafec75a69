//! SIGTERM under load.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::load::drive;
use crate::marks::{Marks, get, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::records::Records;
use crate::{Found, Scale};

const CLIENTS: usize = 64;

/// Stops a server under load, and counts the unanswered requests.
pub(crate) async fn under_load(scale: Scale) -> Found {
    let stops = scale.of(50, 5);
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("valuations.sqlite");
    let providers = Providers::start().await?;
    let marks = Arc::new(Marks::default());
    let (mut answers, mut stored) = (0, 0);
    for stop in 1..=stops {
        let mut command = Command::new(BINARY);
        serve(&mut command, &database, &providers.urls());
        let mut process = Process::start(&mut command)?;
        let next = Arc::clone(&marks);
        let load = tokio::spawn(drive(
            process.address,
            CLIENTS,
            Duration::from_millis(1_500),
            move |buffer| {
                let mark = next.next();
                let new = next.given() % 2 == 0;
                let write = if new { put } else { get };
                write(buffer, &mark);
                new
            },
            |_, _| (),
        ));
        tokio::time::sleep(Duration::from_millis(100 + stop * 37 % 200)).await;
        process.signal("TERM")?;
        let tally = load.await?;
        let ended = process.wait()?;
        if tally.broken > 0 || !ended.success() || tally.count(503) > 0 {
            return Err(format!(
                "stop {stop}: {} requests unanswered, {:?} answers, the server ended with {ended}",
                tally.broken, tally.statuses
            )
            .into());
        }
        answers += tally.answers();
        stored += tally.count(200);
    }
    let rows = Records::open(&database)?.rows("vehicle_valuation")?;
    if rows != stored {
        return Err(format!("{stored} PUTs answered 200, {rows} stored").into());
    }
    Ok(format!(
        "{stops} SIGTERMs under the load of {CLIENTS} clients: {answers} requests answered, 0 \
         accepted ones without an answer, {rows} of {stored} PUTs stored, every exit code 0"
    ))
}
