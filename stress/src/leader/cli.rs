//! The command line of `psn-storm`; no logic.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::plan::kind::Kind;
use crate::plan::mix::Mix;
use crate::plan::names::Names;

/// Fills a Linux host with threads in known states, and prints exactly which threads these are.
///
/// Once every thread is in place and /proc shows it in its state, psn-storm prints one line of JSON,
/// the ground truth. The storm then holds until --duration has passed, a signal (INT, TERM, HUP)
/// arrives, or the process that started it ends. A second line says why it ended and what churn was
/// achieved. Nothing is left behind, even after SIGKILL.
#[derive(Clone, Debug, Parser)]
#[command(name = "psn-storm", version, after_help = mix_help())]
pub(super) struct Cli {
    /// Processes to spread the threads over, at most one per thread; stopped ones come on top
    #[arg(short, long, value_name = "P", default_value_t = 1)]
    pub(super) processes: u32,

    /// Threads in total, including the main threads of the processes [default: the sum of the exact
    /// counts of the mix, else 100]
    #[arg(short, long, value_name = "T")]
    pub(super) threads: Option<u32>,

    /// What the threads do: terms separated by commas, see below
    #[arg(short, long, value_name = "MIX", default_value = "futex=6,epoll=2,nanosleep,pipe")]
    pub(super) mix: Mix,

    /// How the threads are named
    #[arg(short, long, value_enum, default_value_t = Names::Plain)]
    pub(super) names: Names,

    /// Short-lived threads to start per second, in the first process
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) births: u32,

    /// Short-lived processes to fork per second
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) forks: u32,

    /// Short-lived programs to fork and exec per second
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) execs: u32,

    /// How long each short-lived thread, process and program lives
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pub(super) lifetime: u32,

    /// Seconds to hold once everything is in place [default: until a signal or the parent's end]
    #[arg(short, long, value_name = "S", value_parser = seconds)]
    pub(super) duration: Option<f64>,

    /// Directory for the unnamed files that fsync threads write [default: $TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,

    /// If a limit is hit, go on with the threads that exist instead of failing
    #[arg(long)]
    pub(super) best_effort: bool,

    /// Add every thread to the ground truth: process id, thread id, kind
    #[arg(long)]
    pub(super) list: bool,

    /// How closely /proc is read before the ground truth is printed
    #[arg(long, value_enum, default_value_t = Check::Full)]
    pub(super) check: Check,

    /// Seconds after which a storm that is not complete fails
    #[arg(long, value_name = "S", default_value = "120", value_parser = seconds)]
    pub(super) timeout: f64,

    /// The process that must be the parent of this process; otherwise it ends at once
    #[arg(long, value_name = "PID", hide = true)]
    pub(super) parent: Option<u32>,
}

/// How closely the storm checks itself in /proc before it says that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Check {
    /// The state of every thread, and the number of threads of every process
    Full,
    /// That every thread has arrived, and the state of one thread of each kind
    Sample,
}

/// The grammar of `--mix`, with a line for each kind.
fn mix_help() -> String {
    let kinds = Kind::MIXABLE.map(|kind| {
        let state = kind.settled_state().unwrap_or('?');
        format!("  {:<10} {state}  {}\n", kind.name(), kind.help())
    });
    format!("{MIX_GRAMMAR}\n{}\n{EXAMPLES}", kinds.concat())
}

const MIX_GRAMMAR: &str = "\
The mix:
  KIND          a share with weight 1 of the threads that no exact count takes; KIND:* is the same
  KIND=WEIGHT   a share with this weight
  KIND:COUNT    exactly this many threads
";

const EXAMPLES: &str = "\
Examples:
  psn-storm --threads 100000 --mix spin:2,futex=3,epoll
  psn-storm --processes 10000 --threads 10000 --names hostile --duration 60
  psn-storm --threads 5000 --births 10000 --forks 1000 --names tid

Exit status: 0 the storm held and ended as asked, 1 a limit was hit or the storm failed, 2 wrong usage.";

fn seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=1e9).contains(seconds))
        .ok_or_else(|| "not a number of seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("1.5"), Ok(1.5));
        for bad in ["-1", "NaN", "inf", "soon", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
