//! One tick by the kernel's own walk.
//!
//! Most of what a walk meets is told whole by its record: those threads are counted on the spot, without touching anything
//! but the record. The others are handed on, to be looked up in /proc by whoever may block there.

use crate::kernel::BTF_PATH;
use crate::tasks::census::Census;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::ask::column::{Column, Extract};
use crate::ask::plan::Plan;
use crate::ask::select::Selection;
use crate::kernel::{self, HostInfo, KernelScan, Level, Parts, TaskRecord, Unavailable, WalkCounts};
use crate::observe::walked::{Need, knows_name};
use crate::observe::{Observer, Thread, TickTime};
use crate::proc::source::{Source, SourceSet};
use crate::proc::{ProcRoot, ReadError};
use crate::sample::roster::Roster;
use crate::symbol::kernel::{Symbols, SymbolsError};
use crate::tasks::census::Unseen;
use crate::tasks::facts::FACTS;
use crate::tasks::{Process, Task, TaskSet};

/// What a walker is to look at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The states and columns.
    pub plan: &'a Plan,
    /// The tasks.
    pub selection: &'a Selection,
}

/// The names that a stack gives.
#[derive(Debug)]
struct WaitNames {
    /// The function that is slept in.
    wchan: Box<[u8]>,
    /// The stack as it is shown, if it is.
    kstack: Box<[u8]>,
}

impl WaitNames {
    /// Those of no stack.
    fn none() -> Self {
        Self { wchan: (*b"0").into(), kstack: (*b"-").into() }
    }
}

/// Names for the stacks of a walk, each looked up once.
struct Names {
    symbols: Symbols,
    shows_stacks: bool,
    known: HashMap<Box<[u64]>, Arc<WaitNames>, RandomState>,
}

impl Names {
    /// Stacks remembered, far more than any kernel has been seen to have. Then it starts anew.
    const MAX_KNOWN: usize = 1 << 16;

    fn of(&mut self, frames: &[u64]) -> Arc<WaitNames> {
        if let Some(names) = self.known.get(frames) {
            return Arc::clone(names);
        }
        if self.known.len() >= Self::MAX_KNOWN {
            self.known.clear();
        }
        let names = Arc::new(self.look_up(frames));
        self.known.insert(frames.into(), Arc::clone(&names));
        names
    }

    fn look_up(&mut self, frames: &[u64]) -> WaitNames {
        let mut names = WaitNames::none();
        if let Some(function) = self.symbols.wait_channel(frames) {
            names.wchan = function.into();
        } else if let Some(innermost) = frames.first() {
            // The kernel has left out the scheduler's own functions already.
            names.wchan = self.symbols.name(*innermost).into();
        }
        if self.shows_stacks {
            names.kstack = self.symbols.stack(frames).into();
        }
        names
    }
}

/// Whether stacks are given names.
enum Naming {
    /// No.
    None,
    /// They are to be, by the list at this path.
    Wanted(PathBuf),
    /// They are.
    By(Box<Names>),
}

/// A thread that was met and of which files have to be read.
#[derive(Debug)]
pub struct Row {
    /// Its process.
    pub process: Arc<Process>,
    /// The thread.
    pub task: Arc<Task>,
    record: TaskRecord<'static>,
    names: Arc<WaitNames>,
    provides: SourceSet,
}

impl Row {
    /// What the walk tells of it.
    #[must_use]
    pub(crate) fn thread(&self) -> Thread<'_> {
        thread(&self.record, &self.names, self.provides)
    }
}

fn thread<'a>(record: &'a TaskRecord<'a>, names: &'a WaitNames, provides: SourceSet) -> Thread<'a> {
    Thread::from_record(record, &names.wchan, &names.kstack, provides)
}

/// Takes ticks by the kernel's own walk.
pub struct Walker {
    scan: KernelScan,
    names: Naming,
    shows_stacks: bool,
    nameless: Option<SymbolsError>,
    provides: SourceSet,
    /// Whether a column is a fact of processes, which comes with the task list.
    needs_facts: bool,
    selects_processes: bool,
    selects_threads: bool,
    excluded: Option<u32>,
    roster: Roster,
    unseen: Unseen,
    /// Stands for the process of threads of which no file is read.
    nobody: Process,
    no_names: Arc<WaitNames>,
}

impl fmt::Debug for Walker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walker").field("scan", &self.scan).field("provides", &self.provides).finish_non_exhaustive()
    }
}

