//! Many clients at once: slow ones, idle ones, and ten times too many.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use valuation_server::demo::simulator::Pace;

use crate::load::{Client, Tally, drive};
use crate::marks::{Marks, get, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::{Failed, Found, Scale};

/// Half of them send a head byte by byte, half a body, while another client is served.
pub(crate) async fn slow_clients(scale: Scale) -> Found {
    let slow = scale.of(1_000, 200);
    let (process, _providers, _folder) = server(Pace::INSTANT, &[]).await?;
    let started = Instant::now();
    let mut dripping = JoinSet::new();
    for number in 0..slow {
        let mut client = Client::connect(process.address).await?;
        let start: &[u8] = if number % 2 == 0 {
            b"GET / HTTP/1.1\r\nhost: x\r\nx: "
        } else {
            b"PUT /valuations/SLOW HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
              content-length: 1000\r\n\r\n"
        };
        dripping.spawn(async move {
            client.stream.write_all(start).await?;
            let (mut reading, mut writing) = client.stream.split();
            let drip = async {
                while writing.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            let mut answer = Vec::new();
            tokio::select! {
                () = drip => {}
                read = reading.read_to_end(&mut answer) => { read?; }
            }
            std::io::Result::Ok(started.elapsed())
        });
    }
    let served = serve_meanwhile(&process, Duration::from_secs(5)).await?;
    let mut longest = Duration::ZERO;
    while let Some(ended) = dripping.join_next().await {
        longest = longest.max(ended?.unwrap_or_else(|_| started.elapsed()));
    }
    if longest > Duration::from_secs(40) {
        return Err(format!("a slow client stayed for {longest:?}").into());
    }
    Ok(format!(
        "{slow} clients that send a head or a body a byte a second: all rejected within \
         {} s; meanwhile {served}",
        longest.as_secs()
    ))
}

/// Clients that send one request and stay connected.
pub(crate) async fn idle_clients(scale: Scale) -> Found {
    let wanted = scale.of(5_000, 1_000);
    // This process and the server need a file for each.
    let limit = open_files()?;
    let idle = wanted.min(limit.saturating_sub(200));
    let (process, _providers, _folder) = server(Pace::INSTANT, &[]).await?;
    let before = process.resident()?;
    let mut clients = Vec::new();
    let mut request = Vec::new();
    get(&mut request, "NOBODY");
    for _ in 0..idle {
        let mut client = Client::connect(process.address).await?;
        client.ask(&request).await?;
        clients.push(client);
    }
    let each = (process.resident()?.saturating_sub(before) << 10) as f64 / idle as f64;
    let served = serve_meanwhile(&process, Duration::from_secs(3)).await?;
    let mut closed = 0;
    for client in &mut clients {
        let end = tokio::time::timeout(Duration::from_secs(40), client.stream.read(&mut [0])).await;
        closed += u64::from(matches!(end, Ok(Ok(0))));
    }
    if closed != idle as u64 {
        return Err(format!("{closed} of {idle} idle connections were closed").into());
    }
    let scaled =
        if idle < wanted { format!(" (of {wanted}: ulimit -n is {limit})") } else { String::new() };
    Ok(format!(
        "RSS {:.1} MiB at rest; {idle} idle connections{scaled}: {:.1} KiB each, all closed after \
         20 s; meanwhile {served}",
        before as f64 / 1024.0,
        each / 1024.0
    ))
}

/// Ten times the clients of the best load, with a limit of as many valuations as the best load had. The
/// two loads alternate, so that the machine's other work affects both.
pub(crate) async fn tenfold(scale: Scale) -> Found {
    const BEST: usize = 128;
    const TURN: Duration = Duration::from_secs(2);
    let turns = scale.of(6, 2);
    let pace = Pace { latency: Duration::from_millis(20), ..Pace::INSTANT };
    let (process, providers, _folder) = server(pace, &["--max-puts", "128"]).await?;
    let marks = Arc::new(Marks::default());
    let load = |clients| {
        let marks = Arc::clone(&marks);
        let request = move |buffer: &mut Vec<u8>| put(buffer, &marks.next());
        drive(process.address, clients, TURN, request, |(), _| ())
    };
    load(BEST).await;
    let known = crate::marks::mark(marks.given() / 2);
    let read = || {
        let known = known.clone();
        drive(process.address, 4, TURN, move |to| get(to, &known), |(), _| ())
    };
    let (idle, mut busy) = (process.resident()?, 0);
    let (mut peak, mut over, mut reads) = (Tally::default(), Tally::default(), Tally::default());
    for _ in 0..turns {
        // Reads go on during both.
        let (best, _) = tokio::join!(load(BEST), tokio::spawn(read()));
        peak.add(best);
        let (more, read) = tokio::join!(load(10 * BEST), tokio::spawn(read()));
        over.add(more);
        reads.add(read?);
        busy = busy.max(process.resident()?);
    }
    let rate = |tally: &Tally| tally.count(200) as f64 / (turns * TURN.as_secs()) as f64;
    let share = rate(&over) / rate(&peak);
    let others = over.answers() - over.count(200) - over.count(503);
    let found = format!(
        "{BEST} clients: {:.0} PUTs of new ones a second; ten times as many: {:.0} a second \
         ({:.0} %), {} told 503, p99 of all answers {:?}; GETs meanwhile p99 {:?}; {} provider \
         calls; RSS {} MiB before, {} MiB under it",
        rate(&peak),
        rate(&over),
        share * 100.0,
        over.count(503),
        over.latency(990),
        reads.latency(990),
        providers.calls(),
        idle >> 10,
        busy >> 10,
    );
    if share < 0.8 || over.broken + over.refused + others > 0 || busy > idle + (64 << 10) {
        let (broken, refused) = (over.broken, over.refused);
        return Err(format!("{found}; {broken} broken, {refused} refused, {others} other").into());
    }
    Ok(found)
}

async fn server(
    pace: Pace,
    flags: &[&str],
) -> Result<(Process, Providers, tempfile::TempDir), Failed> {
    let folder = tempfile::tempdir()?;
    let providers = Providers::with(pace).await?;
    let mut command = Command::new(BINARY);
    let database: &Path = &folder.path().join("valuations.sqlite");
    serve(&mut command, database, &providers.urls());
    Ok((Process::start(command.args(flags))?, providers, folder))
}

/// The answers of the other clients.
pub(crate) async fn serve_meanwhile(process: &Process, time: Duration) -> Result<String, Failed> {
    let marks = Marks::default();
    let request = move |buffer: &mut Vec<u8>| put(buffer, &marks.next());
    let mut tally = drive(process.address, 4, time, request, |(), _| ()).await;
    if tally.broken + tally.refused > 0 || tally.count(200) != tally.answers() {
        return Err(format!("others were answered {:?}", tally.statuses).into());
    }
    let p99 = tally.latency(990);
    Ok(format!("{} PUTs of others answered 200, p99 {p99:?}", tally.answers()))
}

fn open_files() -> Result<usize, Failed> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)).ok_or("no limit on files")?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}
