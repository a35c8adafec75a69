//! kill -9 of commands that go on where they were, at random times, until they are complete.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::audits;
use crate::process::BINARY;
use crate::records::Records;
use crate::{Failed, Found, Scale};

/// A command that works on a log in pieces.
struct Case {
    name: &'static str,
    /// The arguments after the program.
    arguments: fn(&Files) -> Vec<String>,
    /// What else must hold when it is complete.
    complete: fn(&Connection) -> Result<bool, Failed>,
}

const CASES: [Case; 1] = [Case {
    name: "rollups",
    arguments: |files| {
        ["rollups", "--database"].map(String::from).into_iter().chain([files.database()]).collect()
    },
    complete: |conn| {
        Ok(one(conn, "SELECT countedTo FROM rollup_mark")?
            == one(conn, "SELECT max(id) FROM original.ProviderLogs")?)
    },
}];

/// The database of a build, and the archive that a command may make.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// With a copy of this database.
    fn of(original: &Path) -> Result<Self, Failed> {
        let files = Self { folder: tempfile::tempdir()? };
        fs::copy(original, files.database())?;
        Ok(files)
    }

    fn database(&self) -> String {
        self.path("valuations.sqlite")
    }

    fn archive(&self) -> String {
        self.path("archive.sqlite")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

pub(crate) async fn after_kills(scale: Scale) -> Found {
    let (kills, rows) = scale.of((100, 60_000), (10, 20_000));
    let folder = tempfile::tempdir()?;
    let original = folder.path().join("original.sqlite");
    audits::make_without_rollups(&original, rows).await?;
    let mut found = Vec::new();
    for case in &CASES {
        found
            .push(play(case, &original, kills).map_err(|error| format!("{}: {error}", case.name))?);
    }
    Ok(found.join("; "))
}

fn play(case: &Case, original: &Path, kills: u32) -> Result<String, Failed> {
    let files = Files::of(original)?;
    let began = Instant::now();
    run(case, &files, None)?;
    let whole = began.elapsed();
    check(case, &files, original, true)?;

    let mut random = fastrand::Rng::new();
    let (mut files, mut killed, mut completed) = (Files::of(original)?, 0, 0);
    while killed < kills {
        if run(case, &files, Some(whole.mul_f64(random.f64())))? {
            check(case, &files, original, true)?;
            completed += 1;
            files = Files::of(original)?;
        } else {
            check(case, &files, original, false)?;
            killed += 1;
        }
    }
    run(case, &files, None)?;
    check(case, &files, original, true)?;
    completed += 1;
    Ok(format!(
        "{killed} kill -9 of `{}` within {whole:.0?}, {completed} times resumed until complete: after \
         each no row lost or doubled, the sums those of the rows up to the mark, integrity ok",
        case.name
    ))
}

/// Runs the command and kills it after this time. Whether it ended before.
fn run(case: &Case, files: &Files, after: Option<Duration>) -> Result<bool, Failed> {
    let mut command = Command::new(BINARY);
    command.env_clear().args((case.arguments)(files));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(after) = after {
        std::thread::sleep(after);
        child.kill()?;
    }
    let ended = child.wait_with_output()?;
    match ended.status.code() {
        Some(0) => Ok(true),
        None => Ok(false),
        Some(_) => Err(String::from_utf8_lossy(&ended.stderr).into_owned().into()),
    }
}

/// Holds the files against the original, in SQL of its own.
fn check(case: &Case, files: &Files, original: &Path, is_complete: bool) -> Result<(), Failed> {
    drop(Records::open(Path::new(&files.database()))?);
    let conn = Connection::open(files.database())?;
    conn.execute("ATTACH ?1 AS original", [original.display().to_string()])?;
    let has_archive = Path::new(&files.archive()).exists();
    if has_archive {
        drop(Records::open(Path::new(&files.archive()))?);
        conn.execute("ATTACH ?1 AS archive", [files.archive()])?;
    }
    let archived = if has_archive { "UNION ALL SELECT * FROM archive.ProviderLogs" } else { "" };
    conn.execute_batch(&format!(
        "CREATE TEMP VIEW stored AS SELECT * FROM main.ProviderLogs {archived}"
    ))?;
    let none = |what: &str, sql: &str| match one(&conn, sql)? {
        0 => Ok(()),
        rows => Err(Failed::from(format!("{rows} rows {what}"))),
    };
    none(
        "lost or changed",
        "SELECT count(*) FROM (SELECT * FROM original.ProviderLogs EXCEPT SELECT * FROM stored)",
    )?;
    none(
        "of unknown origin",
        "SELECT count(*) FROM (SELECT * FROM stored EXCEPT SELECT * FROM original.ProviderLogs)",
    )?;
    // Two files have no common transaction: before the end a row may be in both of them.
    if is_complete || !has_archive {
        none("doubled", "SELECT count(*) - count(DISTINCT id) FROM stored")?;
    }
    let sums = [
        "SELECT count(*) FROM original.ProviderLogs WHERE id <= (SELECT countedTo FROM main.rollup_mark)",
        "SELECT sum(calls) FROM main.call_hours",
        "SELECT sum(calls) FROM main.call_durations WHERE span = 3600",
        "SELECT sum(calls) FROM main.call_durations WHERE span = 86400",
    ];
    let sums = sums.into_iter().map(|sql| one(&conn, sql)).collect::<Result<Vec<_>, _>>()?;
    if sums.iter().any(|sum| *sum != sums[0]) {
        return Err(format!("rows up to the mark, and sums: {sums:?}").into());
    }
    if is_complete && !(case.complete)(&conn)? {
        return Err("it ended before it was complete".into());
    }
    Ok(())
}

/// One number; 0 for none.
fn one(conn: &Connection, sql: &str) -> Result<i64, Failed> {
    Ok(conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0))
}
