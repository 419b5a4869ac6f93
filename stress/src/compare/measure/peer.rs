//! Other programs that look at every thread of the host.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::program::Program;
use crate::compare::figures::{Measurement, Probe};

/// A program given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerCommand {
    /// Its name in the table.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

impl FromStr for PeerCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("give NAME=COMMAND")?;
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || command.is_empty() {
            return Err("give NAME=COMMAND".to_owned());
        }
        Ok(Self { name: name.to_owned(), command })
    }
}

/// How long a peer may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// The placeholder for the number of samples in a command.
const TICKS: &str = "{ticks}";

/// Samples of a short and of a long run of a program that takes several.
const SHORT: u64 = 1;
const LONG: u64 = 4;

/// Programs that this host may have, with arguments that make them show every thread, as often as they can.
const KNOWN: [(&str, &[&str]); 3] = [
    ("top -H -b", &["top", "-H", "-b", "-d", "0", "-n", TICKS]),
    ("ps -eLo", &["ps", "-eLo", "pid,lwp,stat,wchan:32,comm"]),
    ("pidstat -t", &["pidstat", "-t", "-p", "ALL", "1", TICKS]),
];

/// The known programs that are installed.
pub(in crate::compare) fn installed() -> Vec<PeerCommand> {
    let known = KNOWN.iter().map(|(name, words)| PeerCommand {
        name: (*name).to_owned(),
        command: words.iter().map(ToString::to_string).collect(),
    });
    known.filter(|peer| peer.command.first().is_some_and(|program| is_installed(program))).collect()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Measures a peer's memory and open files.
pub(in crate::compare) fn probe(peer: &PeerCommand) -> Result<Probe, String> {
    Ok(program(peer, 2).probe()?.1)
}

/// Measures a peer. A peer that takes several samples is run twice; the difference is the cost of the samples without the
/// start. A peer that takes a single sample is started for each.
pub(in crate::compare) fn measure(peer: &PeerCommand, tasks: u64) -> Result<Measurement, String> {
    let takes_several = peer.command.iter().any(|word| word.contains(TICKS));
    let short = program(peer, SHORT).run()?;
    let (passes, long) =
        if takes_several { ((LONG - SHORT) as f64, program(peer, LONG).run()?) } else { (1.0, short.clone()) };
    let less = if takes_several { (short.cpu_s, short.wall_s) } else { (0.0, 0.0) };
    let (cpu_s, seconds) = (long.cpu_s - less.0, long.wall_s - less.1);
    Ok(Measurement {
        tasks,
        passes,
        seconds,
        cpu_s,
        own_cpu_s: None,
        passes_per_s: passes / seconds,
        missed: 0,
        start_up_cpu_s: takes_several.then(|| short.cpu_s - cpu_s / passes),
        others_cpu: long.others_cpu_s / long.wall_s,
    })
}

fn program(peer: &PeerCommand, ticks: u64) -> Program {
    let words = peer.command.iter().map(|word| word.replace(TICKS, &ticks.to_string())).collect();
    Program { words, cores: Some(1), wants_output: false, deadline: DEADLINE }
}

/// A run of the original psn, which samples at its own pace and prints how many samples it took.
fn original(path: &Path, seconds: u64) -> Program {
    let script = path.to_string_lossy();
    let words = ["python3", &script, "-G", "syscall,wchan", "-d", &seconds.to_string()].map(str::to_owned);
    Program { words: words.to_vec(), cores: Some(1), wants_output: true, deadline: DEADLINE }
}

/// About how many seconds the original takes for one sample of this many threads, to choose durations.
fn original_sample_s(tasks: u64) -> f64 {
    tasks as f64 * 90e-6
}

/// Measures the original's memory and open files.
pub(in crate::compare) fn probe_original(path: &Path, tasks: u64) -> Result<Probe, String> {
    Ok(original(path, (2.0 * original_sample_s(tasks)).ceil().max(3.0) as u64).probe()?.1)
}

/// Measures the original: the difference of a long and a short run.
pub(in crate::compare) fn measure_original(path: &Path, tasks: u64) -> Result<Measurement, String> {
    let sample_s = original_sample_s(tasks);
    let short_s = (1.5 * sample_s).ceil().max(3.0) as u64;
    let long_s = short_s + (3.0 * sample_s).ceil().max(6.0) as u64;
    let (short, long) = (original(path, short_s).run()?, original(path, long_s).run()?);
    let samples = |output: &str| samples_of(output).ok_or("the original's report has no number of samples");
    let passes = samples(&long.output)? - samples(&short.output)?;
    if passes < 1.0 {
        return Err("the original is too slow for the time it was given".to_owned());
    }
    let (cpu_s, seconds) = (long.cpu_s - short.cpu_s, long.wall_s - short.wall_s);
    Ok(Measurement {
        tasks,
        passes,
        seconds,
        cpu_s,
        own_cpu_s: None,
        passes_per_s: passes / seconds,
        missed: 0,
        start_up_cpu_s: None,
        others_cpu: long.others_cpu_s / long.wall_s,
    })
}

/// The number in `samples: 12`.
fn samples_of(output: &str) -> Option<f64> {
    let line = output.lines().find_map(|line| line.trim().strip_prefix("samples:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_takes_several_samples_is_run_twice() {
        let peer = |command: &str| PeerCommand {
            name: "peer".to_owned(),
            command: ["sh", "-c", command].map(str::to_owned).to_vec(),
        };
        let several = measure(&peer("sleep 0.0{ticks}"), 10).unwrap();
        assert!(several.passes > 2.0 && several.start_up_cpu_s.is_some(), "{several:?}");
        let single = measure(&peer("true"), 10).unwrap();
        assert!((single.passes - 1.0).abs() < 1e-9 && single.start_up_cpu_s.is_none());
        assert!(measure(&peer("exit 1"), 10).is_err());
    }

    #[test]
    fn the_originals_samples_are_read() {
        let output = "finished.\n\n=== Active Threads ===\n\nsamples: 42 \n(expected: 100)\ntotal processes: 3\n";
        assert_eq!(samples_of(output), Some(42.0));
        assert_eq!(samples_of("nothing"), None);
    }

    #[test]
    fn a_peer_has_a_name_and_a_command() {
        let peer: PeerCommand = "top=/usr/bin/top -b -n {ticks}".parse().unwrap();
        assert_eq!((peer.name.as_str(), peer.command.len()), ("top", 4));
        assert!("top".parse::<PeerCommand>().is_err() && "=x".parse::<PeerCommand>().is_err());
    }
}
