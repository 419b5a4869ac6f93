//! What an observer derives once from the plan of a run, and never changes.

use std::ops::Range;
use std::sync::Arc;

use super::contents::WAIT_SOURCES;
use super::extract::Extractor;
use super::thread::record_has_number;
use crate::ask::column::{Column, Extract, FilenameForm, SocketPart};
use crate::ask::plan::Plan;
use crate::proc::ProcRoot;
use crate::proc::source::Source;
use crate::tasks::LinkBudget;
use crate::tasks::lookups::{LookupReaders, PeerWanted};
use crate::tasks::users::Users;

/// What all observers of a run are made from.
#[derive(Debug, Clone)]
pub struct Context {
    /// The proc root.
    pub root: Arc<ProcRoot>,
    /// The columns, filters and sources.
    pub plan: Plan,
    /// The names of users.
    pub users: Arc<Users>,
    /// Who reads what rows ask of their own waits, if a column shows that.
    pub lookups: Option<Arc<LookupReaders>>,
    /// The memory of the links of descriptors that are kept with their threads.
    pub links: Arc<LinkBudget>,
}

/// Whether a column shows more of a descriptor than its link does.
#[must_use]
pub(crate) fn asks_about_descriptors(plan: &Plan) -> bool {
    plan.columns.iter().copied().any(counts_sets)
}

/// Whether the column shows the file that a thread waits for, with its connection if it is a socket.
const fn is_filename(column: &Column) -> bool {
    matches!(column.extract, Extract::Filename(FilenameForm::Normal | FilenameForm::Raw | FilenameForm::Summary))
}

/// Whether the column shows a part of the link, whatever the descriptor is.
const fn shows_links(column: &Column) -> bool {
    matches!(column.extract, Extract::Filename(FilenameForm::Basename | FilenameForm::Dirname))
}

/// Whether the column shows which files a thread waits for, or the one socket among them.
const fn shows_sets(column: &Column) -> bool {
    is_filename(column) || matches!(column.extract, Extract::Socket(_))
}

/// Whether the column shows that, or depends on it.
const fn counts_sets(column: &Column) -> bool {
    shows_sets(column) || matches!(column.extract, Extract::Idle)
}

/// Of which sockets a column shows the process at the other end.
fn peer_wanted(columns: &[&'static Column]) -> PeerWanted {
    let is_peer =
        |column: &&Column| matches!(column.extract, Extract::Socket(SocketPart::PeerPid | SocketPart::PeerComm));
    if columns.iter().copied().any(|column| is_peer(&column)) {
        PeerWanted::All
    } else if columns.iter().copied().any(|column| is_filename(column) || matches!(column.extract, Extract::Idle)) {
        PeerWanted::Unix
    } else {
        PeerWanted::No
    }
}

/// The plan of a run, as one observer uses it.
///
/// The slots of a row are in the order of the columns, and columns are in the order of their sources' costs. So the slots fall
/// into four ranges, of which each needs more to be read than the one before it.
#[derive(Debug)]
pub(super) struct ObservePlan {
    /// The plan of the run.
    pub(super) run: Plan,
    pub(super) extractor: Extractor,
    /// Whether a column shows what threads wait for.
    pub(super) reads_wait: bool,
    /// Whether a column shows a number of `stat` that records of a walk do not have.
    pub(super) needs_stat: bool,
    /// Whether a column shows the thread's name, of which a record has only the beginning.
    pub(super) needs_name: bool,
    /// Whether a column shows more of a descriptor than its link does.
    pub(super) asks_about_descriptors: bool,
    /// Of which sockets the process at the other end is shown.
    pub(super) peer: PeerWanted,
    /// Whether a column shows which files threads wait for.
    pub(super) shows_sets: bool,
    /// Whether a column shows that or depends on it.
    pub(super) counts_sets: bool,
    /// Whether the link of a descriptor is needed also if a walk has told what socket it is.
    pub(super) needs_links_of_sockets: bool,
    /// The first slot of a column about the descriptor of the system call.
    descriptor_start: usize,
    /// The first slot of a column that needs more than `stat` or a record.
    files_start: usize,
    /// The first slot of a column that is a fact of the process.
    facts_start: usize,
    /// The first slot of a column about memory mappings.
    mappings_start: usize,
}

impl ObservePlan {
    pub(super) fn new(context: &Context) -> Self {
        let run = context.plan.clone();
        let columns = &run.columns;
        let first_from = |source: Source| columns.partition_point(|column| column.source < source);
        let any = |wanted: fn(&Column) -> bool| columns.iter().any(|column| wanted(column));
        Self {
            extractor: Extractor { users: Arc::clone(&context.users), kernel_times: run.kernel_times },
            reads_wait: WAIT_SOURCES.iter().any(|source| run.sources.contains(source)),
            needs_stat: any(needs_stat),
            needs_name: any(Column::is_comm),
            asks_about_descriptors: context.lookups.is_some() && asks_about_descriptors(&run),
            peer: peer_wanted(columns),
            shows_sets: any(shows_sets),
            counts_sets: any(counts_sets),
            needs_links_of_sockets: any(shows_links) || run.sources.contains(Source::Fdinfo),
            descriptor_start: first_from(Source::Fd),
            files_start: first_from(Source::Comm),
            facts_start: first_from(Source::Cmdline),
            mappings_start: first_from(Source::Smaps),
            run,
        }
    }

    /// Whether a column or filter needs `source`.
    pub(super) const fn wants(&self, source: Source) -> bool {
        self.run.sources.contains(source)
    }

    /// The slots of columns that `stat`, a record and the task list suffice for.
    pub(super) const fn cheap_slots(&self) -> Range<usize> {
        0..self.files_start
    }

    /// The slots of columns that need detail files, before those about the descriptor.
    pub(super) const fn file_slots(&self) -> Range<usize> {
        self.files_start..self.descriptor_start
    }

    /// The slots of columns about the descriptor, and of those that need files which are read after it.
    pub(super) const fn descriptor_slots(&self) -> Range<usize> {
        self.descriptor_start..self.facts_start
    }

    /// The slots of columns that are facts of the process, except its mappings.
    pub(super) const fn fact_slots(&self) -> Range<usize> {
        self.facts_start..self.mappings_start
    }

    /// The columns about memory mappings. Their slots come last.
    pub(super) fn mapping_columns(&self) -> &[&'static Column] {
        self.run.columns.get(self.mappings_start..).unwrap_or_default()
    }

    /// Whether a column is a fact of the process.
    pub(super) fn has_facts(&self) -> bool {
        self.run.columns.len() > self.facts_start
    }
}

/// Whether the column shows a number of `stat` that records of a walk do not have.
pub(super) const fn needs_stat(column: &Column) -> bool {
    match column.extract {
        Extract::StatNumber(number) => !record_has_number(number),
        _ => false,
    }
}
