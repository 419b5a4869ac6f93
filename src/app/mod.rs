//! The command line program: banner, progress, report, messages, exit code.

mod generate;
mod live;
mod out;
mod recordings;
mod stop;
mod tell;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::cli::{Cli, Command};

use crate::config::UsageError;
use crate::proc::{rights, signals};
use anyhow::Context as _;
use out::print;

/// Exit code of a run that failed.
const FAILURE: u8 = 1;
/// Exit code for invalid arguments.
const USAGE: u8 = 2;

/// Runs the command line.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    finish(dispatch(cli))
}

/// Prints why psn refuses to start.
#[must_use]
pub fn refuse(refusal: &rights::RightsError) -> ExitCode {
    tell::line(&format!("psn: {refusal}"));
    ExitCode::from(FAILURE)
}

/// Prints the help, the version, or the error in the arguments.
#[must_use]
pub fn answer(answer: &clap::Error) -> ExitCode {
    if answer.use_stderr() {
        tell::text(&answer.render().to_string());
        return ExitCode::from(USAGE);
    }
    finish(answer.print().and_then(|()| io::stdout().flush()).context("cannot write to standard output"))
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe: `psn | head` is no failure.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.is::<UsageError>();
            tell::line(&format!("psn: {}", reasons(&error)));
            if usage {
                tell::line("For more information, try 'psn --help'.");
            }
            ExitCode::from(if usage { USAGE } else { FAILURE })
        }
    }
}

/// The error with its causes. A cause that the text before it ends with is left out: many errors quote their cause.
fn reasons(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    if !samples(&cli) {
        rights::give_up().context("cannot give up capabilities")?;
    }
    signals::survive_file_size_limit().context("cannot handle signals")?;
    match cli.command {
        Some(Command::Record(args)) => live::record(&args),
        Some(Command::Diff(args)) => recordings::diff(&args),
        Some(Command::Export(args)) => recordings::export(&args),
        Some(Command::Completions { shell }) => print(|out| {
            generate::completions(shell, out);
            Ok(())
        }),
        Some(Command::Man) => print(generate::manual),
        None if cli.sample.list => print(|out| out.write_all(crate::ask::list::text().as_bytes())),
        None if !cli.sample.replay.input.is_empty() => recordings::replay(&cli.sample),
        None => live::sample(&cli.sample),
    }
}

/// Whether the command reads a proc file system.
fn samples(cli: &Cli) -> bool {
    match cli.command {
        Some(Command::Record(_)) => true,
        Some(_) => false,
        None => !cli.sample.list && cli.sample.replay.input.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_printed_once() {
        let error = crate::session::SessionError::NoWalk(crate::kernel::Unavailable::PidNamespace("x"));
        let whole = error.to_string();
        assert_eq!(reasons(&anyhow::Error::from(error)), whole);
        let cause = || io::Error::other("no space");
        assert_eq!(
            reasons(&anyhow::Error::from(cause()).context("cannot write").context("-o")),
            "-o: cannot write: no space"
        );
        assert_eq!(reasons(&anyhow::Error::from(cause()).context("cannot write: no space")), "cannot write: no space");
    }
}
