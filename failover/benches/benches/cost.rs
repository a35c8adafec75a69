//! Measures everything, and prints the table. See the package's documentation for how.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use failover_cost::measure::{Effort, one, tasks, two};
use failover_cost::rows::{Row, groups, holders};
use failover_cost::table::{Measured, render, render_held};

const HELP: &str = "\
Measures what a call costs, and prints a Markdown table.

  --rounds N     slices for each row, 41 by default: more rounds, less noise
  --slice MS     how long a slice takes, 3 ms by default
  --only TEXT    the rows with this text in their name, beside bare calls and the floor";

struct Asked {
    effort: Effort,
    only: Option<String>,
}

fn ask() -> Result<Option<Asked>, Box<dyn Error>> {
    let mut asked =
        Asked { effort: Effort { rounds: 41, slice: Duration::from_millis(3) }, only: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n\n{HELP}"));
        match argument.as_str() {
            // Cargo passes this to each benchmark.
            "--bench" => {}
            "--rounds" => asked.effort.rounds = value()?.parse::<usize>()?.max(1),
            "--slice" => asked.effort.slice = Duration::from_millis(value()?.parse()?),
            "--only" => asked.only = Some(value()?),
            "--help" => return Ok(None),
            other => return Err(format!("{other} is no option\n\n{HELP}").into()),
        }
    }
    Ok(Some(asked))
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

/// By rows: allocations per call. By holders: bytes.
fn allocations(rows: usize, only: Option<&str>) -> Result<(Vec<f64>, Vec<String>), Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_allocations"))
        .args(only)
        .stderr(Stdio::inherit())
        .output()?;
    let mut lines = lines(&output.stdout);
    if !output.status.success() || lines.len() != rows + holders().len() {
        return Err("the allocations could not be counted".into());
    }
    let held = lines.split_off(rows);
    Ok((lines.iter().map(|line| line.parse()).collect::<Result<_, _>>()?, held))
}

/// By rows: instructions per call. `None` without valgrind.
fn instructions(rows: usize, only: Option<&str>) -> Result<Option<Vec<f64>>, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("failover-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let counted = count(&folder, rows, only);
    std::fs::remove_dir_all(&folder)?;
    counted
}

fn count(
    folder: &Path,
    rows: usize,
    only: Option<&str>,
) -> Result<Option<Vec<f64>>, Box<dyn Error>> {
    let out = folder.join("counts");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*mark_of_the_count*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env!("CARGO_BIN_EXE_instructions"))
        .args(only)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    // The odd dumps are before a row's calls, the even ones after them.
    let read = |row: usize| -> Result<f64, Box<dyn Error>> {
        let part = PathBuf::from(format!("{}.{}", out.display(), 2 * row + 2));
        let text = std::fs::read_to_string(part)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        Ok(total.ok_or("valgrind wrote no total")?.trim().parse::<f64>()? / 1_000.0)
    };
    Ok(Some((0..rows).map(read).collect::<Result<_, _>>()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(Asked { effort, only }) = ask()? else {
        println!("{HELP}");
        return Ok(());
    };
    let start = Instant::now();
    let only = only.as_deref();
    let all = groups(only);
    let rows: Vec<&Row> = all.iter().flat_map(|group| &group.rows).collect();
    let note = |what: &str| eprintln!("{:4} s  {what}", start.elapsed().as_secs());

    note("allocations");
    let (allocations, held) = allocations(rows.len(), only)?;
    note("instructions");
    let instructions = instructions(rows.len(), only)?;
    note("one thread");
    let one = one::measure(&rows, effort);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(tasks::WORKERS as usize)
        .enable_time()
        .build()?;
    note("two threads");
    let two = two::measure(&rows, effort, runtime.handle());
    note("eight tasks");
    let tasks = tasks::measure(&rows, effort, &runtime);
    note("done");

    let measured = Measured { one, two, tasks, allocations, instructions };
    print!("{}", render(&all, &measured));
    let names: Vec<_> = holders().into_iter().map(|(name, _)| name).collect();
    print!("{}", render_held(&names, &held));
    println!(
        "\nMedians of {} rounds; in brackets the quartiles. {}",
        effort.rounds,
        if measured.instructions.is_some() {
            "Instructions by valgrind, the clock's own not included."
        } else {
            "valgrind is not on the PATH, or does not run: no instructions were counted."
        },
    );
    Ok(())
}
