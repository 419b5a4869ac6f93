//! What a run reads and counts: the columns asked for, as one read plan.

use crate::ask::column::{Column, Extract, Kind, STATE_LETTERS, closest, state_names};
use crate::ask::filter::{Filter, UnknownColumn, find_column};
use crate::ask::measured::Measured;
use crate::proc::parse::stat::field;
use crate::proc::source::{Source, SourceSet};
use crate::row::observation::Observation;

pub use crate::proc::state::StateGate;

/// How the values of a group's observations become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The largest.
    Max,
    /// The mean over observations.
    Avg,
    /// The sum over observations.
    Sum,
    /// The increase during the run, summed over threads; each thread's increase between two of its
    /// observations counts for the group of the later one.
    Delta,
    /// The value of the earliest observation, of its lowest thread id.
    Example,
    /// The commonest value; of equally common ones the least.
    Common,
}

impl Aggregate {
    const NAMES: [(&'static str, Self); 6] = [
        ("max", Self::Max),
        ("avg", Self::Avg),
        ("sum", Self::Sum),
        ("delta", Self::Delta),
        ("example", Self::Example),
        ("common", Self::Common),
    ];

    /// The sensible one for a kind of column: what a bare name in `-s` means.
    const fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Id => Self::Common,
            Kind::Counter => Self::Delta,
            Kind::Gauge => Self::Max,
        }
    }

    /// Whether it needs numbers.
    const fn needs_numbers(self) -> bool {
        matches!(self, Self::Max | Self::Avg | Self::Sum | Self::Delta)
    }
}

/// A further column of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The largest number of threads of the group in any one tick.
    MaxThreads,
    /// The half-width of the 95% confidence interval of `avg_threads`.
    Ci95,
    /// An aggregate of a column: its place among [`Plan::measures`].
    Measure(usize),
}

/// The names of the group statistics for `-s`, with their meaning.
pub const STATISTICS: [(&str, &str); 4] = [
    ("samples", "observations of the group's threads; always shown"),
    ("avg_threads", "samples divided by the ticks completed; always shown"),
    ("max_threads", "the largest number of the group's threads in any one tick"),
    ("ci95", "half-width of the 95% confidence interval of avg_threads, by batch means over ticks"),
];

/// An aggregate of one of the plan's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// The column's place in an observation.
    pub slot: usize,
    /// How its values are put together.
    pub aggregate: Aggregate,
}

/// One item of `-s`.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The header: the item as it was typed.
    pub header: String,
    /// What it shows.
    pub statistic: Statistic,
}

/// What the rows are ordered by, descending for numbers, ascending for texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    /// Samples: the default.
    #[default]
    Samples,
    /// The item of `-s` at this place.
    Selected(usize),
    /// The dimension at this place.
    Dimension(usize),
}

/// What is kept of the observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Counts by group, for a report.
    #[default]
    Counts,
    /// Every row, for a recording, and no counts: they would grow for as long as a service runs.
    Rows,
    /// Both.
    Both,
}

impl Keep {
    /// Whether rows are kept.
    #[must_use]
    pub const fn rows(self) -> bool {
        matches!(self, Self::Rows | Self::Both)
    }

    /// Whether counts are kept.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Counts | Self::Both)
    }
}

/// The read plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The columns of an observation, in slot order: cheapest source first, so that a filter on a
    /// cheap column saves the costly reads.
    pub columns: Vec<&'static Column>,
    /// The slots that make the group key, in the report's order.
    pub dimensions: Vec<usize>,
    /// The aggregates.
    pub measures: Vec<Measure>,
    /// The further columns of the report.
    pub selected: Vec<Selected>,
    /// The filters to look at when the value of a slot is known: each at every column that it is about.
    pub filters: Vec<Vec<Filter>>,
    /// The report's order.
    pub sort: SortKey,
    /// The states that pass.
    pub gate: StateGate,
    /// The files to read for a thread that passes the gate.
    pub sources: SourceSet,
    /// The last field of `stat` that is needed.
    pub last_stat_field: usize,
    /// What is kept of the observations.
    pub keep: Keep,
    /// What the kernel measures.
    pub measured: Measured,
}

