//! `psn-storm`: fills a host with threads in known states, and says exactly which.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if psn_stress::live_if_told() || psn_stress::hang_if_told() {
        return ExitCode::SUCCESS;
    }
    match psn_stress::run(&psn_stress::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit status says the rest.
            let _ = writeln!(std::io::stderr(), "psn-storm: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
