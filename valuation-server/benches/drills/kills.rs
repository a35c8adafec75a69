//! kill -9 under load, again and again on one database.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use valuation_server::demo::simulator::{Fault, Mode};

use crate::load::drive;
use crate::marks::{Marks, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::records::Records;
use crate::{Failed, Found, Scale};

const CLIENTS: usize = 16;

pub(crate) async fn under_load(scale: Scale) -> Found {
    let kills = scale.of(1_000, 20);
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("valuations.sqlite");
    let providers = Providers::start().await?;
    // A third of the answers rest on two calls.
    providers.supercar.set_fault(Fault::share(Mode::Status(500), "1/3".parse()?));
    let marks = Arc::new(Marks::default());
    let (mut answered, mut checked) = (Vec::new(), 0);
    for kill in 1..=kills {
        let mut command = Command::new(BINARY);
        serve(&mut command, &database, &providers.urls());
        let process = Process::start(&mut command)?;
        // Between 10 and 73 ms, different each time.
        let time = Duration::from_millis(10 + kill * 37 % 64);
        answered.extend(load_and_kill(process, &marks, time).await?);
        if kill % 100 == 0 || kill == kills {
            check(&database, &mut answered)?;
            checked = kill;
        }
    }
    let records = Records::open(&database)?;
    let (stored, logged) = (records.rows("vehicle_valuation")?, records.rows("ProviderLogs")?);
    Ok(format!(
        "{checked} kill -9 under the load of {CLIENTS} clients, {} PUTs answered and all there \
         with all their log rows ({stored} valuations, {logged} rows), 0 halves, integrity ok",
        answered.len()
    ))
}

type Answered = Vec<(String, Vec<u8>)>;

async fn load_and_kill(
    mut process: Process,
    marks: &Arc<Marks>,
    time: Duration,
) -> Result<Answered, Failed> {
    let answered = Arc::new(Mutex::new(Vec::new()));
    let (next, noted) = (Arc::clone(marks), Arc::clone(&answered));
    let load = tokio::spawn(drive(
        process.address,
        CLIENTS,
        time + Duration::from_millis(20),
        move |buffer| {
            let mark = next.next();
            put(buffer, &mark);
            mark
        },
        move |mark, answer| {
            if answer.status == 200 {
                let body = answer.body.clone();
                noted.lock().unwrap_or_else(PoisonError::into_inner).push((mark, body));
            }
        },
    ));
    tokio::time::sleep(time).await;
    process.kill()?;
    load.await?;
    let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *answered))
}

/// Checks all answers so far, so that a kill that loses an earlier one is found too.
fn check(database: &Path, answered: &mut Answered) -> Result<(), Failed> {
    let records = Records::open(database)?;
    for (mark, body) in answered.iter() {
        records.has_answered(mark, body)?;
    }
    match records.halves()? {
        0 => Ok(()),
        halves => Err(format!("{halves} valuations without their call").into()),
    }
}
