//! A crowd of requests over HTTP/2 that wait, and clients that send large heads.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::crowds::serve_meanwhile;
use crate::http2::{self, NO_WINDOW};
use crate::process::{BINARY, Process, Providers, serve};
use crate::{Found, Scale};

/// The maximum growth of memory under an attack, in KiB.
const MOST: u64 = 64 << 10;
/// The size of a request's useless header fields, in bytes.
const LARGE: usize = 15_000;

/// Each attack on a server of its own: the growth of its memory, and the answers of other clients.
pub(crate) async fn held_requests(scale: Scale) -> Found {
    let connections = scale.of(1_000, 300);
    let large = "x".repeat(LARGE);
    let bodiless = |n: u32| http2::put_without_its_body(n, &[("x-request-id", &large)]);
    let untaken = |n: u32| http2::get(n, &format!("/{}", &large[..14_000]));
    let over = |request: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> {
        (0..32).flat_map(|number| request(2 * number + 1)).collect()
    };
    let half = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {large}").into_bytes();
    let mut found = Vec::new();
    for (name, opening, requests) in [
        ("32 PUTs each whose bodies don't come", http2::opening(&[]), over(&bodiless)),
        ("32 GETs each whose answers are not taken", http2::opening(&NO_WINDOW), over(&untaken)),
        ("a half head each over HTTP/1.1", Vec::new(), half),
    ] {
        let folder = tempfile::tempdir()?;
        let providers = Providers::start().await?;
        let mut command = Command::new(BINARY);
        serve(&mut command, &folder.path().join("v.sqlite"), &providers.urls());
        let process = Process::start(&mut command)?;
        let before = process.resident()?;
        let attack = [opening, requests].concat();
        let mut attackers = JoinSet::new();
        for _ in 0..connections {
            attackers.spawn(attacker(process.address, attack.clone()));
        }
        let mut peak = 0;
        // Ends if there is nothing to read.
        let watch = async {
            loop {
                match process.resident() {
                    Ok(resident) => peak = peak.max(resident),
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let served = tokio::select! {
            served = serve_meanwhile(&process, Duration::from_secs(5)) => served?,
            failed = watch => return failed,
        };
        let grown = peak.saturating_sub(before);
        if grown > MOST {
            return Err(format!("{name}: RSS grew by {grown} KiB").into());
        }
        found.push(format!("{name}: {} MiB, {served}", grown >> 10));
    }
    Ok(format!(
        "{connections} connections with heads of 15 KB; RSS grew at most by: {}",
        found.join("; ")
    ))
}

/// Sends all of it, and stays connected.
async fn attacker(address: SocketAddr, attack: Vec<u8>) {
    if let Ok(mut stream) = TcpStream::connect(address).await {
        let _ = stream.write_all(&attack).await;
        // Answers are read, so that the server can go on writing.
        while http2::next(&mut stream).await.is_some() {}
    }
}
