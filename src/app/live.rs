//! `psn` and `psn record`: a live run with its banner, progress bar, report and recording.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::out::{in_charset, print_report};
use super::stop::stop_on_signals;
use super::tell;
use crate::config::Config;
use crate::config::cli::{RecordArgs, SampleArgs};
use crate::proc::DEFAULT_ROOT;
use crate::proc::rights;
use crate::proc::source::Source;
use crate::record::{Recorder, RecordingFormat, Written, open};
use crate::report::Report;
use crate::session::{self, Progress, SessionError, Status};
use crate::text::escape::printable;
use crate::text::sentence::shown;

/// The longest wait for the disk to write what is left when a run is over.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// `psn`: prints a report, and records if `-o` is given.
pub(super) fn sample(args: &SampleArgs) -> anyhow::Result<()> {
    run(&Config::new(args)?, args, |report| print_report(report, args.format, !args.quiet, args.raw_csv))
}

/// `psn record`: records until it is stopped.
pub(super) fn record(args: &RecordArgs) -> anyhow::Result<()> {
    run(&Config::recording_only(args)?, &args.sample, |_| Ok(()))
}

fn run(config: &Config, args: &SampleArgs, print: impl FnOnce(&Report) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    // Clearing a huge page of 2 MiB for each of a dozen threads, which need a hundredth of it, is most of the cost of a start.
    // A kernel without this setting only makes it slower.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    if let Some(nice) = args.nice {
        // Before any other thread is started: each thread has its own nice value, inherited from the one that starts it.
        rustix::process::setpriority_process(None, nice.into())
            .map_err(io::Error::from)
            .with_context(|| format!("--nice: cannot set the nice value to {nice}"))?;
    }
    // A directory given by --procfs may be anything: it is read with the rights of the user alone.
    if config.root != Path::new(DEFAULT_ROOT) {
        rights::give_up().context("cannot give up capabilities")?;
    }
    let mut recorder = recorder(config)?;
    let mut terminal = Terminal::new(config, args.quiet);
    let result = match &mut recorder {
        Some(recorder) => session::record(config, &stop, &mut terminal, recorder),
        None => session::run(config, &stop, &mut terminal),
    };
    terminal.finish(match &result {
        Ok(_) if stop.is_stopped() => "interrupted.",
        Ok(_) => "finished.",
        Err(_) => "ended.",
    });
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            discard(recorder, config);
            return Err(error.into());
        }
    };
    // The report comes before the recording is finished: a disk that hangs must not delay it.
    let printed = stop.unstoppable(|| print(&report));
    if let Some(recorder) = recorder {
        let path = config.recording.as_ref().map(|recording| shown(&recording.path)).unwrap_or_default();
        let written = finish(recorder, &report).with_context(|| limited("not everything was recorded"))?;
        if !args.quiet {
            tell::line(&summary(&path, written));
        }
    }
    printed
}

fn recorder(config: &Config) -> anyhow::Result<Option<Recorder>> {
    let Some(options) = &config.recording else { return Ok(None) };
    let args = std::env::args_os().map(|arg| printable(arg.as_bytes()).into_owned()).collect();
    let header = session::header(config, args)?;
    let sink = open::sink(options, &header).with_context(|| limited("-o"))?;
    let recorder = Recorder::start(sink, options.flush_every());
    Ok(Some(recorder.map_err(|error| SessionError::Threads(error.to_string()))?))
}

/// `what`, with the limit on the size of files if there is one.
fn limited(what: &str) -> String {
    match rustix::process::getrlimit(rustix::process::Resource::Fsize).current {
        Some(bytes) => format!("{what} (files may not be larger than {} kB here: ulimit -f)", bytes / 1024),
        None => what.to_owned(),
    }
}

/// Ends the recording of a failed run, and removes its file if no tick is in it.
fn discard(recorder: Option<Recorder>, config: &Config) {
    let (Some(recorder), Some(options)) = (recorder, &config.recording) else { return };
    let is_empty = recorder.finish(None, &|| true).is_ok_and(|written| written.ticks == 0);
    if is_empty && RecordingFormat::of(&options.path).is_ok_and(|format| format != RecordingFormat::Parquet) {
        let _ = std::fs::remove_file(&options.path);
    }
}

/// Ends the recording. A disk that hangs is waited for up to [`WRITE_PATIENCE`], or until a second Ctrl-C ends psn.
fn finish(recorder: Recorder, report: &Report) -> anyhow::Result<Written> {
    let begin = Instant::now();
    Ok(recorder.finish(Some(report.facts.clone()), &|| begin.elapsed() < WRITE_PATIENCE)?)
}

fn summary(path: &str, written: Written) -> String {
    let lost = match written.lost {
        0 => String::new(),
        lost => format!("; {lost} ticks were not recorded: the disk was too slow, or they take more than --max-memory"),
    };
    format!("recorded {} rows of {} ticks in {path}{lost}", written.rows, written.ticks)
}

/// Shows the run on standard error: a banner, and a progress bar on a terminal.
struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
    /// The rate asked for.
    hz: f64,
}

impl Terminal {
    fn new(config: &Config, quiet: bool) -> Self {
        let mut terminal = Self { bar: None, quiet, hz: config.hz };
        if quiet {
            return terminal;
        }
        tell::text(&banner(config));
        if tell::is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            bar.set_style(in_charset(ProgressStyle::default_spinner()));
            bar.set_message("listing the threads");
            bar.enable_steady_tick(Duration::from_millis(200));
            terminal.bar = Some(bar);
        }
        terminal
    }

    /// Removes the bar and prints how the run ended.
    fn finish(&mut self, how: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if !self.quiet {
            tell::line(how);
        }
    }
}

fn banner(config: &Config) -> String {
    let files: Vec<&str> = config.sources().iter().filter(|source| source.is_file()).map(Source::name).fold(
        Vec::new(),
        |mut files, file| {
            if !files.contains(&file) {
                files.push(file);
            }
            files
        },
    );
    let long = match config.duration {
        Some(duration) => format!("for {} seconds", duration.as_secs_f64()),
        None => "until Ctrl-C".to_owned(),
    };
    let mut text = format!(
        "\nLinux Process Snapper psn {} [remade in Rust]\nSampling /proc/{} {long}... ",
        env!("CARGO_PKG_VERSION"),
        files.join(", "),
    );
    if config.sources().contains(Source::Smaps) {
        text.push_str("\nnote: reading smaps stalls the processes that are read\n");
    }
    text
}

impl Progress for Terminal {
    #[expect(clippy::float_cmp, reason = "a whole number is shown as one")]
    fn update(&mut self, status: Status) {
        let Some(bar) = &self.bar else { return };
        let Status::Sampling { due, completed, total, threads, pass, achieved_hz } = status else { return };
        if bar.length() != total || bar.position() == 0 {
            let template = match total {
                Some(total) => {
                    bar.set_length(total);
                    "{bar:30} {pos}/{len} {msg}"
                }
                None => "{spinner} {elapsed} {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(in_charset(style));
            }
        }
        bar.set_position(due);
        let missed = due - completed;
        let ms = pass.as_secs_f64() * 1e3;
        let asked = if self.hz == self.hz.trunc() { format!("{:.0}", self.hz) } else { self.hz.to_string() };
        bar.set_message(if missed == 0 {
            format!("{threads} threads, pass {ms:.1} ms")
        } else {
            format!("{threads} threads, pass {ms:.1} ms: asked {asked} Hz, achieved {achieved_hz:.1}")
        });
    }
}
