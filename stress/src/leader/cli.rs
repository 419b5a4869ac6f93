//! The command line of `psn-storm`; no logic.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::plan::kind::Kind;
use crate::plan::mix::Mix;
use crate::plan::names::Names;

/// Fills a Linux host with threads in known states, and says exactly which.
///
/// Once every thread is in place and looks in /proc as it should, one line of JSON, the ground
/// truth, goes to standard output. The storm then holds until --duration has passed, a signal (INT,
/// TERM, HUP) arrives, or the process that started it ends; a second line says what churn was
/// achieved. Nothing is left behind, even after SIGKILL.
#[derive(Clone, Debug, Parser)]
#[command(name = "psn-storm", version, after_help = mix_help())]
pub(super) struct Cli {
    /// Processes to spread the threads over, at most one per thread; stopped ones come on top
    #[arg(short, long, value_name = "P", default_value_t = 1)]
    pub(super) processes: u32,

    /// Threads in total, the main threads of the processes included [default: what the exact counts of
    /// the mix add up to, else 100]
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

    /// Directory for the files that fsync threads write; they never have names [default: $TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,

    /// When a limit is hit, go on with the threads there are instead of failing
    #[arg(long)]
    pub(super) best_effort: bool,

    /// Add every thread to the ground truth: process id, thread id, kind
    #[arg(long)]
    pub(super) list: bool,

    /// How closely /proc is read before the ground truth is printed
    #[arg(long, value_enum, default_value_t = Check::Full)]
    pub(super) check: Check,

    /// Seconds until a storm that is not complete is given up
    #[arg(long, value_name = "S", default_value = "120", value_parser = seconds)]
    pub(super) timeout: f64,

    /// The process that must be the parent of this one, or it ends at once
    #[arg(long, value_name = "PID", hide = true)]
    pub(super) parent: Option<u32>,
}

/// How closely the storm looks itself up before it says it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Check {
    /// The state of every thread, and the number of threads of every process
    Full,
    /// That every thread has arrived, and one thread of each kind
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
  KIND          a share of weight 1 of the threads that no exact count takes; KIND:* is the same
  KIND=WEIGHT   a share of that weight
  KIND:COUNT    exactly so many
";

const EXAMPLES: &str = "\
Examples:
  psn-storm --threads 100000 --mix spin:2,futex=3,epoll
  psn-storm --processes 10000 --threads 10000 --names hostile --duration 60
  psn-storm --threads 5000 --births 10000 --forks 1000 --names tid

Exit status: 0 held and ended as told, 1 a limit was hit or the storm broke, 2 wrong usage.";

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
