//! Which options apply to what: an option that would have no effect is refused rather than ignored.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Error, FromArgMatches as _};

use crate::config::cli::{self, Cli};
use crate::text::escape::printable;

/// What a command line asks for, as far as it decides which options apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `--list`
    List,
    /// `-i`
    Replay,
    /// Sampling with a report.
    Live,
    /// Sampling with a report, recorded: `-o`
    LiveRecorded,
    /// `psn record`
    Record,
}

/// What an option applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AppliesTo {
    /// Everything, or the choice of what to do.
    Everything,
    /// Finding and reading threads.
    Sampling,
    /// Printing the report.
    Report,
    /// Writing a recording.
    Recording,
    /// Choosing the samples of a recording.
    Replay,
}

/// The options of sampling, recording and replay, by their ids.
const OPTIONS: [(&str, AppliesTo); 39] = [
    ("duration", AppliesTo::Sampling),
    ("hz", AppliesTo::Sampling),
    ("discover_hz", AppliesTo::Sampling),
    ("pid", AppliesTo::Everything),
    ("thread", AppliesTo::Everything),
    ("recursive", AppliesTo::Sampling),
    ("all_states", AppliesTo::Everything),
    ("states", AppliesTo::Everything),
    ("active", AppliesTo::Everything),
    // The columns of these are recorded as well.
    ("group_by", AppliesTo::Everything),
    ("append_group_by", AppliesTo::Everything),
    ("select", AppliesTo::Everything),
    ("filters", AppliesTo::Everything),
    ("limit", AppliesTo::Report),
    ("sort", AppliesTo::Report),
    ("format", AppliesTo::Report),
    ("raw_csv", AppliesTo::Report),
    ("max_memory", AppliesTo::Report),
    ("list", AppliesTo::Everything),
    ("scan", AppliesTo::Sampling),
    ("procfs", AppliesTo::Sampling),
    ("workers", AppliesTo::Sampling),
    ("fd_budget", AppliesTo::Sampling),
    ("jitter", AppliesTo::Sampling),
    ("nice", AppliesTo::Sampling),
    ("max_cpu", AppliesTo::Sampling),
    ("show_yourself", AppliesTo::Sampling),
    ("quiet", AppliesTo::Everything),
    ("output", AppliesTo::Everything),
    ("force", AppliesTo::Recording),
    ("record", AppliesTo::Recording),
    ("flush", AppliesTo::Recording),
    ("keep", AppliesTo::Recording),
    ("max_size", AppliesTo::Recording),
    ("input", AppliesTo::Everything),
    ("from", AppliesTo::Replay),
    ("to", AppliesTo::Replay),
    ("host", AppliesTo::Replay),
    ("per", AppliesTo::Replay),
];

fn applies_to(id: &str) -> AppliesTo {
    OPTIONS.iter().find(|(name, _)| *name == id).map_or(AppliesTo::Everything, |(_, applies_to)| *applies_to)
}

/// Why the option `id` has no effect in `mode`, and what to do instead; `None` if it has an effect.
fn idle(id: &str, mode: Mode) -> Option<&'static str> {
    match (mode, applies_to(id)) {
        (Mode::List, _) if id != "list" => Some("--list only lists the columns; leave one of the two out"),
        (Mode::Record, _) if id == "list" => Some("use psn --list"),
        (Mode::Record, _) if id == "input" => {
            Some("psn record only samples; use psn -i for a report on recordings, or psn export to convert them")
        }
        (Mode::Replay, _) if id == "output" => {
            Some("with -i nothing is sampled; use psn export IN OUT to convert a recording")
        }
        (Mode::Replay, AppliesTo::Sampling) => Some("with -i nothing is sampled; leave it out"),
        (Mode::Replay, AppliesTo::Recording) => Some("with -i nothing is recorded; leave it out"),
        (Mode::Record, AppliesTo::Report) => Some("psn record prints no report; use this option with psn -i"),
        (Mode::Record, AppliesTo::Replay) => Some("psn record does not read recordings; use this option with psn -i"),
        (Mode::Live, AppliesTo::Recording) => Some("nothing is recorded; name a file or dataset with -o PATH"),
        (Mode::Live | Mode::LiveRecorded, AppliesTo::Replay) => Some("it applies to recordings; name one with -i PATH"),
        _ => None,
    }
}