impl Walker {
    /// Loads the program for what is asked for.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(host: &HostInfo, root: &ProcRoot, request: Request<'_>) -> Result<Self, Unavailable> {
        let Request { plan, selection } = request;
        let mut parts = wanted_parts(plan);
        let (mut list, mut nameless) = (PathBuf::new(), None);
        if parts.frames > 0 {
            // Addresses without names tell nobody anything: then the names are read from /proc.
            match names_list(root) {
                Ok(path) => list = path,
                Err(error) => (parts.frames, nameless) = (0, Some(error)),
            }
        }
        let selects_processes = !selection.is_everything();
        let selects_threads = selection.threads.is_some();
        let request = kernel::WalkRequest {
            gate: plan.gate.clone(),
            parts,
            selects_processes,
            selects_threads,
            ..kernel::WalkRequest::default()
        };
        let scan = KernelScan::open_on(host, &request)?;
        Ok(Self {
            provides: provided(plan, scan.parts()),
            names: if scan.parts().frames > 0 { Naming::Wanted(list) } else { Naming::None },
            shows_stacks: plan.sources.contains(Source::Stack),
            scan,
            nameless,
            needs_facts: FACTS.iter().any(|fact| plan.sources.contains(*fact)),
            selects_processes,
            selects_threads,
            excluded: selection.excluded,
            roster: Roster::default(),
            unseen: Unseen::default(),
            nobody: Process::unlisted(0),
            no_names: Arc::new(WaitNames::none()),
        })
    }

    /// How the kernel is made to walk.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.scan.level()
    }

    /// Why a better way was not taken, if one was tried.
    #[must_use]
    pub const fn refused(&self) -> Option<&Unavailable> {
        self.scan.refused()
    }

    /// Why kernel functions have no names in the records, so that they are read from /proc.
    #[must_use]
    pub const fn nameless(&self) -> Option<&SymbolsError> {
        self.nameless.as_ref()
    }

    /// Whether every task of the host is looked at.
    #[must_use]
    pub const fn sees_everything(&self) -> bool {
        !self.selects_processes && !self.selects_threads
    }

    /// Takes a newer task list, with what walks do not show of it.
    pub fn turn_to(&mut self, set: &Arc<TaskSet>, unseen: &Unseen) {
        // Not before it is known that there will be walks: it takes a while.
        self.learn_names();
        if self.selects_processes {
            self.scan.select_processes(set.processes().iter().map(|process| process.tgid));
        }
        if self.selects_threads {
            let tasks = set.processes().iter().flat_map(|process| process.tasks.iter());
            self.scan.select_threads(tasks.map(|task| task.tid));
        }
        self.roster.turn_to(set);
        self.unseen = unseen.clone();
    }

    fn learn_names(&mut self) {
        let Naming::Wanted(list) = &self.names else { return };
        match Symbols::load(list) {
            Ok(symbols) => {
                let (shows_stacks, known) = (self.shows_stacks, HashMap::default());
                self.names = Naming::By(Box::new(Names { symbols, shows_stacks, known }));
            }
            Err(error) => {
                self.names = Naming::None;
                self.provides.remove(Source::Wchan);
                self.provides.remove(Source::Stack);
                self.nameless = Some(error);
            }
        }
    }

    /// The tasks that walks do not show, to be read through /proc.
    #[must_use]
    pub const fn unseen(&self) -> &Arc<TaskSet> {
        self.unseen.set()
    }

    /// Walks once and has `observer` count whom it meets, but for those it returns: files of them have to be read first.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub(crate) fn walk(&mut self, observer: &mut Observer, at: TickTime) -> io::Result<(WalkCounts, Vec<Row>)> {
        let Self { scan, names, provides, needs_facts, excluded, roster, unseen, nobody, no_names, .. } = self;
        let provides = *provides;
        let mut rows = Vec::new();
        let walk = scan.walk(&mut |record| {
            if *excluded == Some(record.tgid) || unseen.contains(record.tid) {
                return;
            }
            let held;
            let names = match names {
                Naming::By(names) if !record.frames.is_empty() => {
                    held = names.of(record.frames);
                    &held
                }
                _ => &*no_names,
            };
            let found = thread(record, names, provides);
            let process = if *needs_facts {
                // Of a process that is not listed yet nothing is known: it counts from the next listing on.
                let Some(process) = roster.process(record.tgid) else { return };
                &**process
            } else {
                &*nobody
            };
            let need = observer.need(&found);
            if need == Need::Nothing {
                observer.observe_walked(process, None, &found, at);
            } else if !observer.rejects(&found) {
                let (process, task) = roster.find(record);
                if need == Need::Name && knows_name(&task, record) {
                    observer.observe_walked(&process, Some(&task), &found, at);
                } else {
                    let (record, names) = (record.without_frames(), Arc::clone(names));
                    rows.push(Row { process, task, record, names, provides });
                }
            }
        })?;
        observer.reader.health.record_ok(Source::Kernel, walk.tasks());
        observer.reader.health.record_dropped(Source::Kernel, rustix::io::Errno::NOBUFS, walk.overflowed);
        Ok((walk, rows))
    }
}