/// What was asked for, as texts.
#[derive(Debug, Clone, Default)]
pub struct PlanRequest {
    /// The dimensions' names.
    pub group_by: Vec<String>,
    /// The items of `-s`.
    pub select: Vec<String>,
    /// The filters.
    pub filters: Vec<Filter>,
    /// The sort column.
    pub sort: Option<String>,
    /// Columns that are observed beside those, to be recorded.
    pub record: Vec<String>,
    /// What is kept of the observations.
    pub keep: Keep,
}

/// Why a request is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A name is no column.
    #[error("{option}: {error}")]
    Column {
        /// The option it stood in.
        option: &'static str,
        /// The name, and what may have been meant.
        error: UnknownColumn,
    },
    /// A name after `:` is no aggregate.
    #[error("-s: '{item}' has no aggregate '{name}': use one of :max :avg :sum :delta :example :common")]
    Aggregate {
        /// The item as given.
        item: String,
        /// The part after the colon.
        name: String,
    },
    /// A numeric aggregate of a text.
    #[error("-s: '{item}' aggregates numbers, and {column} is text: use :common or :example")]
    TextAggregate {
        /// The item as given.
        item: String,
        /// The column.
        column: &'static str,
    },
    /// A delta of something that is no counter.
    #[error("-s: '{item}' is the increase of a counter, and {column} is none: use :max, :avg or :sum")]
    NotCounter {
        /// The item as given.
        item: String,
        /// The column.
        column: &'static str,
    },
    /// The sort column is not in the report.
    #[error("--sort: the report has no column '{name}'; it has {}", .columns.join(", "))]
    Sort {
        /// The name as given.
        name: String,
        /// The report's columns.
        columns: Vec<String>,
    },
    /// Threads in the states that are wanted are not looked at.
    #[error(
        "--where: it wants threads in state {letters}, which are left out; -a counts them too, --states {letters} them alone"
    )]
    LeftOut {
        /// The states.
        letters: String,
    },
    /// There is no such state.
    #[error(
        "--where: no thread can meet all of these conditions on its state; for several states, write state in (R, D)"
    )]
    NoState,
    /// Nothing to group by.
    #[error("-g: name at least one column; psn --list shows them all")]
    NoDimensions,
}

/// The filters by the slots of their columns: those of several columns stand at each, to be asked as soon as one is known.
fn placed(filters: &[Filter], columns: usize, slot: &dyn Fn(&str) -> usize) -> Vec<Vec<Filter>> {
    let mut at = vec![Vec::new(); columns];
    for filter in filters {
        let filter = filter.clone().placed(&|column| slot(column.name));
        let mut places: Vec<usize> = filter.conditions().iter().map(|condition| slot(condition.column.name)).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            if let Some(filters) = at.get_mut(place) {
                filters.push(filter.clone());
            }
        }
    }
    at
}

impl Plan {
    /// Makes the plan for `request`, with the states that `gate` lets through.
    ///
    /// # Errors
    /// The first name that is wrong.
    pub fn new(request: &PlanRequest, gate: StateGate) -> Result<Self, PlanError> {
        let mut columns: Vec<&'static Column> = Vec::new();
        let dimensions = dimensions(request, &mut columns)?;
        let selections =
            request.select.iter().map(|item| selection(item, &mut columns)).collect::<Result<Vec<_>, _>>()?;
        for filter in &request.filters {
            filter.conditions().into_iter().for_each(|condition| add(&mut columns, condition.column));
        }
        check_states(&request.filters, &gate)?;
        for name in &request.record {
            let column = find_column(name).map_err(|error| PlanError::Column { option: "--record", error })?;
            add(&mut columns, column);
        }
        columns.sort_by_key(|column| column.source);

        let slot = |name: &str| columns.iter().position(|column| column.name == name).unwrap_or_default();
        let mut measures = Vec::new();
        let selected = selections
            .into_iter()
            .map(|(header, selection)| Selected {
                header,
                statistic: match selection {
                    Selection::Statistic(statistic) => statistic,
                    Selection::Aggregate(column, aggregate) => {
                        measures.push(Measure { slot: slot(column.name), aggregate });
                        Statistic::Measure(measures.len() - 1)
                    }
                },
            })
            .collect();
        let filters = placed(&request.filters, columns.len(), &slot);
        let mut plan = Self {
            dimensions: dimensions.iter().map(|column| slot(column.name)).collect(),
            measures,
            selected,
            filters,
            sort: SortKey::Samples,
            gate,
            sources: sources(&columns),
            last_stat_field: columns.iter().map(|column| last_field(column)).max().unwrap_or(0).max(field::STARTTIME),
            columns,
            keep: request.keep,
            measured: Measured::default(),
        };
        if let Some(name) = &request.sort {
            plan.sort = plan.sort_key(name)?;
        }
        Ok(plan)
    }

