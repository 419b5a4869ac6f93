//! The command line: names, defaults and help texts. The configuration made of it is [`crate::config::Config`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ArgPredicate;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::scan::Scan;
use crate::config::value::{discover_hertz, fraction, hertz, memory, percent, states};
use crate::output::Format;
use crate::time::moment::{TimePoint, parse_bytes, parse_duration, parse_duration_or_none, parse_duration_with_unit};

const EXAMPLES: &str = "\
Examples:
  psn                                     what every active thread is doing
  psn -G syscall,wchan                    also the system call and kernel function it waits in
  psn -p 'mysqld|kwork' -G syscall,wchan  only processes whose name matches
  psn -p 1234 -r -d 60                    one process and its descendants, for a minute
  psn -a -p 1234 -g comm,state,syscall    also its sleeping threads
  psn --waits -g comm,syscall,filenamesum,idle -s wait_ms:max    who waits, for what, how long
  psn -G syscall,filename --where 'state = D or comm in (mysqld, kjournald)'
  psn -s max_threads,ci95,utime_sec       more statistics of each group
  psn --list                              all columns
  psn -o night.db -G syscall,wchan -d 60  report, and record the samples
  psn -i night.db -G wchan --from -15m    another report on that recording
  psn record -o /var/lib/psn/ --keep 7d   record continuously, keep the last seven days
  psn diff night.db@-30m..-15m night.db@-15m..";

/// Which sleeping threads `--waits` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WaitingSleepers {
    /// Those that wait for somebody
    Sure,
    /// Those that may wait for somebody, too
    All,
}

/// A passive sampling profiler: what every thread on this host is doing, and what it waits for.
///
/// psn samples the state of every thread at a fixed rate, from /proc or, if it has the privilege, by a walk inside the
/// kernel. It groups the samples by any columns and prints how many threads on average were in each group. It attaches
/// to nothing and changes nothing. Without privilege it shows what the kernel lets it see, and reports what it could not
/// read.
#[derive(Debug, Parser)]
#[command(name = "psn", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// What to do instead of sampling.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of sampling, which is done if no command is given.
    #[command(flatten)]
    pub sample: SampleArgs,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Record samples to the file or dataset given with -o, until stopped, without a report
    Record(Box<RecordArgs>),
    /// Compare two recordings, or two time windows of one
    Diff(Box<DiffArgs>),
    /// Convert recordings to another format
    Export(ExportArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page in roff format
    Man,
}

/// The options of `psn record`.
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    /// Record only active threads: sleeping and idle ones cost half a byte per row in a dataset
    #[arg(long, conflicts_with_all = ["all_states", "states"])]
    pub active: bool,

    /// The options of sampling.
    #[command(flatten)]
    pub sample: SampleArgs,
}

/// The options of sampling.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
pub struct SampleArgs {
    /// How long to sample: seconds, or 90s, 5m, 1h30m; 0 for until Ctrl-C [default: 5; psn record: 0]
    #[arg(short, long, value_name = "TIME", allow_negative_numbers = true, value_parser = parse_duration_or_none)]
    pub duration: Option<Duration>,

    /// Samples per second, 0.01 to 1000
    #[arg(long, alias = "sample-hz", value_name = "HZ", default_value = "20", allow_negative_numbers = true, value_parser = hertz)]
    pub hz: f64,

