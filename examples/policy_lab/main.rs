//! Which settings should I choose? Simulates outages in virtual time, with the same calls for
//! policies of this library, run by its own monitor, and well-known ones, written from their
//! documentation.
//!
//! `cargo run --release -p examples --example policy_lab`
//!
//! It prints Markdown tables, and writes an HTML file with charts: `policy_lab.html` in the target
//! folder, or the path of `--html PATH`. The same seed gives the same bytes on every machine.

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
use simulation::Run;
use table::{Played, Results, Sweep};
use world::{CAPACITY, Call, DAY, ERROR, PRICE, Scenario};

/// How many seeds the costs are compared over.
const SEEDS: u64 = 10;

/// The shares of calls that fail on a healthy primary, in percent.
const HEALTHY: [u32; 6] = [1, 5, 10, 20, 30, 40];

fn main() {
    let (seed, path) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\nusage: policy_lab [--seed NUMBER] [--html PATH]");
            process::exit(2);
        }
    };
    let (all, around) = (play_all(policies::all(), seed), play_all(policies::neighbours(), seed));
    println!("{}", report(&all, &around));
    let page = page::page(&all, &around);
    if let Err(error) = fs::write(&path, page) {
        eprintln!("the picture can't be written to {}: {error}", path.display());
        process::exit(1);
    }
    eprintln!("The pictures are in {}.", path.display());
}

fn play_all(policies: Vec<Candidate>, seed: u64) -> Played {
    let seeds = (seed..seed.saturating_add(SEEDS)).map(|seed| play_standard(&policies, seed));
    let seeds: Vec<_> = seeds.collect();
    let sweep = |traffic, days| {
        // Each call has its own random number, so all shares apply to the same calls.
        let calls = scenarios::healthy(traffic, days, 0).calls(seed);
        let trips = |percent| {
            let scenario = scenarios::healthy(traffic, days, percent);
            let runs = play(&policies, &scenario, &calls);
            (percent, runs.iter().map(|run| run.false_trips).collect())
        };
        Sweep { length: days * DAY, columns: HEALTHY.map(trips).into() }
    };
    let (busy, few) = (sweep(scenarios::RATE, 1), sweep(scenarios::FEW, 10));
    Played { policies, seeds, busy, few }
}

fn play_standard(policies: &[Candidate], seed: u64) -> Vec<Results> {
    let standard = scenarios::standard().into_iter().map(|scenario| {
        let calls = scenario.calls(seed);
        let runs = play(policies, &scenario, &calls);
        Results { scenario, calls: calls.len(), runs }
    });
    standard.collect()
}

fn play(policies: &[Candidate], scenario: &Scenario, calls: &[Call]) -> Vec<Run> {
    let play = |policy: &Candidate| simulation::play(scenario, calls, (policy.begin)());
    policies.iter().map(play).collect()
}

fn report(all: &Played, around: &Played) -> String {
    let mut text = format!(
        "## What it costs, in pounds\n\nA call of the fallback costs {PRICE} p, a customer who sees \
         an error {ERROR} p. The fallback takes {CAPACITY} calls/s. No single call is rescued. The \
         best of each column is bold.\n\n"
    );
    text += &table::costs(&all.policies, all.results());
    for result in all.results() {
        let Scenario { name, what, .. } = result.scenario;
        text += &format!("\n## {name}\n\n{what}. {} calls.\n\n", result.calls);
        text += &table::scenario(&all.policies, result);
    }
    text += "\n## False trips a day, by the share of calls that a healthy primary fails\n\n";
    text += &false_trips(all);
    text += "\n## The default's numbers, one changed at a time\n\nWhat it costs, in pounds:\n\n";
    text += &table::costs(&around.policies, around.results());
    text += "\nFalse trips a day, by the share of calls that a healthy primary fails.\n\n";
    text += &false_trips(around);
    text += &format!(
        "\n## Over {SEEDS} seeds\n\nThe mean of what each policy costs more than the default, in pounds, \
         and in how many of the {SEEDS} it is cheaper : more expensive.\n\n"
    );
    text += &table::against_the_first(&all.policies, &all.seeds);
    text += &format!("\n{}", table::against_the_first(&around.policies, &around.seeds));
    text += "\n## The policies\n\n| policy | what it does |\n|---|---|\n";
    for policy in &all.policies {
        text += &format!("| {} | {} |\n", policy.name, policy.what);
    }
    text
}

fn false_trips(played: &Played) -> String {
    let [busy, few] =
        [&played.busy, &played.few].map(|sweep| table::false_trips(&played.policies, sweep));
    format!("At 20 calls a second:\n\n{busy}\nAt 12 calls a minute, over ten days:\n\n{few}")
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

/// Cargo's target folder: two above the `examples/` of the profile that this runs from.
fn target() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(env::temp_dir, PathBuf::from)
}
