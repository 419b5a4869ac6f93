//! `psn-compare`: what psn costs, beside the bare reads it is made of and beside other programs.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use psn_stress::compare;

fn main() -> ExitCode {
    match compare::main(&compare::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit status says the rest.
            let _ = writeln!(std::io::stderr(), "psn-compare: {error}");
            ExitCode::FAILURE
        }
    }
}