    /// Whether the filters on the column at `slot` may hold for `row`, of which the values up to that one are known.
    #[must_use]
    pub fn may_hold(&self, row: &Observation, slot: usize) -> bool {
        self.filters.get(slot).is_none_or(|filters| filters.iter().all(|filter| filter.may_hold(row, slot)))
    }

    /// The headers of the report's columns, in order.
    #[must_use]
    pub fn headers(&self) -> Vec<String> {
        ["samples", "avg_threads"]
            .into_iter()
            .map(str::to_owned)
            .chain(self.selected.iter().map(|selected| selected.header.clone()))
            .chain(
                self.dimensions.iter().filter_map(|slot| self.columns.get(*slot)).map(|column| column.name.to_owned()),
            )
            .collect()
    }

    fn sort_key(&self, name: &str) -> Result<SortKey, PlanError> {
        let headers = self.headers();
        let place = headers.iter().position(|header| header.eq_ignore_ascii_case(name));
        match place {
            Some(0 | 1) => Ok(SortKey::Samples),
            Some(place) if place < 2 + self.selected.len() => Ok(SortKey::Selected(place - 2)),
            Some(place) => Ok(SortKey::Dimension(place - 2 - self.selected.len())),
            None => Err(PlanError::Sort { name: name.to_owned(), columns: headers }),
        }
    }
}

/// Sees to it that a thread in some state that passes the gate may meet all filters.
fn check_states(filters: &[Filter], gate: &StateGate) -> Result<(), PlanError> {
    if filters.is_empty() {
        return Ok(());
    }
    let wanted = |letter: &u8| {
        state_names(*letter).any(|name| {
            filters
                .iter()
                .all(|filter| filter.decide(&mut |condition| condition.may_be_in(*letter, name)) != Some(false))
        })
    };
    let wanted: Vec<u8> = STATE_LETTERS.bytes().filter(wanted).collect();
    if wanted.iter().any(|letter| gate.passes(*letter)) {
        return Ok(());
    }
    let letters: String = wanted.into_iter().map(char::from).collect();
    Err(if letters.is_empty() { PlanError::NoState } else { PlanError::LeftOut { letters } })
}

enum Selection {
    Statistic(Statistic),
    Aggregate(&'static Column, Aggregate),
}

fn add(columns: &mut Vec<&'static Column>, column: &'static Column) {
    if !columns.iter().any(|known| known.name == column.name) {
        columns.push(column);
    }
}

fn dimensions(request: &PlanRequest, columns: &mut Vec<&'static Column>) -> Result<Vec<&'static Column>, PlanError> {
    let mut dimensions = Vec::new();
    for name in &request.group_by {
        let column = find_column(name).map_err(|error| PlanError::Column { option: "-g/-G", error })?;
        add(&mut dimensions, column);
        add(columns, column);
    }
    if dimensions.is_empty() { Err(PlanError::NoDimensions) } else { Ok(dimensions) }
}

fn selection(item: &str, columns: &mut Vec<&'static Column>) -> Result<(String, Selection), PlanError> {
    let statistic = match item.to_ascii_lowercase().as_str() {
        "max_threads" => Some(Statistic::MaxThreads),
        "ci95" => Some(Statistic::Ci95),
        _ => None,
    };
    if let Some(statistic) = statistic {
        return Ok((item.to_owned(), Selection::Statistic(statistic)));
    }
    let (name, wanted) = item.split_once(':').map_or((item, None), |(name, wanted)| (name, Some(wanted)));
    let column = find_column(name).map_err(|mut error| {
        let statistics = ["max_threads", "ci95"];
        error.closest.splice(0..0, closest(name, statistics));
        PlanError::Column { option: "-s", error }
    })?;
    let aggregate = match wanted {
        None => Aggregate::of_kind(column.kind),
        Some(wanted) => Aggregate::NAMES
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, aggregate)| aggregate)
            .ok_or_else(|| PlanError::Aggregate { item: item.to_owned(), name: wanted.to_owned() })?,
    };
    if aggregate.needs_numbers() && !column.kind.is_number() {
        return Err(PlanError::TextAggregate { item: item.to_owned(), column: column.name });
    }
    if aggregate == Aggregate::Delta && column.kind != Kind::Counter {
        return Err(PlanError::NotCounter { item: item.to_owned(), column: column.name });
    }
    add(columns, column);
    Ok((item.to_owned(), Selection::Aggregate(column, aggregate)))
}

