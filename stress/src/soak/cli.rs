//! The command line of `psn-soak`; no logic.

use std::path::PathBuf;

use clap::Parser;

/// Run psn for a long time while threads and processes are born and end, and check its reports and its size.
#[derive(Debug, Parser)]
#[command(name = "psn-soak", version)]
pub(super) struct Cli {
    /// The psn to soak [default: the one beside this program]
    #[arg(long)]
    pub(super) psn: Option<PathBuf>,
    /// Duration of the soak, in seconds
    #[arg(short, long, default_value_t = 600)]
    pub(super) duration: u64,
    /// Threads that live for the whole soak
    #[arg(short, long, default_value_t = 2000)]
    pub(super) threads: u32,
    /// Thread births a second
    #[arg(long, default_value_t = 10_000)]
    pub(super) births: u32,
    /// Forks a second
    #[arg(long, default_value_t = 1000)]
    pub(super) forks: u32,
    /// Forks with exec a second
    #[arg(long, default_value_t = 50)]
    pub(super) execs: u32,
    /// Names of the threads: tid, so that mix-ups show, or hostile
    #[arg(long, default_value = "tid")]
    pub(super) names: String,
    /// A further option of psn, for both kinds of run: for example --psn-option=--scan=kernel (repeatable)
    #[arg(long = "psn-option", allow_hyphen_values = true)]
    pub(super) psn_options: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
