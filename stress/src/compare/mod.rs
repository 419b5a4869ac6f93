//! The comparison: psn, the floor and psn's peers, on one storm, in one run.
//!
//! ```text
//! cli ─► session ── a storm for each size and layout ── step ─► measure ─► figures ─► output
//!                                                               │ floor, psn, peer:     targets, table, charts, docs
//!                                                               └ a program each, its CPU time from wait4
//! ```
//! Each step is a program in a child process of its own. A **run** goes through all steps once, in
//! order, and the next run in the opposite order, so that a machine that becomes slower or faster does not
//! favour either of two neighbours. A ratio is of two steps in one run; the output shows the median over the
//! runs. A step that is slow is no failure: the output shows the target beside the measurement.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures far below 2^52, to be shown with three digits"
)]

mod cli;
mod figures;
mod measure;
mod output;
mod scene;
mod session;
mod spread;
mod step;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command};

/// The program `psn-compare`: does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit status says the rest.
            let _ = writeln!(std::io::stderr(), "psn-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    match &cli.command {
        Some(Command::Floor(args)) => {
            println!("{}", serde_json::to_string(&measure::floor::run(args)?)?);
            Ok(())
        }
        None => session::main(&cli.compare),
    }
}