fn sources(columns: &[&'static Column]) -> SourceSet {
    let mut sources = SourceSet::default();
    sources.insert(Source::Stat);
    for column in columns {
        sources.insert(column.source);
        if column.source == Source::Fd {
            sources.insert(Source::Syscall);
        }
    }
    sources
}

fn last_field(column: &Column) -> usize {
    match column.extract {
        Extract::StatNumber(number) => number,
        Extract::Kthread => field::FLAGS,
        // The text addresses tell whether a wait channel of 0 was refused; see `extract`.
        Extract::Wchan => field::STARTCODE,
        // The address of the first stack tells a 32-bit program.
        Extract::Syscall(_) | Extract::Filename(_) => field::STARTSTACK,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(group_by: &str, select: &str) -> PlanRequest {
        let split = |text: &str| text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
        PlanRequest { group_by: split(group_by), select: split(select), ..PlanRequest::default() }
    }

    fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
        Plan::new(request, StateGate::active())
    }

    #[test]
    fn slots_are_ordered_by_cost_and_dimensions_keep_the_users_order() {
        let plan = plan(&request("kstack,wchan,comm,wchan", "utime,uid:common,max_threads")).unwrap();
        let names: Vec<_> = plan.columns.iter().map(|column| column.name).collect();
        assert_eq!(names, ["comm", "utime", "wchan", "kstack", "uid"]);
        assert_eq!(
            plan.headers(),
            ["samples", "avg_threads", "utime", "uid:common", "max_threads", "kstack", "wchan", "comm"]
        );
    }

    #[test]
    fn only_the_files_of_the_asked_columns_are_read() {
        let sources: Vec<_> = plan(&request("comm,state", "")).unwrap().sources.iter().collect();
        assert_eq!(sources, [Source::Stat]);
        let sources: Vec<_> = plan(&request("filename", "")).unwrap().sources.iter().collect();
        assert_eq!(sources, [Source::Stat, Source::Syscall, Source::Fd]);
    }

    #[test]
    fn a_bare_name_takes_the_aggregate_of_its_kind() {
        let plan = plan(&request("comm", "utime,rss,exe")).unwrap();
        let aggregates: Vec<_> = plan.measures.iter().map(|measure| measure.aggregate).collect();
        assert_eq!(aggregates, [Aggregate::Delta, Aggregate::Max, Aggregate::Common]);
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let error = |group_by: &str, select: &str| plan(&request(group_by, select)).unwrap_err().to_string();
        assert!(error("sycall", "").contains("did you mean syscall"));
        assert!(error("comm", "max_thread").contains("max_threads"));
        assert!(error("comm", "utime:mx").contains(":max :avg"));
        assert!(error("comm", "exe:sum").contains("exe is text"));
        assert!(error("comm", "rss:delta").contains("rss is none"));
        assert!(error("", "").contains("at least one column"));
        let sort = PlanRequest { sort: Some("wchan".to_owned()), ..request("comm", "") };
        assert!(plan(&sort).unwrap_err().to_string().contains("it has samples, avg_threads, comm"));
    }
}
