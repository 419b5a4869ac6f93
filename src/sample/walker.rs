//! One tick by the kernel's own walk.
//!
//! A task whose record has all that the columns need is counted on the spot, and nothing but the record is touched. The other
//! tasks are returned to the caller, whose lanes read the missing files in /proc: those reads may block.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::roster::Roster;
use super::stack_names::{StackNaming, WaitNames};
use crate::ask::column::{Column, Extract};
use crate::ask::plan::Plan;
use crate::ask::select::Selection;
use crate::kernel::{
    self, BTF_PATH, HostInfo, KernelScan, Level, Parts, TaskRecord, Unavailable, WaitFacts, WalkCounts,
};
use crate::observe::Thread;
use crate::observe::walked::{Need, knows_name};
use crate::observe::{Observer, TickTime};
use crate::proc::ProcRoot;
use crate::proc::source::{Source, SourceSet};
use crate::symbol::kernel::{Symbols, SymbolsError};
use crate::tasks::census::{Census, Unseen};
use crate::tasks::facts::FACTS;
use crate::tasks::{Process, Task, TaskSet};

/// What the walks of a run sample.
#[derive(Debug, Clone, Copy)]
pub struct WalkScope<'a> {
    /// The states and columns to sample.
    pub plan: &'a Plan,
    /// The tasks to sample.
    pub selection: &'a Selection,
}

/// A task that a walk met, and of which files have to be read.
#[derive(Debug)]
pub(super) struct PendingTask {
    pub(super) process: Arc<Process>,
    pub(super) task: Arc<Task>,
    /// Its record without its wait.
    record: TaskRecord<'static>,
    wait: Option<WaitFacts>,
    names: Arc<WaitNames>,
    provides: SourceSet,
}

impl PendingTask {
    /// Its record.
    pub(super) const fn record(&self) -> TaskRecord<'_> {
        self.record.with_wait(self.wait.as_ref())
    }

    /// What its record says of it.
    pub(super) fn thread<'a>(&'a self, record: &'a TaskRecord<'a>) -> Thread<'a> {
        thread(record, &self.names, self.provides)
    }
}

fn thread<'a>(record: &'a TaskRecord<'a>, names: &'a WaitNames, provides: SourceSet) -> Thread<'a> {
    Thread::from_record(record, &names.wchan, &names.kstack, provides)
}

/// What a walk came to.
pub(super) struct Walked {
    pub(super) counts: WalkCounts,
    /// Tasks that are throttled by their cgroup, if records tell.
    pub(super) throttled: u64,
    /// Threads of psn in state R, if that state passes the gate and psn is left out of the samples.
    pub(super) own_running: u64,
    /// The tasks of which files have to be read before they can be counted.
    pub(super) pending: Vec<PendingTask>,
}

/// Makes the walks of a run.
pub struct Walker {
    scan: KernelScan,
    names: StackNaming,
    shows_stacks: bool,
    /// Why stacks have no names.
    nameless: Option<SymbolsError>,
    /// The sources that records answer.
    provides: SourceSet,
    /// Whether a column is a fact of processes, which comes with the task list only.
    needs_facts: bool,
    selects_processes: bool,
    selects_threads: bool,
    excluded: Option<u32>,
    roster: Roster,
    unseen: Unseen,
    /// Passed to the observer in the place of the process, for threads of which no file is read.
    no_process: Process,
    no_names: Arc<WaitNames>,
}

impl fmt::Debug for Walker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walker").field("scan", &self.scan).field("provides", &self.provides).finish_non_exhaustive()
    }
}

