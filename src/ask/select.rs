//! Which processes and threads are looked at: `-p`, `-t`, `-r`.

use std::collections::HashSet;

use regex::bytes::Regex;

use crate::ask::pattern;

/// The processes that `-p` selects.
#[derive(Debug, Clone)]
pub enum ProcessSelection {
    /// Every process.
    All,
    /// The processes with these ids.
    Pids(Vec<u32>),
    /// The processes whose name matches.
    Name(Regex),
}

/// The processes and threads to look at.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The selected processes.
    pub processes: ProcessSelection,
    /// Whether their descendants are selected too.
    pub recursive: bool,
    /// If set, only these threads of them.
    pub threads: Option<HashSet<u32>>,
    /// A process to leave out: psn itself, unless it is to be shown.
    pub excluded: Option<u32>,
}

impl Selection {
    /// Every process.
    #[must_use]
    pub const fn all() -> Self {
        Self { processes: ProcessSelection::All, recursive: false, threads: None, excluded: None }
    }

    /// Parses the argument of `-p`: pids separated by commas, or else a regular expression.
    ///
    /// # Errors
    /// What is wrong with `text`, to follow it in a message: `is empty; …`.
    pub(crate) fn parse_processes(text: &str) -> Result<ProcessSelection, String> {
        if text.trim().is_empty() {
            // Probably an unset shell variable. As a regular expression it would match every process.
            return Err("is empty; leave -p out to sample every process".to_owned());
        }
        let pids: Option<Vec<u32>> =
            text.split(',').map(|pid| pid.trim().parse().ok().filter(|pid| *pid > 0)).collect();
        match pids {
            Some(pids) => Ok(ProcessSelection::Pids(pids)),
            None if text.split(',').all(|pid| pid.trim().parse::<u64>().is_ok()) => {
                Err("is not a list of pids: a pid is a number from 1 to 4294967295".to_owned())
            }
            None => pattern::compile(text)
                .map(ProcessSelection::Name)
                .map_err(|reason| format!("is neither a list of pids nor a valid regular expression: {reason}")),
        }
    }

    /// Whether every process is selected, so that the name of none needs to be read.
    #[must_use]
    pub(crate) const fn is_everything(&self) -> bool {
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
