//! The binary: parse, run.

use std::process::ExitCode;

use clap::Parser;
use valuation_server::cli::Cli;
use valuation_server::run;

fn main() -> ExitCode {
    run(&Cli::parse())
}