impl Walker {
    /// Loads the walk's program.
    ///
    /// # Errors
    /// When the kernel cannot be made to walk, or not by this user.
    pub fn open(host: &HostInfo, root: &ProcRoot, request: WalkScope<'_>) -> Result<Self, Unavailable> {
        let WalkScope { plan, selection } = request;
        let mut parts = wanted_parts(plan);
        let mut nameless = None;
        // Addresses without names are of no use: wchan and kstack are read from /proc instead.
        if parts.frames > 0
            && let Err(error) = Symbols::are_shown(root)
        {
            (parts.frames, nameless) = (0, Some(error));
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
            names: if scan.parts().frames > 0 {
                StackNaming::Unloaded(Box::new(root.share()))
            } else {
                StackNaming::Off
            },
            shows_stacks: plan.sources.contains(Source::Stack),
            scan,
            nameless,
            needs_facts: FACTS.iter().any(|fact| plan.sources.contains(*fact)),
            selects_processes,
            selects_threads,
            excluded: selection.excluded,
            roster: Roster::default(),
            unseen: Unseen::default(),
            no_process: Process::unlisted(0),
            no_names: Arc::new(WaitNames::none()),
        })
    }

    /// The kind of program that walks.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.scan.level()
    }

    /// Why a faster kind of program was refused, if one was.
    #[must_use]
    pub const fn refused(&self) -> Option<&Unavailable> {
        self.scan.refused()
    }

    /// Why stacks cannot be named, so that wchan and kstack are read from /proc.
    #[must_use]
    pub const fn nameless(&self) -> Option<&SymbolsError> {
        self.nameless.as_ref()
    }

    /// Whether every task of the host is selected.
    pub(super) const fn sees_everything(&self) -> bool {
        !self.selects_processes && !self.selects_threads
    }

    /// Replaces the task list. `unseen` are those of its tasks that walks do not show.
    pub fn set_tasks(&mut self, set: &Arc<TaskSet>, unseen: &Unseen) {
        // Here and not in `open`: it takes a while, and discovery may find walks not worth their cost.
        self.load_symbols();
        if self.selects_processes {
            self.scan.select_processes(set.processes().iter().map(|process| process.tgid));
        }
        if self.selects_threads {
            let tasks = set.processes().iter().flat_map(|process| process.tasks.iter());
            self.scan.select_threads(tasks.map(|task| task.tid));
        }
        self.roster.set_tasks(set);
        self.unseen = unseen.clone();
    }

    fn load_symbols(&mut self) {
        if let Err(error) = self.names.load(self.shows_stacks) {
            self.provides.remove(Source::Wchan);
            self.provides.remove(Source::Stack);
            self.nameless = Some(error);
        }
    }

    /// The tasks that walks do not show, to be read through /proc.
    pub(super) const fn unseen(&self) -> &Arc<TaskSet> {
        self.unseen.set()
    }

    /// When the next walk is due: see [`KernelScan::set_due`].
    pub(crate) const fn set_due(&mut self, due_ns: u64) {
        self.scan.set_due(due_ns);
    }

    /// Walks once. `observer` counts the tasks that are met, except those that are returned as pending.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub(super) fn walk(&mut self, observer: &mut Observer, at: TickTime) -> io::Result<Walked> {
        let Self { scan, names, provides, needs_facts, excluded, roster, unseen, no_process, no_names, .. } = self;
        let provides = *provides;
        let (mut throttled, mut own_running, mut pending) = (0, 0, Vec::new());
        let walk = scan.walk(&mut |record| {
            if *excluded == Some(record.tgid) {
                own_running += u64::from(record.state.letter() == b'R');
                return;
            }
            if unseen.contains(record.tid) {
                return;
            }
            throttled += u64::from(record.throttled && !record.is_on_cpu);
            let held;
            let names = match names {
                StackNaming::Loaded(names) if !record.frames.is_empty() => {
                    held = names.of(record.frames);
                    &held
                }
                _ => &*no_names,
            };
            let found = thread(record, names, provides);
            let process = if *needs_facts {
                // A process that is not listed yet has no facts: it counts from the next listing on.
                let Some(process) = roster.process(record.tgid) else { return };
                &**process
            } else {
                &*no_process
            };
            let need = observer.need(&found);
            if need == Need::Nothing {
                observer.observe_walked(process, None, &found, at);
            } else if !observer.rejects(&found) {
                let (process, task) = roster.find(record);
                let is_known = match need {
                    Need::Name => knows_name(&task, record),
                    Need::Link => observer.knows_link(&task, &found),
                    Need::Nothing | Need::Files => false,
                };
                if is_known {
                    observer.observe_walked(&process, Some(&task), &found, at);
                } else {
                    let (names, wait) = (Arc::clone(names), record.wait.copied());
                    pending.push(PendingTask { process, task, record: record.with_wait(None), wait, names, provides });
                }
            }
        })?;
        observer.reader.health.record_ok(Source::Kernel, walk.tasks());
        observer.reader.health.record_dropped(Source::Kernel, rustix::io::Errno::NOBUFS, walk.overflowed);
        Ok(Walked { counts: walk, throttled, own_running, pending })
    }
}