    /// Refreshes of the task list per second, 0.01 to 100
    #[arg(
        long,
        alias = "ps-hz",
        value_name = "HZ",
        default_value = "2",
        allow_negative_numbers = true,
        value_parser = discover_hertz
    )]
    pub discover_hz: f64,

    /// Only these processes: comma-separated pids, or a regular expression to search for in the process name
    #[arg(short, long, value_name = "PIDS|REGEX")]
    pub pid: Option<String>,

    /// Only these threads: comma-separated thread ids
    #[arg(short, long, value_name = "TIDS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub thread: Vec<u32>,

    /// Also all descendants of the selected processes, including those started later
    #[arg(short, long)]
    pub recursive: bool,

    /// Also count sleeping and idle threads (states S, Z, I and P), as psn record does by default
    #[arg(short, long)]
    pub all_states: bool,

    /// Active threads, and sleeping threads that wait for somebody or something, but not for work (see column idle); with =all,
    /// also those of which psn cannot tell
    #[arg(
        long,
        value_name = "WHICH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "sure",
        conflicts_with_all = ["all_states", "states"]
    )]
    pub waits: Option<WaitingSleepers>,

    /// Only threads in these states, by letter, such as D or RD; R is running or waiting for a CPU
    #[arg(long, value_name = "LETTERS", conflicts_with = "all_states", value_parser = states)]
    pub states: Option<String>,

    /// Group by these columns; the default with --waits is comm,state,idle
    #[arg(
        short,
        long,
        value_name = "COLS",
        value_delimiter = ',',
        default_value = "comm,state",
        default_value_if("waits", ArgPredicate::IsPresent, "comm,state,idle")
    )]
    pub group_by: Vec<String>,

    /// Group by these columns in addition to those of -g
    #[arg(short = 'G', long, value_name = "COLS", value_delimiter = ',')]
    pub append_group_by: Vec<String>,

    /// Show these statistics too: max_threads, ci95, waits_s, mean_wait_ms, p50_wait_ms (p95, p99), or COL:max, :avg, :sum, :p50, :p95, :p99, :delta, :distinct, :example, :common
    #[arg(short, long, value_name = "COLS", value_delimiter = ',')]
    pub select: Vec<String>,

    /// Count only samples that meet this condition (repeatable): OP is one of = != ~ !~ < <= > >=, or COL in (VALUE, ...);
    /// combine conditions with 'and', 'or' and parentheses ('and' takes precedence)
    #[arg(long = "where", value_name = "COL OP VALUE")]
    pub filters: Vec<String>,

    /// Show at most this many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// Sort by this column of the report: numbers descending, texts ascending
    #[arg(long, value_name = "COL")]
    pub sort: Option<String>,

    /// Format of the report on standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Format,

    /// Do not neutralize CSV cells that a spreadsheet would run as formulas
    #[arg(long)]
    pub raw_csv: bool,

    /// List all columns: name, type, source, required privilege, meaning
    #[arg(long)]
    pub list: bool,

    /// How threads are found
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    pub scan: Scan,

    /// Directory where proc is mounted
    #[arg(long, value_name = "DIR", default_value = crate::proc::DEFAULT_ROOT)]
    pub procfs: PathBuf,

    /// Number of threads that read /proc in parallel [default: the number of CPUs psn may run on]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,

    /// Largest number of files to keep open between samples [default: what limits and memory allow]
    #[arg(long, value_name = "N")]
    pub fd_budget: Option<usize>,

    /// Delay each sample by a random time, up to this fraction of the period (0 to 1), to avoid lock-step with periodic
    /// programs
    #[arg(long, value_name = "FRACTION", default_value = "0.05", value_parser = fraction)]
    pub jitter: f64,

    /// Run with this nice value, from 19 (lowest priority) to -20 (highest, needs privilege)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-20..=19))]
    pub nice: Option<i8>,

    /// Limit psn's own CPU use to this percentage of one CPU, by sampling less often
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_cpu: Option<f64>,

    #[allow(rustdoc::broken_intra_doc_links, reason = "help for a terminal")]
    /// Memory limit for groups and their texts; groups beyond it are counted together as [other]
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory)]
    pub max_memory: u64,

    /// Include psn's own threads
    #[arg(long)]
    pub show_yourself: bool,

    /// No banner, progress or footer
    #[arg(short, long)]
    pub quiet: bool,

    /// The options of recording.
    #[command(flatten)]
    pub recording: RecordingArgs,

    /// The options of replay.
    #[command(flatten)]
    pub replay: ReplayArgs,
}

/// The options of recording.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Recording")]
pub struct RecordingArgs {
    /// Record every sample: FILE.db for SQLite, FILE.csv, or DIR/ for a Parquet dataset
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,

    /// Replace the file or dataset of -o if it exists
    #[arg(long)]
    pub force: bool,

    /// Record these columns too [psn record: in addition to syscall,wchan,filename,idle]
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub record: Vec<String>,

    /// Time between two flushes; after a crash, samples since the last flush are lost [default: 1s; datasets: one part
    /// per 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub flush: Option<Duration>,