/// The list of the kernel's names, if it shows any.
fn names_list(root: &ProcRoot) -> Result<PathBuf, SymbolsError> {
    let unreadable = |error| SymbolsError::Unreadable { path: root.path().join("kallsyms"), error };
    let list = root.host_path(c"kallsyms").map_err(|error| {
        unreadable(match error {
            ReadError::Unsupported => io::Error::other("something else is mounted over it"),
            error => io::Error::other(error.to_string()),
        })
    })?;
    Symbols::are_shown(&list)?;
    Ok(list)
}

/// What the plan's columns need of a record.
fn wanted_parts(plan: &Plan) -> Parts {
    let wants = |source| plan.sources.contains(source);
    let frames = if wants(Source::Stack) { Parts::MAX_FRAMES } else { u8::from(wants(Source::Wchan)) };
    Parts {
        uid: plan.columns.iter().any(|column| is_real_user(column)),
        leader: wants(Source::Comm),
        call: wants(Source::Syscall),
        frames,
    }
}

/// The sources that records with these parts answer.
fn provided(plan: &Plan, parts: Parts) -> SourceSet {
    let of_owner = |column: &&Column| column.source == Source::Owner;
    let tells_owner = parts.uid && plan.columns.iter().copied().filter(of_owner).all(is_real_user);
    let provided = [
        (Source::Kernel, true),
        (Source::Comm, parts.leader),
        (Source::Syscall, parts.call),
        (Source::Wchan, parts.frames > 0),
        (Source::Stack, parts.frames == Parts::MAX_FRAMES),
        (Source::Owner, tells_owner),
    ];
    provided.into_iter().filter(|(_, is_provided)| *is_provided).map(|(source, _)| source).collect()
}

/// Whether the column shows the real user.
fn is_real_user(column: &Column) -> bool {
    column.source == Source::Owner && matches!(column.extract, Extract::User | Extract::Status("Uid", _))
}

/// Makes the programs for the walks of a run.
///
/// # Errors
/// Why there can be none.
pub fn open(root: &ProcRoot, request: Request<'_>) -> Result<(Walker, Census), Unavailable> {
    let host = HostInfo::survey(root, BTF_PATH.as_ref())?;
    let walker = Walker::open(&host, root, request)?;
    let census = Census::open(&host, !request.selection.is_everything())?;
    Ok((walker, census))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::plan::{PlanRequest, StateGate};

    fn plan(columns: &str) -> Plan {
        let group_by = columns.split(' ').map(str::to_owned).collect();
        Plan::new(&PlanRequest { group_by, ..PlanRequest::default() }, StateGate::active()).unwrap()
    }

    #[test]
    fn no_more_is_taken_than_the_columns_show() {
        let parts = |columns| wanted_parts(&plan(columns));
        assert_eq!(parts("comm state cpu oncpu"), Parts::default());
        assert_eq!(parts("syscall"), Parts { call: true, ..Parts::default() });
        assert_eq!(parts("filename"), Parts { call: true, ..Parts::default() });
        assert_eq!(parts("wchan user"), Parts { uid: true, frames: 1, ..Parts::default() });
        assert_eq!(parts("kstack wchan"), Parts { frames: Parts::MAX_FRAMES, ..Parts::default() });
        assert_eq!(parts("gid"), Parts::default());
    }

    #[test]
    fn what_is_not_taken_is_not_provided() {
        let provides = |columns, parts| provided(&plan(columns), parts).iter().collect::<Vec<_>>();
        let all = Parts { leader: false, ..Parts::everything() };
        assert_eq!(
            provides("uid syscall wchan kstack", all),
            [Source::Kernel, Source::Syscall, Source::Wchan, Source::Stack, Source::Owner]
        );
        assert!(!provides("uid gid", all).contains(&Source::Owner), "gid is in no record");
        assert_eq!(provides("wchan", Parts::default()), [Source::Kernel]);
        assert_eq!(provides("wchan", Parts { frames: 1, ..Parts::default() }), [Source::Kernel, Source::Wchan]);
    }
}
