//! A log of provider calls of three years, for reports to be measured on.
//!
//! ```console
//! $ cargo bench -p valuation-server --bench drills -- log /tmp/audit.sqlite 10000000
//! $ /usr/bin/time -v target/release/valuation-server report --database /tmp/audit.sqlite --target 99.9%
//! $ /usr/bin/time -v target/release/valuation-server report --database /tmp/audit.sqlite --exact
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use valuation_server::store::{Store, StoreConfig};

use crate::{Failed, Found};

/// 1 December 2023, in milliseconds.
const START: i64 = 1_701_388_800_000;
const DAY: i64 = 86_400_000;
/// Three years.
const DAYS: i64 = 1_096;
const SUPERCAR: &str = "SuperCar Valuations";
/// How many rows a transaction inserts.
const BATCH: i64 = 100_000;

/// Makes a database with a log of so many rows, without rollups.
pub(crate) async fn make_without_rollups(path: &Path, rows: i64) -> Result<(), Failed> {
    Store::open(&StoreConfig::new(path)).await?.shutdown().await;
    fill(&Connection::open(path)?, rows)
}

/// Makes a database with a log of so many rows, and has a store build its rollups.
pub(crate) async fn make(path: &Path, rows: i64) -> Result<(), Failed> {
    let began = Instant::now();
    make_without_rollups(path, rows).await?;
    println!("{rows} rows written in {:.1?}", began.elapsed());
    let built = build_rollups(path).await?;
    println!("rollups built in {built}");
    Ok(())
}

/// Has a store build the rollups and the hash chain, and says how long that took.
pub(crate) async fn build_rollups(path: &Path) -> Found {
    let store = Store::open(&StoreConfig::new(path)).await?;
    let (began, mut longest, mut pieces) = (Instant::now(), Duration::ZERO, 0_u32);
    let mut more = true;
    while more {
        let piece = Instant::now();
        more = store.catch_up().await?;
        longest = longest.max(piece.elapsed());
        pieces += 1;
    }
    let whole = began.elapsed();
    store.shutdown().await;
    Ok(format!(
        "{whole:.1?}: {pieces} pieces, {:.1?} each, the longest {longest:.1?}",
        whole / pieces
    ))
}

/// SuperCar fails for an hour in each month, and in a planned window of two hours every 91 days; a few calls
/// of each thousand fail in addition. Whatever fails is rescued by the fallback, which is another provider
/// since the middle. Nobody calls on three days in each year.
///
/// The first planned windows are `2024-01-10T01:00/2024-01-10T03:00` and `2024-04-10T01:00/2024-04-10T03:00`.
fn fill(conn: &Connection, rows: i64) -> Result<(), Failed> {
    let mut random = fastrand::Rng::with_seed(18);
    let step = DAYS * DAY / rows.max(1);
    let mut number = 0;
    while number < rows {
        let tx = conn.unchecked_transaction()?;
        let mut insert = tx.prepare_cached(
            r#"INSERT INTO "ProviderLogs" ("vrm", "providerName", "requestedAt",
                "requestDurationMs", "requestUrl", "responseCode", "errorCode", "errorMessage",
                "outcome", "rescue") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"#,
        )?;
        let end = (number + BATCH).min(rows);
        while number < end {
            let at = START + number * step + random.i64(0..step.max(1));
            let (day, of_day) = ((at - START) / DAY, at % DAY);
            if (200..203).contains(&(day % 365)) {
                number += 1;
                continue;
            }
            let is_planned = day % 91 == 40 && (3_600_000..10_800_000).contains(&of_day);
            let is_down =
                is_planned || day % 30 == 11 && (36_000_000..39_600_000).contains(&of_day);
            let vehicle = number % 1_000_000;
            let mut insert = |provider, ms, failure: Option<(&str, Option<u16>)>, rescue| {
                let code = failure.map_or(Some(200), |(_, code)| code);
                let vrm = format!("V{vehicle}");
                insert.execute(params![
                    vrm,
                    provider,
                    format!("{:.3}", jiff::Timestamp::from_millisecond(at)?),
                    ms,
                    format!("https://valuations.example/valuations/{vrm}?mileage=10000"),
                    code,
                    failure.map(|(code, _)| code),
                    failure.map(|_| "it failed"),
                    if failure.is_some() { "failure" } else { "success" },
                    rescue,
                ])?;
                Ok::<_, Failed>(())
            };
            let fallback =
                if day < DAYS / 2 { "Classic Valuations" } else { "Premium Car Valuations" };
            number += 1;
            if is_down || random.u32(0..1_000) < 2 {
                let failure = match random.u32(0..3) {
                    0 => ("TIMEOUT", None),
                    1 => ("STATUS", Some(503)),
                    _ => ("CONNECT", None),
                };
                insert(
                    SUPERCAR,
                    if failure.0 == "TIMEOUT" { 5_000 } else { 40 },
                    Some(failure),
                    false,
                )?;
                insert(fallback, duration(&mut random, 300.0), None, true)?;
                number += 1;
            } else {
                insert(SUPERCAR, duration(&mut random, 80.0), None, false)?;
            }
        }
        drop(insert);
        tx.commit()?;
    }
    Ok(())
}

/// About this many milliseconds, and now and then several times as many.
#[expect(clippy::cast_possible_truncation, reason = "some thousands at most")]
fn duration(random: &mut fastrand::Rng, usual: f64) -> i64 {
    let sum: f64 = (0..6).map(|_| random.f64() - 0.5).sum();
    (usual * (sum * 0.7).exp()) as i64
}