    /// Remove parts of a dataset that are older than this, such as 7d
    #[arg(long, value_name = "TIME", value_parser = parse_duration_with_unit)]
    pub keep: Option<Duration>,

    /// Limit a dataset to this size, such as 20G, by removing the oldest parts
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub max_size: Option<u64>,
}

/// The options of replay.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replay")]
pub struct ReplayArgs {
    /// Report on recordings instead of sampling: files, directories, a quoted pattern, or - for CSV from standard input
    /// (repeatable)
    #[arg(short, long, value_name = "PATH")]
    pub input: Vec<PathBuf>,

    /// Only samples from this time on: 03:05, 'yesterday 03:05', '2026-11-23 03:05' (local time), 2026-11-23T03:05:00Z, '1
    /// hour ago', or -15m (before the end of the recording)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = TimePoint::parse)]
    pub from: Option<TimePoint>,

    /// Only samples before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = TimePoint::parse)]
    pub to: Option<TimePoint>,

    /// Only recordings of these hosts
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub host: Vec<String>,

    /// Show how each group develops, in time slices of this length, such as 1m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub per: Option<Duration>,
}

/// The options of `psn diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The recording to compare with: a path, optionally with a time window, such as night.db@-30m..-15m
    #[arg(value_name = "BEFORE[@FROM..TO]")]
    pub before: OsString,

    /// The recording to compare
    #[arg(value_name = "AFTER[@FROM..TO]")]
    pub after: OsString,

    /// Group by these columns
    #[arg(short, long, value_name = "COLS", value_delimiter = ',', default_value = "comm,state")]
    pub group_by: Vec<String>,

    /// Group by these columns in addition to those of -g
    #[arg(short = 'G', long, value_name = "COLS", value_delimiter = ',')]
    pub append_group_by: Vec<String>,

    /// Also count sleeping and idle threads
    #[arg(short, long)]
    pub all_states: bool,

    /// Count only samples that meet this condition (repeatable)
    #[arg(long = "where", value_name = "COL OP VALUE")]
    pub filters: Vec<String>,

    /// Only recordings of these hosts
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub host: Vec<String>,

    /// Show only groups whose change is statistically significant
    #[arg(long)]
    pub significant: bool,

    /// Show at most this many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    #[allow(rustdoc::broken_intra_doc_links, reason = "help for a terminal")]
    /// Memory limit for groups and their texts; groups beyond it are counted together as [other]
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory)]
    pub max_memory: u64,

    /// Format of the report on standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Format,

    /// Do not neutralize CSV cells that a spreadsheet would run as formulas
    #[arg(long)]
    pub raw_csv: bool,

    /// No progress or footer
    #[arg(short, long)]
    pub quiet: bool,
}

/// The options of `psn export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The recording to convert: a file, a directory, a quoted pattern, or - for CSV from standard input
    pub input: PathBuf,

    /// The file or dataset to write: FILE.db, FILE.csv, FILE.parquet or DIR/
    pub output: PathBuf,

    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,

    /// Only recordings of these hosts
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub host: Vec<String>,

    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// The description of the command line, for completion scripts and the manual page.
#[must_use]
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_originals_spellings_work() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        let cli = parse("psn -p mysqld|kwork -G syscall,wchan --sample-hz 10 --ps-hz 1 -r -a -d 2").unwrap();
        assert_eq!(cli.sample.append_group_by, ["syscall", "wchan"]);
        assert_eq!(cli.sample.group_by, ["comm", "state"]);
        assert!((cli.sample.hz - 10.0).abs() < 1e-9 && cli.sample.recursive && cli.sample.all_states);
        assert!(parse("psn --hz 0").is_err());
        assert!(parse("psn --hz 1001").is_err());
        assert!(parse("psn --hz nan").is_err());
        assert!(parse("psn -d -1").is_err());
        assert!(parse("psn --states Q").is_err());
    }

    #[test]
    fn memory_has_a_unit_and_is_a_megabyte_or_more() {
        assert_eq!(memory("256M"), Ok(256 << 20));
        assert_eq!(memory("1 GiB"), Ok(1 << 30));
        for wrong in ["256", "1023K", "0M", "M", "", "-1M"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }
}
