//! Reads recordings piece by piece, with the columns that a question needs.

use crate::ask::column::Column;
use crate::ask::plan::Plan;
use crate::ask::select::ProcessSelection;
use crate::record::header::IDENTITY;
use crate::record::unrecorded;
use crate::record::{Header, Piece, Query, RecordError, Recording};
use crate::replay::counters::ThreadCounters;
use crate::replay::question::{Question, Watch};

/// The recording that a piece is of.
pub(super) struct PieceSource<'a> {
    pub(super) header: &'a Header,
    pub(super) extra: ExtraColumns,
    pub(super) counters: &'a mut ThreadCounters,
}

type Add<'a> = dyn FnMut(PieceSource<'_>, Piece<'_>) -> Result<(), RecordError> + 'a;

/// Calls `add` with every piece of every recording. `counters` has the last values of each recording's threads. Returns whether
/// any of them were forgotten.
pub(super) fn each_piece(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    counters: &mut Vec<ThreadCounters>,
    watch: &mut Watch<'_>,
    add: &mut Add<'_>,
) -> Result<bool, RecordError> {
    let mut has_forgotten = false;
    #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
    let count = recordings.len().max(1) as f64;
    unrecorded::check(recordings, &question.plan.required())?;
    check_names(recordings, question)?;
    counters.resize_with(recordings.len(), || ThreadCounters::new(&question.plan, question.max_memory));
    for (index, (recording, counters)) in recordings.iter_mut().zip(counters).enumerate() {
        let header = recording.header().clone();
        let query = query(question, &header);
        let extra = ExtraColumns::of(&query, &question.plan);
        unrecorded::read(recording.as_mut(), &query, &mut |piece| {
            #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
            watch((index as f64 + piece.progress) / count)?;
            add(PieceSource { header: &header, extra, counters: &mut *counters }, piece)
        })?;
        has_forgotten |= counters.has_forgotten;
    }
    Ok(has_forgotten)
}

/// Checks that `-p REGEX` can be answered: older recordings do not have the names of processes.
fn check_names(recordings: &[Box<dyn Recording>], question: &Question) -> Result<(), RecordError> {
    if !matches!(question.processes, ProcessSelection::Name(_)) {
        return Ok(());
    }
    let has_name =
        |recording: &dyn Recording| Column::find(NAME).is_some_and(|name| recording.header().place(name).is_some());
    match recordings.iter().find(|recording| !has_name(recording.as_ref())) {
        Some(recording) => Err(RecordError::NoProcessNames { path: recording.path() }),
        None => Ok(()),
    }
}

/// The plan's columns, then those that select rows and identify threads.
fn query(question: &Question, header: &Header) -> Query {
    let mut columns = question.plan.columns.clone();
    let extra = IDENTITY.into_iter().chain([NAME]).filter_map(Column::find);
    columns.extend(extra.filter(|column| header.place(column).is_some()));
    let (from_ns, to_ns) = question.window();
    Query { columns, from_ns, to_ns }
}

/// The column that `-p REGEX` is searched in.
const NAME: &str = "pcomm";

/// The indexes, in a row, of the columns that a query adds to the plan's. The original's recordings lack some of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ExtraColumns {
    pub(super) pid: Option<usize>,
    pub(super) task: Option<usize>,
    pub(super) starttime: Option<usize>,
    pub(super) state_id: Option<usize>,
    /// Of the process.
    pub(super) name: Option<usize>,
}

impl ExtraColumns {
    fn of(query: &Query, plan: &Plan) -> Self {
        let first = plan.columns.len();
        let extra = query.columns.get(first..).unwrap_or_default();
        let index = |name: &str| extra.iter().position(|column| column.name == name).map(|index| first + index);
        let [pid, task, starttime, state_id] = IDENTITY.map(index);
        Self { pid, task, starttime, state_id, name: index(NAME) }
    }
}
