//! Which option has a say in what: one that does nothing is refused rather than ignored.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Error, FromArgMatches as _};

use crate::config::cli::{self, Cli};
use crate::text::escape::printable;

/// What a command line has psn do, as far as options differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `--list`
    List,
    /// `-i`
    Replay,
    /// A report on live samples.
    Live,
    /// The same, with a recording of it.
    LiveRecorded,
    /// `psn record`
    Record,
}

/// What an option is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// What psn does, or whatever it does.
    All,
    /// How threads are found and read.
    Sampling,
    /// What is printed.
    Report,
    /// What goes to a file.
    Recording,
    /// Which part of recordings is looked at.
    Replay,
}

/// Every option of sampling, recording and replay, by its name.
const OPTIONS: [(&str, About); 40] = [
    ("duration", About::Sampling),
    ("hz", About::Sampling),
    ("discover_hz", About::Sampling),
    ("pid", About::All),
    ("thread", About::All),
    ("recursive", About::Sampling),
    ("all_states", About::All),
    ("states", About::All),
    ("waits", About::All),
    ("active", About::All),
    // What psn groups by, it records as well.
    ("group_by", About::All),
    ("append_group_by", About::All),
    ("select", About::All),
    ("filters", About::All),
    ("limit", About::Report),
    ("sort", About::Report),
    ("format", About::Report),
    ("raw_csv", About::Report),
    ("max_memory", About::Report),
    ("list", About::All),
    ("scan", About::Sampling),
    ("procfs", About::Sampling),
    ("workers", About::Sampling),
    ("fd_budget", About::Sampling),
    ("jitter", About::Sampling),
    ("nice", About::Sampling),
    ("max_cpu", About::Sampling),
    ("show_yourself", About::Sampling),
    ("quiet", About::All),
    ("output", About::All),
    ("force", About::Recording),
    ("record", About::Recording),
    ("flush", About::Recording),
    ("keep", About::Recording),
    ("max_size", About::Recording),
    ("input", About::All),
    ("from", About::Replay),
    ("to", About::Replay),
    ("host", About::Replay),
    ("per", About::Replay),
];

fn about(id: &str) -> About {
    OPTIONS.iter().find(|(name, _)| *name == id).map_or(About::All, |(_, about)| *about)
}

/// Why the option `id` does nothing here, and what to do; none if it does something.
fn idle(id: &str, mode: Mode) -> Option<&'static str> {
    match (mode, about(id)) {
        (Mode::List, _) if id != "list" => Some("--list shows the columns there are; leave one of the two out"),
        (Mode::Record, _) if id == "list" => Some("psn --list shows the columns there are"),
        (Mode::Record, _) if id == "input" => {
            Some("psn record samples; psn -i reports on recordings, psn export copies them")
        }
        (Mode::Replay, _) if id == "output" => Some("with -i nothing is sampled; psn export IN OUT copies a recording"),
        (Mode::Replay, About::Sampling) => Some("with -i nothing is sampled; leave it out"),
        (Mode::Replay, About::Recording) => Some("with -i nothing is recorded; leave it out"),
        (Mode::Record, About::Report) => Some("psn record prints no report; give it to psn -i later"),
        (Mode::Record, About::Replay) => Some("psn record looks at no recording; give it to psn -i later"),
        (Mode::Live, About::Recording) => Some("nothing is recorded; say where to with -o PATH"),
        (Mode::Live | Mode::LiveRecorded, About::Replay) => Some("it is about recordings; name one with -i PATH"),
        _ => None,
    }
}

/// The command line `args`, understood.
///
/// # Errors
/// What clap has to say, which may be the help; and the first option that does nothing.
pub fn parse(args: &[OsString]) -> Result<Cli, Error> {
    let mut command = cli::command();
    let matches = command.try_get_matches_from_mut(args).map_err(|error| name_argument(error, args))?;
    check(&mut command, &matches)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Refuses the first option that does nothing.
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
        (is_idle && given.iter().any(|id| id == "raw_csv")).then_some(("raw_csv", "it is about CSV; add --format csv"))
    };
    match idle.or_else(not_csv) {
        None => Ok(()),
        Some((id, why)) => {
            let name = flag(command, id);
            Err(command.error(ErrorKind::ArgumentConflict, format!("{name} does nothing here: {why}")))
        }
    }
}

/// The option as it is typed.
fn flag(command: &Command, id: &str) -> String {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let argument = commands.flat_map(Command::get_arguments).find(|argument| argument.get_id() == id);
    let long = argument.and_then(clap::Arg::get_long).unwrap_or(id);
    match argument.and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, --{long}"),
        None => format!("--{long}"),
    }
}

/// Names the argument of which clap says no more than that there is one that is not UTF-8: paths may be so, and what else there
/// is must be text.
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
            let message = format!("{option}'{given}' is not UTF-8; only paths may be so, and this must be text");
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
        if argument.get_id() == "waits" {
            return vec![format!("{name}=all")];
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
    fn what_does_nothing_is_refused_with_what_to_do() {
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
        assert!(both.contains("--where: 'comm=\\xfe' is not UTF-8"), "{both}");
        assert!(said(&[b"-p", b"\xfe"]).contains("-p: '\\xfe'"));
        assert!(said(&[b"--host=\xfe", b"-i", b"x"]).contains("'--host=\\xfe'"));
    }
}