/// Parses the command line `args`.
///
/// # Errors
/// The message of clap, which may be the help, or the first option that has no effect.
pub fn parse(args: &[OsString]) -> Result<Cli, Error> {
    let mut command = cli::command();
    let matches = command.try_get_matches_from_mut(args).map_err(|error| name_argument(error, args))?;
    check(&mut command, &matches)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Checks that every option that was given has an effect.
fn check(command: &mut Command, matches: &ArgMatches) -> Result<(), Error> {
    let is_given = |matches: &ArgMatches, id: &str| {
        matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let (matches, mode) = match matches.subcommand() {
        Some(("record", matches)) => (matches, Some(Mode::Record)),
        Some((_, matches)) => (matches, None),
        None if is_given(matches, "list") => (matches, Some(Mode::List)),
        None if is_given(matches, "input") => (matches, Some(Mode::Replay)),
        None if is_given(matches, "output") => (matches, Some(Mode::LiveRecorded)),
        None => (matches, Some(Mode::Live)),
    };
    let ids = matches.ids().map(|id| id.as_str().to_owned());
    let given: Vec<String> = ids.filter(|id| is_given(matches, id)).collect();
    let idle = mode.and_then(|mode| given.iter().find_map(|id| Some((id.as_str(), idle(id, mode)?))));
    let not_csv = || {
        let is_csv = matches.try_get_one::<crate::output::Format>("format").ok().flatten();
        let is_idle = is_csv.is_some_and(|format| *format != crate::output::Format::Csv);
        (is_idle && given.iter().any(|id| id == "raw_csv"))
            .then_some(("raw_csv", "it applies to CSV; add --format csv"))
    };
    match idle.or_else(not_csv) {
        None => Ok(()),
        Some((id, why)) => {
            let name = flag(command, id);
            Err(command.error(ErrorKind::ArgumentConflict, format!("{name} does nothing here: {why}")))
        }
    }
}

/// The option `id` as users type it.
fn flag(command: &Command, id: &str) -> String {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let argument = commands.flat_map(Command::get_arguments).find(|argument| argument.get_id() == id);
    let long = argument.and_then(clap::Arg::get_long).unwrap_or(id);
    match argument.and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, --{long}"),
        None => format!("--{long}"),
    }
}

/// Names the argument that is not UTF-8, which clap does not. Only paths may contain other bytes.
fn name_argument(error: Error, args: &[OsString]) -> Error {
    if error.kind() != ErrorKind::InvalidUtf8 {
        return error;
    }
    let mut mended = args.to_vec();
    for (place, given) in args.iter().enumerate().filter(|(_, given)| given.to_str().is_none()) {
        if let Some(argument) = mended.get_mut(place) {
            *argument = given.to_string_lossy().into_owned().into();
        }
        let still = cli::command().try_get_matches_from(&mended).err().map(|error| error.kind());
        if still != Some(ErrorKind::InvalidUtf8) {
            let before =
                place.checked_sub(1).and_then(|before| args.get(before)).map(|before| before.to_string_lossy());
            let option = before.filter(|before| before.starts_with('-') && !given.as_bytes().starts_with(b"-"));
            let option = option.map(|option| format!("{option}: ")).unwrap_or_default();
            let given = printable(given.as_bytes());
            let message = format!("{option}'{given}' is not valid UTF-8; only paths may contain other bytes");
            return cli::command().error(ErrorKind::InvalidUtf8, message);
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &[&str]) -> String {
        let args: Vec<OsString> = std::iter::once("psn").chain(line.iter().copied()).map(Into::into).collect();
        parse(&args).err().map(|error| error.to_string()).unwrap_or_default()
    }

    /// An option as it may be given.
    fn given(argument: &clap::Arg) -> Vec<String> {
        let name = format!("--{}", argument.get_long().unwrap());
        if !argument.get_action().takes_values() {
            return vec![name];
        }
        let value = match argument.get_id().as_str() {
            "duration" | "flush" | "keep" | "per" => "5s",
            "max_size" | "max_memory" => "20G",
            "from" | "to" => "-15m",
            "states" => "R",
            "scan" => "proc",
            "format" => "csv",
            "output" => "x/",
            "jitter" => "0",
            _ => "1",
        };
        vec![name, value.to_owned()]
    }

    const LINES: [(Mode, &[&str]); 5] = [
        (Mode::List, &["--list"]),
        (Mode::Replay, &["-i", "x.db"]),
        (Mode::Live, &[]),
        (Mode::LiveRecorded, &["-o", "x/"]),
        (Mode::Record, &["record", "-o", "x/"]),
    ];

    #[test]
    fn every_option_does_something_or_is_refused_by_name_in_every_mode() {
        let command = cli::command();
        let record = command.get_subcommands().find(|command| command.get_name() == "record").unwrap();
        let options = |command: &Command| -> Vec<clap::Arg> {
            let is_one =
                |argument: &&clap::Arg| argument.get_long().is_some_and(|long| !matches!(long, "help" | "version"));
            command.get_arguments().filter(is_one).cloned().collect()
        };
        for (mode, line) in LINES {
            for argument in options(if mode == Mode::Record { record } else { &command }) {
                let id = argument.get_id().as_str();
                assert!(OPTIONS.iter().any(|(name, _)| *name == id), "{id} is in no table");
                let mut args: Vec<String> = line.iter().map(|part| (*part).to_owned()).collect();
                let is_there = match id {
                    "list" => mode == Mode::List,
                    "input" => mode == Mode::Replay,
                    "output" => matches!(mode, Mode::LiveRecorded | Mode::Record),
                    _ => false,
                };
                if is_there || (mode != Mode::Record && matches!(id, "list" | "input" | "output")) {
                    continue;
                }
                args.extend(given(&argument));
                if id == "raw_csv" && mode != Mode::Record && mode != Mode::List {
                    args.extend(["--format".to_owned(), "csv".to_owned()]);
                }
                let said = said(&args.iter().map(String::as_str).collect::<Vec<_>>());
                match idle(id, mode) {
                    Some(why) => {
                        assert!(said.contains(why) && said.contains(&flag(&command, id)), "{args:?}: {said}");
                    }
                    None => assert_eq!(said, "", "{args:?}"),
                }
            }
        }
    }

    #[test]
    fn options_without_effect_are_refused_with_what_to_do() {
        for (line, parts) in [
            (&["--from", "-5m"][..], &["--from does nothing here", "-i PATH"][..]),
            (&["--to=-5m"], &["--to does nothing here", "-i PATH"]),
            (&["--host", "a"], &["--host", "-i PATH"]),
            (&["--per", "1m", "-o", "x.db"], &["--per", "-i PATH"]),
            (&["--force"], &["--force", "-o PATH"]),
            (&["--keep", "7d"], &["--keep", "-o PATH"]),
            (&["-i", "x", "--hz", "5"], &["--hz", "nothing is sampled"]),
            (&["-i", "x", "-d", "5"], &["-d, --duration", "nothing is sampled"]),
            (&["-i", "x", "--scan", "proc"], &["--scan", "nothing is sampled"]),
            (&["-i", "x", "-o", "y"], &["-o, --output", "psn export"]),
            (&["record", "-o", "x", "--limit", "1"], &["--limit", "no report"]),
            (&["record", "-o", "x", "-i", "y"], &["-i, --input", "psn -i"]),
            (&["--raw-csv"], &["--raw-csv", "--format csv"]),
            (&["diff", "a", "b", "--raw-csv"], &["--raw-csv", "--format csv"]),
            (&["--list", "-a"], &["-a, --all-states", "--list"]),
        ] {
            let said = said(line);
            for part in parts {
                assert!(said.contains(part), "{line:?} should say {part}: {said}");
            }
        }
    }

    #[test]
    fn a_default_is_not_an_option_that_was_given() {
        for line in
            [&[][..], &["-i", "x"], &["--list"], &["record", "-o", "x"], &["diff", "a", "b"], &["export", "a", "b"]]
        {
            assert_eq!(said(line), "", "{line:?}");
        }
    }

    #[test]
    fn an_argument_that_is_no_text_is_named_unless_it_is_a_path() {
        use std::os::unix::ffi::OsStringExt as _;
        let said = |line: &[&[u8]]| {
            let args: Vec<OsString> = std::iter::once(&b"psn"[..])
                .chain(line.iter().copied())
                .map(|arg| OsString::from_vec(arg.to_vec()))
                .collect();
            parse(&args).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(said(&[b"-o", b"n\xff.db"]), "");
        assert_eq!(said(&[b"-i", b"n\xff.db"]), "");
        assert_eq!(said(&[b"diff", b"n\xff.db", b"m\xff.db"]), "");
        assert_eq!(said(&[b"export", b"n\xff.db", b"m\xff.db"]), "");
        let both = said(&[b"-o", b"n\xff.db", b"--where", b"comm=\xfe"]);
        assert!(both.contains("--where: 'comm=\\xfe' is not valid UTF-8"), "{both}");
        assert!(said(&[b"-p", b"\xfe"]).contains("-p: '\\xfe'"));
        assert!(said(&[b"--host=\xfe", b"-i", b"x"]).contains("'--host=\\xfe'"));
    }
}
