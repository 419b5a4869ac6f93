//! Which processes and threads a run is about: `-p`, `-t`, `-r`.

use std::collections::HashSet;

use regex::bytes::Regex;

use crate::ask::pattern;

/// The argument of `-p`.
#[derive(Debug, Clone)]
pub enum ProcessSelection {
    /// Every process.
    All,
    /// These pids.
    Pids(Vec<u32>),
    /// Those whose name matches.
    Name(Regex),
}

/// Everything that narrows the task list.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The processes.
    pub processes: ProcessSelection,
    /// Their descendants too.
    pub recursive: bool,
    /// If given, only these threads.
    pub threads: Option<HashSet<u32>>,
    /// A process to leave out: psn itself.
    pub excluded: Option<u32>,
}

impl Selection {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self { processes: ProcessSelection::All, recursive: false, threads: None, excluded: None }
    }

    /// Understands the argument of `-p`: pids, or else a regex.
    ///
    /// # Errors
    /// What the regex parser says.
    pub fn parse_processes(text: &str) -> Result<ProcessSelection, String> {
        if text.trim().is_empty() {
            // An unset variable of a shell, most likely; as a regex it would match every process.
            return Err("it is empty; leave -p out to sample every process".to_owned());
        }
        let pids: Option<Vec<u32>> =
            text.split(',').map(|pid| pid.trim().parse().ok().filter(|pid| *pid > 0)).collect();
        match pids {
            Some(pids) => Ok(ProcessSelection::Pids(pids)),
            None if text.split(',').all(|pid| pid.trim().parse::<u64>().is_ok()) => {
                Err("a pid is a number from 1 to 4294967295".to_owned())
            }
            None => pattern::compile(text)
                .map(ProcessSelection::Name)
                .map_err(|reason| format!("neither a list of pids nor a valid regular expression: {reason}")),
        }
    }

    /// Whether every process is meant, so that nothing need be known of one but its pid.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        matches!(self.processes, ProcessSelection::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_or_a_regex() {
        assert!(matches!(Selection::parse_processes("1, 22"), Ok(ProcessSelection::Pids(pids)) if pids == [1, 22]));
        assert!(matches!(Selection::parse_processes("mysqld|kwork"), Ok(ProcessSelection::Name(_))));
        assert!(Selection::parse_processes("(").is_err());
        assert!(Selection::parse_processes("99999999999").is_err());
        assert!(Selection::parse_processes(" ").is_err());
    }
}
