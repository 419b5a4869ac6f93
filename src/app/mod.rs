//! The command as its user meets it: banner, progress, report, messages, exit code.

mod live;
mod recordings;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::ProgressStyle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cli::{Cli, Command, command};
use crate::config::UsageError;
use crate::output::{self, Charset, Format, Layout};
use crate::report::Report;
use crate::rights;
use crate::session::Stop;

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
    if rights::is_setuid() {
        anyhow::bail!(
            "will not run setuid or setgid; run it as root (sudo psn), or give a copy that only trusted users may run \
             the capabilities cap_sys_ptrace, cap_dac_read_search and, for kernel stacks, cap_sys_admin"
        );
    }
    if !samples(&cli) {
        rights::give_up().context("cannot give up capabilities")?;
    }
    match cli.command {
        Some(Command::Record(args)) => live::record(&args),
        Some(Command::Diff(args)) => recordings::diff(&args),
        Some(Command::Export(args)) => recordings::export(&args),
        Some(Command::Completions { shell }) => print(|out| {
            clap_complete::generate(shell, &mut command(), "psn", out);
            Ok(())
        }),
        Some(Command::Man) => print(|out| clap_mangen::Man::new(command()).render(out)),
        None if cli.sample.list => print(|out| out.write_all(crate::list::text().as_bytes())),
        None if !cli.sample.replay.input.is_empty() => recordings::replay(&cli.sample),
        None => live::sample(&cli.sample),
    }
}

/// Whether a proc file system is to be read.
fn samples(cli: &Cli) -> bool {
    match cli.command {
        Some(Command::Record(_)) => true,
        Some(_) => false,
        None => !cli.sample.list && cli.sample.replay.input.is_empty(),
    }
}

/// Writes to standard output, and says so when something was lost on the way.
fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> anyhow::Result<()> {
    let mut text = Vec::new();
    write(&mut text).context("cannot make the output")?;
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// A flag that Ctrl-C and its like set; the second of them ends psn at once.
fn stop_on_signals() -> anyhow::Result<Stop> {
    let stop = Stop::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the second signal finds the flag set and kills as if psn handled none.
        signal_hook::flag::register_conditional_default(signal, stop.flag())
            .and_then(|_| signal_hook::flag::register(signal, stop.flag()))
            .context("cannot handle signals")?;
    }
    Ok(stop)
}

/// Writes a report to standard output.
fn print_report(report: &Report, format: Format, footer: bool, raw_csv: bool) -> anyhow::Result<()> {
    let charset = match format {
        Format::Table => charset(io::stdout().is_terminal()),
        _ => Charset::of_programs(&|name| std::env::var_os(name), io::stdout().is_terminal()),
    };
    let layout = Layout { width: terminal_width(), footer, defuse_formulas: !raw_csv, charset };
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    output::render(report, format, &layout, &mut out)
        .and_then(|()| out.flush())
        .context("cannot write the report to standard output")
}

/// The characters that texts for people may be made of, on a stream that is a terminal or is not.
fn charset(is_terminal: bool) -> Charset {
    Charset::of_people(&|name| std::env::var_os(name), is_terminal)
}

/// A bar on standard error, in characters that may be written there.
fn in_charset(style: ProgressStyle) -> ProgressStyle {
    let charset = charset(io::stderr().is_terminal());
    let style = charset.bar().into_iter().fold(style, ProgressStyle::progress_chars);
    charset.spinner().into_iter().fold(style, ProgressStyle::tick_chars)
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