/// The parts of a record that the plan's columns need.
fn wanted_parts(plan: &Plan) -> Parts {
    let wants = |source| plan.sources.contains(source);
    let frames = if wants(Source::Stack) { Parts::MAX_FRAMES } else { u8::from(wants(Source::Wchan)) };
    let shows = |is_wanted: fn(Extract) -> bool| plan.columns.iter().any(|column| is_wanted(column.extract));
    Parts {
        uid: plan.columns.iter().any(|column| is_real_user(column)),
        leader: wants(Source::Comm),
        call: wants(Source::Syscall),
        frames,
        queued: wants(Source::Wait),
        left: wants(Source::Wait),
        throttled: shows(|extract| matches!(extract, Extract::State | Extract::State2)),
        io: shows(|extract| extract == Extract::IoWait),
        file: wants(Source::Fd),
        epoll: wants(Source::Idle) || wants(Source::Fd),
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
        (Source::Wait, parts.queued && parts.left),
        (Source::Stack, parts.frames == Parts::MAX_FRAMES),
        (Source::Owner, tells_owner),
    ];
    provided.into_iter().filter(|(_, is_provided)| *is_provided).map(|(source, _)| source).collect()
}

/// Whether the column shows the real user.
fn is_real_user(column: &Column) -> bool {
    column.source == Source::Owner && matches!(column.extract, Extract::User | Extract::Status("Uid", _))
}

/// Loads the programs for the walks of a run, and for the census that checks the listings.
///
/// # Errors
/// When the kernel cannot be made to walk, or not by this user.
pub fn open(root: &ProcRoot, request: WalkScope<'_>) -> Result<(Walker, Census), Unavailable> {
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
    fn records_have_only_the_parts_that_columns_show() {
        let parts = |columns| wanted_parts(&plan(columns));
        assert_eq!(parts("comm cpu oncpu"), Parts::default());
        assert_eq!(parts("comm state"), Parts { throttled: true, ..Parts::default() });
        assert_eq!(parts("syscall"), Parts { call: true, ..Parts::default() });
        let file = Parts { call: true, file: true, epoll: true, ..Parts::default() };
        assert_eq!(parts("filename"), file);
        assert_eq!(parts("peer_pid"), file);
        assert_eq!(parts("idle"), Parts { frames: 1, ..file });
        assert_eq!(parts("iowait"), Parts { io: true, ..Parts::default() });
        assert_eq!(parts("wait_ms"), Parts { queued: true, left: true, ..Parts::default() });
        assert_eq!(parts("wchan user"), Parts { uid: true, frames: 1, ..Parts::default() });
        assert_eq!(parts("kstack wchan"), Parts { frames: Parts::MAX_FRAMES, ..Parts::default() });
        assert_eq!(parts("gid"), Parts::default());
    }

    #[test]
    fn only_parts_of_records_are_provided() {
        let provides = |columns, parts| provided(&plan(columns), parts).iter().collect::<Vec<_>>();
        let all = Parts { leader: false, ..Parts::everything() };
        assert_eq!(
            provides("uid syscall wchan kstack", all),
            [Source::Kernel, Source::Syscall, Source::Wchan, Source::Wait, Source::Stack, Source::Owner]
        );
        assert!(!provides("uid gid", all).contains(&Source::Owner), "gid is in no record");
        assert_eq!(provides("wchan", Parts::default()), [Source::Kernel]);
        assert_eq!(provides("wchan", Parts { frames: 1, ..Parts::default() }), [Source::Kernel, Source::Wchan]);
    }
}
