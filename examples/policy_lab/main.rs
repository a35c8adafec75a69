//! Which settings should I choose? Plays policies through outages in virtual time, ours by the
//! library's own monitor and well-known ones by their documentation, all on the same calls.
//!
//! `cargo run --release -p examples --example policy_lab`
//!
//! It prints Markdown tables, and writes one HTML file with the pictures: `policy_lab.html` in the
//! target folder, or where `--html PATH` says. The same seed gives the same bytes on every machine.

mod page;
mod policies;
mod random;
mod scenarios;
mod simulation;
mod table;
mod world;

use std::path::PathBuf;
use std::{env, fs, process};

use policies::Candidate;
use table::{Results, Sweep};
use world::{CAPACITY, ERROR, PRICE, Scenario};

/// The shares of calls that a healthy primary fails, in percent.
const HEALTHY: [u32; 6] = [1, 5, 10, 20, 30, 40];

fn main() {
    let (seed, path) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\nusage: policy_lab [--seed NUMBER] [--html PATH]");
            process::exit(2);
        }
    };
    let policies = policies::all();
    let results: Vec<Results> =
        scenarios::standard().into_iter().map(|scenario| play(&policies, scenario, seed)).collect();
    let sweep: Sweep = HEALTHY
        .iter()
        .map(|percent| {
            let runs = play(&policies, scenarios::healthy(*percent), seed).runs;
            (*percent, runs.iter().map(|run| run.false_trips).collect())
        })
        .collect();
    println!("{}", report(&policies, &results, &sweep));
    let page = page::page(&policies, &results, &sweep);
    if let Err(error) = fs::write(&path, page) {
        eprintln!("the picture can't be written to {}: {error}", path.display());
        process::exit(1);
    }
    eprintln!("The pictures are in {}.", path.display());
}

fn play(policies: &[Candidate], scenario: Scenario, seed: u64) -> Results {
    let calls = scenario.calls(seed);
    let runs = policies
        .iter()
        .map(|policy| simulation::play(&scenario, &calls, (policy.begin)()))
        .collect();
    Results { scenario, calls: calls.len(), runs }
}

fn report(policies: &[Candidate], results: &[Results], sweep: &Sweep) -> String {
    let mut text = format!(
        "## What it costs, in pounds\n\nA call of the fallback costs {PRICE} p, a customer who sees \
         an error {ERROR} p. The fallback takes {CAPACITY} calls/s. No single call is rescued. The \
         best of each column is bold.\n\n"
    );
    text += &table::costs(policies, results);
    for result in results {
        let Scenario { name, what, .. } = result.scenario;
        text += &format!("\n## {name}\n\n{what}. {} calls.\n\n", result.calls);
        text += &table::scenario(policies, result);
    }
    text += "\n## False trips a day, by the share of calls that a healthy primary fails\n\n";
    text += &table::false_trips(policies, sweep);
    text += "\n## The policies\n\n| policy | what it does |\n|---|---|\n";
    for policy in policies {
        text += &format!("| {} | {} |\n", policy.name, policy.what);
    }
    text
}

fn arguments() -> Result<(u64, PathBuf), String> {
    let (mut seed, mut path) = (1, None);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--seed" => {
                seed = value.parse().map_err(|_| format!("--seed {value}: not a whole number"))?;
            }
            "--html" => path = Some(PathBuf::from(value)),
            _ => return Err(format!("{word} is not known here")),
        }
    }
    Ok((seed, path.unwrap_or_else(|| target().join("policy_lab.html"))))
}

/// The folder that Cargo builds into: two above `examples/` of the profile that this runs from.
fn target() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(env::temp_dir, PathBuf::from)
}
