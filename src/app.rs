//! The command as its user meets it: banner, progress, report, messages, exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cli::{Cli, Command, SampleArgs, command};
use crate::column::Source;
use crate::config::{Config, UsageError};
use crate::output::{self, Layout};
use crate::session::{self, Progress, Status, Stop};

/// Exit code of a run that failed.
const FAILURE: u8 = 1;
/// Exit code of arguments that make no sense.
const USAGE: u8 = 2;

/// Does what the command line asks for.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    finish(dispatch(cli))
}

/// Says what clap has to say: the help and the version, or what is wrong with the arguments.
#[must_use]
pub fn answer(said: &clap::Error) -> ExitCode {
    let printed = said.print().and_then(|()| io::stdout().flush()).context("cannot write to standard output");
    if said.use_stderr() { ExitCode::from(USAGE) } else { finish(printed) }
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough: `psn | head` is no failure.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.is::<UsageError>();
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "psn: {error:#}");
            if usage {
                let _ = writeln!(io::stderr(), "For more information, try 'psn --help'.");
            }
            ExitCode::from(if usage { USAGE } else { FAILURE })
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Some(Command::Completions { shell }) => print(|out| {
            clap_complete::generate(shell, &mut command(), "psn", out);
            Ok(())
        }),
        Some(Command::Man) => print(|out| clap_mangen::Man::new(command()).render(out)),
        None if cli.sample.list => print(|out| out.write_all(crate::list::text().as_bytes())),
        None => sample(&cli.sample),
    }
}

/// Writes to standard output, and says so when something was lost on the way.
fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> anyhow::Result<()> {
    let mut text = Vec::new();
    write(&mut text).context("cannot make the output")?;
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).context("cannot write to standard output")
}

fn sample(args: &SampleArgs) -> anyhow::Result<()> {
    refuse_setuid()?;
    let config = Config::new(args)?;
    let stop = Stop::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the second signal finds the flag set and kills as if psn handled none.
        signal_hook::flag::register_conditional_default(signal, stop.flag())
            .and_then(|_| signal_hook::flag::register(signal, stop.flag()))
            .context("cannot handle signals")?;
    }
    if let Some(nice) = args.nice {
        // Before any other thread starts: a nice value is a thread's own, and inherited.
        rustix::process::setpriority_process(None, nice.into())
            .map_err(io::Error::from)
            .with_context(|| format!("--nice: cannot set the nice value to {nice}"))?;
    }
    let mut terminal = Terminal::new(&config, args.quiet);
    let result = session::run(&config, &stop, &mut terminal);
    terminal.finish(match &result {
        Ok(_) if stop.is_stopped() => "interrupted.",
        Ok(_) => "finished.",
        Err(_) => "ended.",
    });
    let report = result?;
    let layout = Layout { width: terminal_width(), footer: !args.quiet, defuse_formulas: !args.raw_csv };
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    output::render(&report, args.format, &layout, &mut out)
        .and_then(|()| out.flush())
        .context("cannot write the report to standard output")
}

/// A setuid psn would let anyone read what only root may; nothing in it is written for that.
fn refuse_setuid() -> anyhow::Result<()> {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    if getuid() != geteuid() || getgid() != getegid() {
        anyhow::bail!(
            "will not run setuid or setgid; run it as root (sudo psn), or give a copy that only trusted users may run \
             the capabilities cap_sys_ptrace, cap_dac_read_search and, for kernel stacks, cap_sys_admin"
        );
    }
    Ok(())
}

/// Columns of the terminal that standard output is; none when it is not one.
fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Standard error during a run: a banner, and on a terminal a bar.
struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
    hz: f64,
}

impl Terminal {
    fn new(config: &Config, quiet: bool) -> Self {
        let mut terminal = Self { bar: None, quiet, hz: config.hz };
        if quiet {
            return terminal;
        }
        let _ = io::stderr().write_all(banner(config).as_bytes());
        if io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            bar.set_message("listing the threads");
            bar.enable_steady_tick(Duration::from_millis(200));
            terminal.bar = Some(bar);
        }
        terminal
    }

    fn finish(&mut self, how: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{how}");
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
        text.push_str("\nnote: reading smaps stalls the processes it is read of\n");
    }
    text
}

impl Progress for Terminal {
    #[expect(clippy::float_cmp, reason = "a rate asked for is shown as it was typed")]
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
                bar.set_style(style);
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
