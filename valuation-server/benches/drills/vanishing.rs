//! Clients that vanish in the middle of a PUT.

use std::process::Command;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::load::Client;
use crate::marks::{mark, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::records::Records;
use crate::{Found, Scale};

/// Each goes at another point: inside the head, inside the body, or shortly after the last byte; every
/// second one with a reset.
pub(crate) async fn in_the_middle_of_a_put(scale: Scale) -> Found {
    let clients = scale.of(1_000_u16, 100);
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("valuations.sqlite");
    let providers = Providers::start().await?;
    let mut command = Command::new(BINARY);
    serve(&mut command, &database, &providers.urls());
    let mut process = Process::start(&mut command)?;
    let mut whole = 0;
    for number in 0..clients {
        let mut request = Vec::new();
        put(&mut request, &mark(number.into()));
        let mut client = Client::connect(process.address).await?;
        let length = request.len();
        // Half of them send all of it.
        let sent =
            if number % 2 == 0 { length } else { 1 + (usize::from(number) * 31) % (length - 1) };
        client.stream.write_all(&request[..sent]).await?;
        whole += u64::from(sent == length);
        tokio::time::sleep(Duration::from_micros(u64::from(number) * 7 % 1_000)).await;
        if number % 4 < 2 {
            client.stream.set_zero_linger()?;
        }
    }
    process.signal("TERM")?;
    let ended = process.wait()?;
    if !ended.success() {
        return Err(format!("the server ended with {ended}").into());
    }
    let records = Records::open(&database)?;
    let (calls, rows) = (providers.calls(), records.rows("ProviderLogs")?);
    let halves = records.halves()?;
    if calls != rows || halves > 0 || calls > whole {
        return Err(format!("{calls} calls to providers, {rows} log rows, {halves} halves").into());
    }
    Ok(format!(
        "{clients} clients vanished mid-PUT ({whole} after the last byte): {calls} provider calls, \
         {rows} log rows, {} valuations, 0 halves",
        records.rows("vehicle_valuation")?
    ))
}
