//! Which process has a socket open: searched for among the descriptors of all processes, a few of them at a time.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::budget::TimeBudget;
use super::watch::BatchWatch;
use crate::proc::health::Health;
use crate::proc::net::ThreadId;
use crate::proc::parse::fd_link;
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, ReadError};

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    /// Its name, filled up with zeros.
    pub(super) comm: [u8; 16],
}

/// The processes that have sockets open.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// By inode, since when; `None` if a search through all processes has found none.
    known: HashMap<u64, (Option<Owner>, Instant), RandomState>,
    /// The inodes that are searched for, after which round nobody has them, and in which network namespace they are.
    wanted: HashMap<u64, (u64, u64), RandomState>,
    /// The network namespaces of those that were wanted when this round began.
    namespaces: HashSet<u64, RandomState>,
    /// How many rounds through all processes were begun.
    rounds: u64,
    is_in_round: bool,
    /// The processes that this round has not come to; the last is next.
    processes: Vec<u32>,
    /// Those that come last: most owners are found without them. They are in other network namespaces, or have many files open.
    last: Vec<u32>,
    /// The process that is searched, and those of its descriptors that are left.
    current: Option<(u32, Vec<u32>)>,
    names: Vec<u8>,
}

impl Owners {
    /// No more processes and descriptors are looked at in one tick.
    const MAX_LOOKS: u32 = 2000;
    /// A process with more files open comes last.
    const FEW: u64 = 500;
    /// What was found holds for so long.
    const AGE: Duration = Duration::from_secs(10);
    /// The most inodes that are known, and that are searched for.
    const MAX: usize = 1 << 16;

    /// Who has the socket with this inode, in this network namespace, open; `None` if that is not known, and then it is searched for.
    pub(super) fn of(&mut self, inode: u64, namespace: u64) -> Option<Option<Owner>> {
        match self.known.get(&inode) {
            Some((owner, since)) if since.elapsed() < Self::AGE => return Some(*owner),
            _ => {}
        }
        if self.wanted.len() < Self::MAX {
            let rounds = self.rounds;
            // The round that is under way may have passed its owner.
            self.wanted.entry(inode).or_insert((rounds + 1, namespace));
        }
        None
    }

    /// Searches for a while, `likely` processes first; they are in ascending order.
    pub(super) fn search(
        &mut self,
        root: &ProcRoot,
        likely: &[u32],
        budget: &mut TimeBudget,
        health: &mut Health,
        watch: &BatchWatch<'_>,
    ) -> Option<()> {
        if self.known.len() > Self::MAX {
            self.known.retain(|_, (_, since)| since.elapsed() < Self::AGE);
        }
        let (mut looks, mut has_begun) = (0, false);
        while !self.wanted.is_empty() && looks < Self::MAX_LOOKS && budget.has_left() {
            looks += 1;
            match budget.spend(|| self.next(root, watch))? {
                Next::Descriptor(pid, fd) => {
                    watch.enter(pid)?;
                    let link = budget.spend(|| root.read_descriptor_link(pid, fd));
                    watch.leave()?;
                    health.record(Source::Fd, &link);
                    self.take(root, pid, &link.unwrap_or_default(), health);
                }
                Next::Process => {}
                Next::End if has_begun => break,
                Next::End => {
                    has_begun = true;
                    self.begin(root, likely).ok()?;
                }
            }
        }
        Some(())
    }

    /// The next descriptor to look at. `None` if the reader was given up.
    fn next(&mut self, root: &ProcRoot, watch: &BatchWatch<'_>) -> Option<Next> {
        if let Some((pid, descriptors)) = &mut self.current {
            if let Some(fd) = descriptors.pop() {
                return Some(Next::Descriptor(*pid, fd));
            }
            self.current = None;
        }
        let is_last = self.processes.is_empty();
        let Some(pid) = self.processes.pop().or_else(|| self.last.pop()) else {
            self.end();
            return Some(Next::End);
        };
        if !watch.may_read(pid) {
            return Some(Next::Process);
        }
        watch.enter(pid)?;
        if !is_last && !self.is_likely(root, pid) {
            self.last.push(pid);
            watch.leave()?;
            return Some(Next::Process);
        }
        let mut descriptors = Vec::new();
        // Of a process whose descriptors psn may not see, none is looked at.
        let listed = root.list_descriptors(pid, &mut self.names, &mut descriptors);
        watch.leave()?;
        self.current = listed.ok().map(|()| (pid, descriptors));
        Some(Next::Process)
    }

    /// Whether it is worth while to look at a process before others.
    fn is_likely(&self, root: &ProcRoot, pid: u32) -> bool {
        let Ok(here) = root.net_namespace(ThreadId { tgid: pid, tid: pid }) else { return false };
        self.namespaces.contains(&here) && root.open_files(pid).is_none_or(|open| open <= Self::FEW)
    }

    fn begin(&mut self, root: &ProcRoot, likely: &[u32]) -> Result<(), ReadError> {
        self.names.reserve(32 << 10);
        let mut processes = Vec::new();
        root.list_processes_aside(&mut self.names, &mut processes)?;
        // The last is next: the youngest first, and before them the likely ones.
        processes.retain(|pid| likely.binary_search(pid).is_err());
        processes.extend(likely);
        self.processes = processes;
        self.namespaces = self.wanted.values().map(|(_, namespace)| *namespace).collect();
        self.rounds += 1;
        self.is_in_round = true;
        Ok(())
    }

    /// Ends a round: nobody has the sockets that were wanted before it began.
    fn end(&mut self) {
        if !std::mem::take(&mut self.is_in_round) {
            return;
        }
        let Self { known, wanted, rounds, .. } = self;
        let now = Instant::now();
        wanted.retain(|inode, (round, _)| {
            let is_nowhere = *round <= *rounds;
            if is_nowhere {
                known.insert(*inode, (None, now));
            }
            !is_nowhere
        });
    }

    fn take(&mut self, root: &ProcRoot, pid: u32, link: &[u8], health: &mut Health) {
        let Some(inode) = fd_link::socket_inode(link).filter(|inode| self.wanted.contains_key(inode)) else { return };
        self.wanted.remove(&inode);
        let mut buffer = Buffer::default();
        let name = root.read_process(pid, Source::Comm, Source::Comm.name(), &mut buffer);
        health.record(Source::Comm, &name);
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().zip(name.unwrap_or_default().iter().take_while(|byte| **byte != b'\n')) {
            *to = *from;
        }
        self.known.insert(inode, (Some(Owner { pid, comm }), Instant::now()));
    }
}

/// A step of a search.
#[derive(Debug)]
enum Next {
    /// A descriptor of a process is to be looked at.
    Descriptor(u32, u32),
    /// A process was listed or left out.
    Process,
    /// All processes were searched.
    End,
}
