//! The wall clock, stepped by days while the server runs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::domain::Provider;

use crate::load::Client;
use crate::marks::{Marks, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::records::Records;
use crate::{Failed, Found, Scale, passed_over};

/// The time on the fallback.
const REVERT: Duration = Duration::from_secs(4);

/// During the time on the fallback the wall clock is set one day ahead and then two days back. The time
/// must be neither shorter nor longer.
pub(crate) async fn stepped(_: Scale) -> Found {
    // The library that it preloads shows which one is installed.
    let loaded = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let Some(library) = loaded.ok().filter(|ran| ran.status.success()).map(|ran| ran.stdout) else {
        return passed_over("faketime is not there");
    };
    let library = String::from_utf8(library)?;
    let folder = tempfile::tempdir()?;
    let (database, offset) = (folder.path().join("v.sqlite"), folder.path().join("offset"));
    step(&offset, "+0")?;
    let providers = Providers::start().await?;
    let mut command = Command::new("env");
    command
        .arg(format!("LD_PRELOAD={}", library.trim()))
        .arg(format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()))
        // The monotonic clock is not stepped.
        .args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"])
        .arg(BINARY);
    serve(&mut command, &database, &providers.urls());
    command.args(["--min-calls", "4", "--revert-after", &format!("{}s", REVERT.as_secs())]);
    let mut process = Process::start(&mut command)?;

    let marks = Marks::default();
    let mut client = Client::connect(process.address).await?;
    let mut asked = async || -> Result<Provider, Failed> {
        let mut request = Vec::new();
        put(&mut request, &marks.next());
        let body = client.ask(&request).await?.body;
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        let of = |provider: &Provider| answer["providerName"] == provider.name();
        let provider = [Provider::SuperCar, Provider::Premium].into_iter().find(of);
        provider.ok_or_else(|| format!("answered with {answer}").into())
    };
    providers.supercar.set_fault(Fault::always(Mode::Status(500)));
    let mut failed_over = Instant::now();
    for _ in 0..4 {
        failed_over = Instant::now();
        asked().await?;
    }
    providers.supercar.set_fault(Fault::NONE);
    for days in ["+1d", "-1d", "+0"] {
        step(&offset, days)?;
        for _ in 0..10 {
            if asked().await? != Provider::Premium {
                return Err(format!("SuperCar was asked again at a step to {days}").into());
            }
        }
    }
    step(&offset, "-1d")?;
    while asked().await? == Provider::Premium {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reverted = failed_over.elapsed();
    if reverted < REVERT || reverted > REVERT + Duration::from_millis(500) {
        return Err(format!("the route came back after {reverted:?}").into());
    }
    process.signal("TERM")?;
    let ended = process.wait()?;
    let days = Records::open(&database)?.days()?;
    if !ended.success() || days != 3 {
        return Err(format!("rows of {days} days, and the server ended with {ended}").into());
    }
    Ok(format!(
        "the wall clock went a day ahead, two days back and on to where it was: {} s on the fallback \
         took {:.1} s, log rows of 3 days, every PUT answered 200",
        REVERT.as_secs(),
        reverted.as_secs_f64()
    ))
}

/// Sets the offset that the library adds to the time. In one step: a half-written file would be another
/// time.
fn step(file: &Path, by: &str) -> Result<(), Failed> {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{by}\n"))?;
    Ok(std::fs::rename(new, file)?)
}
