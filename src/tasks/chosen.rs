//! Which of the listed processes are sampled: the selection by pid, name or thread, with descendants.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::ask::select::{ProcessSelection, Selection};
use crate::proc::{ReadError, TaskDir};
use crate::tasks::reads::Reads;
use crate::tasks::set::Process;

/// What is known of one listed pid.
#[derive(Default)]
pub(super) struct Candidate {
    /// The number of the last listing that showed it.
    seen: u32,
    is_selected: bool,
    /// The parent, once it was read. It is read once: a process that init adopts stays selected.
    parent: Option<u32>,
    /// The inode of its `task` directory. A pid that is given to another process has another inode.
    pub(super) inode: Option<u64>,
    /// The process as it was last listed, if it is selected.
    pub(super) process: Option<Arc<Process>>,
    /// When its facts were last asked for; 0 if they have to be asked for.
    pub(super) facts_asked_ns: u64,
}

/// The processes that the selection chooses among those listed.
pub(super) struct Chosen {
    selection: Selection,
    candidates: HashMap<u32, Candidate, RandomState>,
    /// The number of the current listing.
    listing: u32,
    /// The pids of the current listing, ascending.
    pids: Vec<u32>,
}

impl Chosen {
    pub(super) fn new(selection: Selection) -> Self {
        Self { selection, candidates: HashMap::default(), listing: 0, pids: Vec::new() }
    }

    /// Whether every thread of every process is sampled, except those of psn.
    pub(super) fn is_everything(&self) -> bool {
        self.selection.is_everything() && self.selection.threads.is_none()
    }

    /// What is known of a pid of the current listing.
    pub(super) fn candidate(&mut self, pid: u32) -> Option<&mut Candidate> {
        self.candidates.get_mut(&pid)
    }

    /// Lists the processes, and decides for each whether it is selected.
    ///
    /// # Errors
    /// When the proc root cannot be listed.
    pub(super) fn update(&mut self, reads: &mut Reads) -> Result<(), ReadError> {
        self.listing = self.listing.wrapping_add(1);
        self.list(reads)?;
        self.forget_unlisted();
        if self.follows_descent() {
            self.forget_reused(reads);
        }
        self.select(reads);
        if self.follows_descent() {
            self.select_descendants(reads);
        }
        Ok(())
    }

    /// The pids of the selected processes, ascending.
    pub(super) fn selected(&self, reads: &mut Reads) -> Vec<u32> {
        let is_selected = |pid: &&u32| self.candidates.get(*pid).is_some_and(|candidate| candidate.is_selected);
        let mut pids = self.pids.iter().filter(is_selected).copied().collect();
        self.retain_owners(reads, &mut pids);
        pids
    }

    const fn follows_descent(&self) -> bool {
        self.selection.recursive && !self.selection.is_everything()
    }

    /// Fills `pids` with those that may be selected.
    fn list(&mut self, reads: &mut Reads) -> Result<(), ReadError> {
        let mut pids = std::mem::take(&mut self.pids);
        pids.clear();
        match &self.selection.processes {
            // `/proc/TID` shows the process of the thread TID; that is not a process with the pid TID.
            ProcessSelection::Pids(wanted) if !self.selection.recursive => {
                pids.extend(wanted.iter().filter(|pid| reads.process_of(**pid).is_none_or(|process| process == **pid)));
            }
            _ => reads.list_processes(&mut pids)?,
        }
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| Some(*pid) != self.selection.excluded);
        // With descendants, processes without any of the selected threads are needed as links between parent and child.
        if !self.selection.recursive {
            self.retain_owners(reads, &mut pids);
        }
        self.pids = pids;
        Ok(())
    }

    /// If the selection names threads, keeps only the processes that these belong to.
    fn retain_owners(&self, reads: &mut Reads, pids: &mut Vec<u32>) {
        if let Some(threads) = &self.selection.threads {
            let owners: Vec<u32> = threads.iter().filter_map(|tid| reads.process_of(*tid)).collect();
            pids.retain(|pid| owners.contains(pid));
        }
    }

    /// Adds the listed pids as candidates, and drops those that are no longer listed.
    fn forget_unlisted(&mut self) {
        for pid in &self.pids {
            self.candidates.entry(*pid).or_default().seen = self.listing;
        }
        self.candidates.retain(|_, candidate| candidate.seen == self.listing);
    }

    /// Forgets what is known of a pid that was given to another process: that one is not selected because its predecessor was.
    fn forget_reused(&mut self, reads: &Reads) {
        for pid in &self.pids {
            let Ok(status) = reads.root.task_dir_status(TaskDir { tgid: *pid, dir: None }) else { continue };
            if let Some(candidate) = self.candidates.get_mut(pid) {
                if candidate.inode.is_some_and(|inode| inode != status.inode) {
                    *candidate = Candidate { seen: self.listing, ..Candidate::default() };
                }
                candidate.inode = Some(status.inode);
            }
        }
    }

    /// Selects by pid or name.
    fn select(&mut self, reads: &mut Reads) {
        match &self.selection.processes {
            ProcessSelection::All => self.candidates.values_mut().for_each(|candidate| candidate.is_selected = true),
            ProcessSelection::Pids(wanted) => {
                for pid in wanted {
                    if let Some(candidate) = self.candidates.get_mut(pid) {
                        candidate.is_selected = true;
                    }
                }
            }
            ProcessSelection::Name(regex) => {
                for pid in &self.pids {
                    // Names change, so each listing reads them again.
                    let Some(name) = reads.name_of(*pid) else { continue };
                    let is_match = regex.is_match(name);
                    if let Some(candidate) = self.candidates.get_mut(pid) {
                        // A descendant stays selected whatever its name is.
                        candidate.is_selected = is_match || (self.selection.recursive && candidate.is_selected);
                    }
                }
            }
        }
    }

    /// Selects the children of selected processes, and their children. Once selected, a process stays selected when its
    /// parent ends and init adopts it.
    fn select_descendants(&mut self, reads: &mut Reads) {
        for pid in &self.pids {
            if let Some(candidate) = self.candidates.get_mut(pid)
                && candidate.parent.is_none()
            {
                candidate.parent = reads.parent_of(*pid);
            }
        }
        // Pids wrap, so that a child may come before its parent: repeat until no process is added.
        loop {
            let is_added = |pid: &&u32| {
                let Some(candidate) = self.candidates.get(*pid) else { return false };
                let parent = candidate.parent.and_then(|parent| self.candidates.get(&parent));
                !candidate.is_selected && parent.is_some_and(|parent| parent.is_selected)
            };
            let added: Vec<u32> = self.pids.iter().filter(is_added).copied().collect();
            if added.is_empty() {
                return;
            }
            for pid in added {
                if let Some(candidate) = self.candidates.get_mut(&pid) {
                    candidate.is_selected = true;
                }
            }
        }
    }
}
