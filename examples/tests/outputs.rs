//! Compares each example's output with `expected/`. `UPDATE_EXPECTED=1` rewrites it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The examples, and whether this build includes them.
const EXAMPLES: [(&str, bool); 14] = [
    ("quickstart", true),
    ("plain_functions", true),
    ("fleet", true),
    ("three_tiers", true),
    ("rescue", true),
    ("shared_handle", true),
    ("testing_your_failover", true),
    ("configuration", cfg!(feature = "config")),
    ("http_pair", cfg!(feature = "http")),
    ("reqwest_client", cfg!(feature = "reqwest")),
    ("axum_app", cfg!(feature = "axum")),
    ("tonic_client", cfg!(feature = "tonic")),
    ("observability", cfg!(feature = "observability")),
    ("outage_drill", cfg!(feature = "server")),
];

const LABORATORY: &str = "policy_lab";
/// Slow without optimisation: `.ci/run` compares each with its own `RESULTS.md`.
const ELSEWHERE: [&str; 2] = [LABORATORY, "fleet_lab"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expected")
}

/// The path of an example: Cargo puts them next to this test's folder.
fn program(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

#[test]
fn each_example_prints_what_is_expected_of_it() {
    for (name, _) in EXAMPLES.iter().filter(|(_, built)| *built) {
        let program = program(name);
        assert!(
            program.exists(),
            "{name} is not built: run `cargo test -p examples` without --test"
        );
        let output = Command::new(program).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} ended with {}: {errors}", output.status);
        let printed = String::from_utf8(output.stdout).unwrap();
        let path = folder().join(format!("{name}.txt"));
        if env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, &printed).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap();
        assert!(printed == expected, "{name} prints\n{printed}\nand not\n{expected}");
    }
}

#[test]
fn each_example_is_expected_to_print_something() {
    let manifest = fs::read_to_string(folder().with_file_name("Cargo.toml")).unwrap();
    let sections = manifest.split("[[example]]").skip(1);
    let named = sections.map(|section| section.split('"').nth(1).unwrap().to_owned());
    let mut named: Vec<String> = named.filter(|name| !ELSEWHERE.contains(&name.as_str())).collect();
    let mut known: Vec<_> = EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    named.sort();
    known.sort();
    assert_eq!(named, known);
}

#[test]
fn the_recipes_of_the_manual_are_those_that_are_run() {
    let root = folder().parent().and_then(Path::parent).unwrap().to_path_buf();
    let page = fs::read_to_string(root.join("failover/src/manual/observing.md")).unwrap();
    let example = fs::read_to_string(root.join("examples/observability.rs")).unwrap();
    let recipes = page.split("```rust,ignore\n").skip(1);
    let recipes: Vec<_> = recipes.map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(recipes.len(), 3);
    for recipe in recipes {
        assert!(example.contains(recipe), "observability.rs has no such lines:\n{recipe}");
    }
}

/// The lab's HTML page contains the tables that the lab prints.
#[test]
fn the_page_of_the_laboratory_has_its_tables() {
    let lab = folder().with_file_name(LABORATORY);
    let read = |name| fs::read_to_string(lab.join(name)).unwrap();
    let (page, results) = (read("README.md"), read("RESULTS.md"));
    let results = tables(&results);
    let tables = tables(&page);
    // The costs; the costs and the false trips of the default's neighbours.
    assert_eq!(tables.len(), 3);
    for table in tables {
        assert!(table.lines().count() > 10);
        assert!(results.contains(&table), "RESULTS.md has no such table:\n{table}");
    }
}

/// The tables that compare policies.
fn tables(page: &str) -> Vec<String> {
    let paragraphs = page.split("\n\n").map(str::trim);
    paragraphs.filter(|text| text.starts_with("| policy |")).map(str::to_owned).collect()
}
