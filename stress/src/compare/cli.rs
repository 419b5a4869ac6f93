//! The command line of the comparison; no logic.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use super::measure::floor::FloorArgs;
use super::measure::peer::PeerCommand;

/// Measures psn, the bare reads that it cannot do without, and other programs, on storms of threads.
///
/// It builds psn, makes the storms, and writes a dated table, the raw figures and two charts. Run it on
/// a quiet machine; the table says how quiet it was.
#[derive(Clone, Debug, Parser)]
#[command(name = "psn-compare", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// A part of the comparison, run as a child process.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The comparison.
    #[command(flatten)]
    pub(crate) compare: CompareArgs,
}

/// A part of the comparison, run as a child process.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// The bare reads, in a loop.
    #[command(hide = true)]
    Floor(FloorArgs),
}

/// What to compare.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// Sizes of the storms, in threads
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,10000,100000")]
    pub(crate) threads: Vec<u32>,

    /// Layouts: number of processes of each storm; N means one for every 100 threads
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_value = "N,1")]
    pub(crate) processes: Vec<Layout>,

    /// Seconds that each step measures, at least; slow steps take as long as five passes need
    #[arg(long, value_name = "S", default_value_t = 6.0)]
    pub(crate) seconds: f64,

    /// Number of runs; the tables show medians over the runs
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) runs: u32,

    /// Numbers of workers to measure throughput with [default: 1, 2, 4 … up to the number of cores]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub(crate) workers: Vec<usize>,

    /// Another program to compare with; {ticks} in the command is replaced by the number of samples
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    pub(crate) peers: Vec<PeerCommand>,

    /// The original psn, a Python program
    #[arg(long, value_name = "PATH")]
    pub(crate) original: Option<PathBuf>,

    /// Only these steps, by their ids in the raw figures; STEP* means all that begin with STEP
    #[arg(long, value_name = "STEP,…", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Directory for the table, the raw figures and the charts
    #[arg(long, value_name = "DIR", default_value = "stress/runs")]
    pub(crate) out: PathBuf,

    /// The psn to measure [default: one built from this source tree]
    #[arg(long, value_name = "PATH")]
    pub(crate) psn: Option<PathBuf>,

    /// Measure nothing: make table, charts and documentation from the raw figures of earlier runs
    ///
    /// If several files have figures of a storm, those of the last file count. The output goes to the
    /// directory of the last file.
    #[arg(long, value_name = "FILE.json", num_args = 1..)]
    pub(crate) from: Vec<PathBuf>,

    /// Also write the figures into this document, between its `figures` marks
    #[arg(long, value_name = "FILE.md", num_args = 0..=1, default_missing_value = "docs/performance.md")]
    pub(crate) update_docs: Option<PathBuf>,
}

/// The number of processes of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// This number.
    Processes(u32),
    /// One for every 100 threads.
    Many,
}

impl Layout {
    /// The number of processes of a storm of this many threads.
    #[must_use]
    pub(crate) fn processes(self, threads: u32) -> u32 {
        match self {
            Self::Processes(processes) => processes.min(threads),
            Self::Many => threads.div_ceil(100),
        }
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(processes) if processes > 0 => Ok(Self::Processes(processes)),
            _ if text == "N" => Ok(Self::Many),
            _ => Err("give a number of processes, or N for one for every 100 threads".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn layouts_are_numbers_or_one_process_for_a_hundred_threads() {
        assert_eq!("N".parse::<Layout>().unwrap().processes(100_000), 1000);
        assert_eq!("7".parse::<Layout>().unwrap().processes(5), 5);
        assert!("0".parse::<Layout>().is_err() && "many".parse::<Layout>().is_err());
    }
}
