//! Errors and warnings about a selection: no process matches it, some do not exist, all have ended.

use crate::ask::select::{ProcessSelection, Selection};
use crate::config::Config;
use crate::proc::own;
use crate::tasks::TaskSet;
use crate::text::sentence::shown;

/// The error for a selection that matches no thread. `excluded` is psn's own process id, if psn leaves itself out.
pub(super) fn nothing_selected(config: &Config, excluded: Option<u32>) -> String {
    if let Some(itself) = excluded_though_meant(&config.selection, excluded) {
        return itself;
    }
    let threads = match &config.selection.threads {
        Some(threads) => {
            let mut threads: Vec<String> = threads.iter().map(u32::to_string).collect();
            threads.sort();
            format!(" with a thread {}", threads.join(" or "))
        }
        None => String::new(),
    };
    match &config.selection.processes {
        ProcessSelection::Pids(pids) => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            format!("-p: no process {}{threads} exists in {}", pids.join(" or "), shown(&config.root))
        }
        ProcessSelection::Name(regex) => format!(
            "-p: no process name matches '{regex}'{threads}; the name is what ps -o comm shows, the first 15 characters of \
             the program's file name"
        ),
        ProcessSelection::All if config.selection.threads.is_some() => {
            format!("-t: there is no process{threads} in {}", shown(&config.root))
        }
        ProcessSelection::All => format!("there are no processes in {}", shown(&config.root)),
    }
}

/// The warnings about a selection of pids: those that do not exist, and psn itself.
pub(super) fn missing_pids(selection: &Selection, excluded: Option<u32>, set: &TaskSet) -> Vec<String> {
    let ProcessSelection::Pids(pids) = &selection.processes else { return Vec::new() };
    let mut warnings = Vec::from_iter(excluded_though_meant(selection, excluded));
    let exists = |pid: &&u32| set.processes().iter().any(|process| process.tgid == **pid);
    let is_missing = |pid: &&u32| !exists(pid) && Some(**pid) != excluded;
    let missing: Vec<String> = pids.iter().filter(is_missing).map(u32::to_string).collect();
    if !missing.is_empty() {
        warnings.push(format!("-p: there was no process {}", missing.join(", ")));
    }
    warnings
}

/// What to say if psn leaves itself out and is selected by its pid, by one of its threads, or by its name.
fn excluded_though_meant(selection: &Selection, excluded: Option<u32>) -> Option<String> {
    let pid = excluded?;
    let is_meant = match &selection.processes {
        ProcessSelection::Pids(pids) => pids.contains(&pid),
        ProcessSelection::Name(regex) => own::name().is_ok_and(|name| regex.is_match(&name)),
        // Thread ids are those of psn's own PID namespace, which is nearly always that of the proc root.
        ProcessSelection::All => selection.threads.iter().flatten().any(|tid| own::has_thread(*tid)),
    };
    is_meant.then(|| format!("process {pid} is psn itself, which is left out without --show-yourself"))
}

/// Whether all selected processes have ended and no other can take their place.
pub(super) fn has_ended(selection: &Selection, set: &TaskSet) -> bool {
    set.threads() == 0 && matches!(selection.processes, ProcessSelection::Pids(_)) && !selection.recursive
}
