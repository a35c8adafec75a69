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

/// Calls before this are moved to the archive: half of the three years.
const CUT: &str = "2025-06-01";

/// A command that works on a log in pieces.
struct Case {
    name: &'static str,
    /// Whether the rollups and the hash chain of the log must have been built before it.
    needs_sums: bool,
    /// The arguments after the program.
    arguments: fn(&Files) -> Vec<String>,
    /// What else must hold when it is complete.
    complete: fn(&Connection) -> Result<bool, Failed>,
}

const CASES: [Case; 2] = [
    Case {
        name: "rollups",
        needs_sums: false,
        arguments: |files| ["rollups", "--database", &files.database()].map(String::from).to_vec(),
        complete: |conn| {
            Ok(one(conn, "SELECT countedTo FROM rollup_mark")?
                == one(conn, "SELECT max(id) FROM original.ProviderLogs")?)
        },
    },
    Case {
        name: "archive",
        needs_sums: true,
        arguments: |files| {
            let (database, archive) = (files.database(), files.archive());
            ["archive", "--before", CUT, "--to", &archive, "--database", &database]
                .map(String::from)
                .to_vec()
        },
        complete: |conn| {
            // Cut after the last whole record of the chain before the first call of that day.
            let last_moved = one(
                conn,
                &format!(
                    "SELECT max(lastId) FROM original.log_chain WHERE lastId <
                     (SELECT min(id) FROM original.ProviderLogs WHERE requestedAt >= '{CUT}')"
                ),
            )?;
            let changed_sums = one(
                conn,
                "SELECT count(*) FROM (SELECT * FROM original.call_hours EXCEPT SELECT * FROM main.call_hours)",
            )? + one(
                conn,
                "SELECT count(*) FROM (SELECT * FROM original.call_durations
                 EXCEPT SELECT * FROM main.call_durations)",
            )?;
            Ok(last_moved > 0
                && one(conn, "SELECT max(id) FROM archive.ProviderLogs")? == last_moved
                && one(conn, "SELECT min(id) FROM main.ProviderLogs")? == last_moved + 1
                && changed_sums == 0)
        },
    },
];

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

    fn has_archive(&self) -> bool {
        Path::new(&self.archive()).exists()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

pub(crate) async fn after_kills(scale: Scale) -> Found {
    // Of each command.
    let (kills, rows) = scale.of((50, 60_000), (5, 20_000));
    let folder = tempfile::tempdir()?;
    let original = folder.path().join("original.sqlite");
    audits::make_without_rollups(&original, rows).await?;
    let mut found = Vec::new();
    for case in &CASES {
        if case.needs_sums {
            audits::build_rollups(&original).await?;
        }
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
        "{killed} kill -9 of `{}` within {whole:.0?}, {completed} times complete: after each no row lost or \
         changed, the sums those of the rows up to the mark, integrity ok; at the ends no row doubled, \
         and the hash chain verified over all files",
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

/// Verifies the hash chain over all files, and the archive's checksum.
fn verify(files: &Files) -> Result<(), Failed> {
    let mut chain = Command::new(BINARY);
    chain.env_clear().args(["report", "--verify", &files.database()]);
    let mut commands = vec![chain];
    if files.has_archive() {
        commands[0].arg(files.archive());
        let mut sum = Command::new("sha256sum");
        sum.current_dir(files.folder.path()).args(["--check", "archive.sqlite.sha256"]);
        commands.push(sum);
    }
    for mut command in commands {
        let output = command.output()?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(format!("{command:?}: {}", String::from_utf8_lossy(&said)).into());
        }
    }
    Ok(())
}

/// Holds the files against the original, in SQL of its own.
fn check(case: &Case, files: &Files, original: &Path, is_complete: bool) -> Result<(), Failed> {
    if is_complete {
        verify(files)?;
    }
    drop(Records::open(Path::new(&files.database()))?);
    let conn = Connection::open(files.database())?;
    conn.execute("ATTACH ?1 AS original", [original.display().to_string()])?;
    let mut has_archive = files.has_archive();
    if has_archive {
        drop(Records::open(Path::new(&files.archive()))?);
        conn.execute("ATTACH ?1 AS archive", [files.archive()])?;
        // A kill may leave a file that has no tables yet.
        has_archive =
            one(&conn, "SELECT count(*) FROM archive.sqlite_schema WHERE name = 'ProviderLogs'")?
                == 1;
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
