//! The plan of a run: the columns asked for, the files they are read from, and what is counted.

mod error;
mod request;
mod statistic;

use crate::ask::column::{Column, Extract};
use crate::ask::filter::Filter;
use crate::ask::kernel_times::KernelTimes;
use crate::ask::registry::find_column;
use crate::proc::parse::stat::field;
use crate::proc::source::{Source, SourceSet};
use crate::proc::state::{STATE_LETTERS, state_names};
use crate::row::observation::Observation;

pub use crate::proc::state::StateGate;
pub use error::PlanError;
pub use request::{Collected, PlanRequest};
pub(crate) use statistic::SINCE;
pub(crate) use statistic::STATISTICS;
pub use statistic::{Aggregate, Latency, Measure, Statistic, StatisticColumn};
use statistic::{EXACTNESS, SelectItem, select_item};

/// What the rows of the report are sorted by: numbers descending, texts ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    /// The number of samples.
    #[default]
    Samples,
    /// The item of `-s` with this index.
    Selected(usize),
    /// The dimension with this index.
    Dimension(usize),
}

/// What a run reads, counts and shows.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The columns of an observation; a column's index is its *slot*. Cheapest source first, so that a filter on a cheap
    /// column saves costly reads.
    pub columns: Vec<&'static Column>,
    /// The slots of the columns that make the group key, in the report's order.
    pub dimensions: Vec<usize>,
    /// The aggregates of columns to compute.
    pub measures: Vec<Measure>,
    /// The columns of the report that `-s` asked for.
    pub selected: Vec<StatisticColumn>,
    /// For each slot, the filters to evaluate once its value has been read: a filter is listed at every column that it compares.
    pub filters: Vec<Vec<Filter>>,
    /// The order of the report's rows.
    pub sort: SortKey,
    /// The states that are counted.
    pub gate: StateGate,
    /// The files to read for a thread that passes the gate.
    pub sources: SourceSet,
    /// The number of the last field of `stat` that is needed, as in proc(5).
    pub last_stat_field: usize,
    /// What the run collects.
    pub collected: Collected,
    /// Which times the kernel records.
    pub kernel_times: KernelTimes,
}

/// For each of the `columns` slots, the filters that compare its column; see [`Plan::filters`].
fn filters_by_slot(filters: &[Filter], columns: usize, slot: &dyn Fn(&str) -> usize) -> Vec<Vec<Filter>> {
    let mut by_slot = vec![Vec::new(); columns];
    for filter in filters {
        let filter = filter.clone().with_slots(&|column| slot(column.name));
        let mut slots: Vec<usize> = filter.conditions().iter().map(|condition| slot(condition.column.name)).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            if let Some(filters) = by_slot.get_mut(slot) {
                filters.push(filter.clone());
            }
        }
    }
    by_slot
}

impl Plan {
    /// Makes the plan for `request`, counting the states that pass `gate`.
    ///
    /// # Errors
    /// The first item that is wrong.
    pub fn new(request: &PlanRequest, gate: StateGate) -> Result<Self, PlanError> {
        let mut columns: Vec<&'static Column> = Vec::new();
        let dimensions = dimensions(request, &mut columns)?;
        let items = select_items(request, &mut columns)?;
        for filter in &request.filters {
            filter.conditions().into_iter().for_each(|condition| add(&mut columns, condition.column));
        }
        check_states(&request.filters, &gate)?;
        for name in &request.record {
            let column = find_column(name).map_err(|error| PlanError::Column { option: "--record", error })?;
            add(&mut columns, column);
        }
        let exactness = exactness(&dimensions, &items, &mut columns);
        columns.sort_by_key(|column| column.source);

        let slot = |name: &str| columns.iter().position(|column| column.name == name).unwrap_or_default();
        let mut measures = Vec::new();
        let selected = items
            .into_iter()
            .map(|(header, item)| StatisticColumn {
                header,
                statistic: match item {
                    SelectItem::Statistic(statistic) => statistic,
                    SelectItem::Aggregate(column, aggregate) => {
                        measures.push(Measure { slot: slot(column.name), aggregate });
                        Statistic::Measure(measures.len() - 1)
                    }
                    SelectItem::Latency(what, is_interval, column) => {
                        let ages = Measure { slot: slot(column.name), aggregate: Aggregate::Ages };
                        // All of them are made of the same ages.
                        let known = measures.iter().position(|measure| *measure == ages);
                        let measure = known.unwrap_or(measures.len());
                        if known.is_none() {
                            measures.push(ages);
                        }
                        Statistic::Latency { what, is_interval, measure }
                    }
                },
            })
            .collect();
        measures.extend(exactness.map(|column| Measure { slot: slot(column.name), aggregate: Aggregate::Bounds }));
        let filters = filters_by_slot(&request.filters, columns.len(), &slot);
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
            collected: request.collected,
            kernel_times: KernelTimes::default(),
        };
        if let Some(name) = &request.sort {
            plan.sort = plan.sort_key(name)?;
        }
        Ok(plan)
    }

    /// Whether the filters on the column at `slot` may hold for `row`, whose values up to that slot have been read.
    #[must_use]
    pub(crate) fn may_hold(&self, row: &Observation, slot: usize) -> bool {
        self.filters.get(slot).is_none_or(|filters| filters.iter().all(|filter| filter.may_hold(row, slot)))
    }

    /// The columns that the report shows or that a condition is on: not those that are only recorded.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &'static Column> {
        let filtered =
            (0..self.columns.len()).filter(|slot| self.filters.get(*slot).is_some_and(|filters| !filters.is_empty()));
        let slots =
            self.dimensions.iter().copied().chain(self.measures.iter().map(|measure| measure.slot)).chain(filtered);
        slots.filter_map(|slot| self.columns.get(slot).copied())
    }

    /// The columns without which there is no report: not one that is read only to tell which ages are bounds.
    pub(crate) fn required(&self) -> Vec<&'static Column> {
        let of_bounds = |measure: &&Measure| measure.aggregate == Aggregate::Bounds;
        let slot = self.measures.iter().find(of_bounds).map(|measure| measure.slot);
        let is_asked_for = |slot: usize| {
            self.dimensions.contains(&slot)
                || self.measures.iter().any(|measure| measure.slot == slot && !of_bounds(&measure))
                || self.filters.get(slot).is_some_and(|filters| !filters.is_empty())
        };
        let columns = self.columns.iter().enumerate();
        columns.filter(|(place, _)| slot != Some(*place) || is_asked_for(*place)).map(|(_, column)| *column).collect()
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

    /// The sort key for the report's column called `name`, in any case.
    fn sort_key(&self, name: &str) -> Result<SortKey, PlanError> {
        let headers = self.headers();
        let index = headers.iter().position(|header| header.eq_ignore_ascii_case(name));
        match index {
            Some(0 | 1) => Ok(SortKey::Samples),
            Some(index) if index < 2 + self.selected.len() => Ok(SortKey::Selected(index - 2)),
            Some(index) => Ok(SortKey::Dimension(index - 2 - self.selected.len())),
            None => Err(PlanError::Sort { name: name.to_owned(), columns: headers }),
        }
    }
}

/// Checks that the filters accept some state that passes the gate.
fn check_states(filters: &[Filter], gate: &StateGate) -> Result<(), PlanError> {
    if filters.is_empty() {
        return Ok(());
    }
    let is_accepted = |letter: &u8| {
        state_names(*letter).any(|name| {
            filters
                .iter()
                .all(|filter| filter.decide(&mut |condition| condition.accepts_state(*letter, name)) != Some(false))
        })
    };
    let accepted: Vec<u8> = STATE_LETTERS.bytes().filter(is_accepted).collect();
    if accepted.iter().any(|letter| gate.passes(*letter)) {
        return Ok(());
    }
    let letters: String = accepted.into_iter().map(char::from).collect();
    Err(if letters.is_empty() { PlanError::NoState } else { PlanError::LeftOut { letters } })
}

/// Adds `column`, unless it is there already.
fn add(columns: &mut Vec<&'static Column>, column: &'static Column) {
    if !columns.iter().any(|known| known.name == column.name) {
        columns.push(column);
    }
}

/// Looks up the columns to group by, and adds them to `columns`.
fn dimensions(request: &PlanRequest, columns: &mut Vec<&'static Column>) -> Result<Vec<&'static Column>, PlanError> {
    let mut dimensions = Vec::new();
    for name in &request.group_by {
        let column = find_column(name).map_err(|error| PlanError::Column { option: "-g/-G", error })?;
        add(&mut dimensions, column);
        add(columns, column);
    }
    if dimensions.is_empty() { Err(PlanError::NoDimensions) } else { Ok(dimensions) }
}

/// Looks up the items of `-s` with their headers, and adds their columns to `columns`.
fn select_items(
    request: &PlanRequest,
    columns: &mut Vec<&'static Column>,
) -> Result<Vec<(String, SelectItem)>, PlanError> {
    let mut items = Vec::new();
    for text in &request.select {
        let item = select_item(text)?;
        match item {
            SelectItem::Statistic(_) => {}
            SelectItem::Aggregate(column, _) => add(columns, column),
            SelectItem::Latency(_, _, column) => {
                add(columns, column);
                // It tells when in its tick a thread was seen.
                find_column(SINCE).into_iter().for_each(|since| add(columns, since));
            }
        }
        items.push((text.clone(), item));
    }
    Ok(items)
}

/// The column that tells which of the ages of waits are bounds, if the report shows such ages. Adds it to `columns`.
fn exactness(
    dimensions: &[&'static Column],
    items: &[(String, SelectItem)],
    columns: &mut Vec<&'static Column>,
) -> Option<&'static Column> {
    let is_shown = |item: &SelectItem| match item {
        SelectItem::Aggregate(column, aggregate) => column.is_wait_age() && *aggregate != Aggregate::Distinct,
        SelectItem::Statistic(_) | SelectItem::Latency(..) => false,
    };
    let has_ages = dimensions.iter().any(|column| column.is_wait_age()) || items.iter().any(|(_, item)| is_shown(item));
    let column = if has_ages { Column::find(EXACTNESS) } else { None };
    column.inspect(|column| add(columns, column))
}

/// The files that `columns` are read from; `stat` is always read.
fn sources(columns: &[&'static Column]) -> SourceSet {
    let mut sources = SourceSet::default();
    sources.insert(Source::Stat);
    for column in columns {
        sources.insert(column.source);
        match column.source {
            Source::Fd | Source::Path => sources.insert(Source::Syscall),
            Source::Mounts => {
                [Source::Syscall, Source::Fd, Source::Fdinfo].into_iter().for_each(|source| sources.insert(source));
            }
            Source::Socket => [Source::Syscall, Source::Fd].into_iter().for_each(|source| sources.insert(source)),
            Source::Idle => {
                [Source::Syscall, Source::Wchan, Source::Fd].into_iter().for_each(|source| sources.insert(source));
            }
            _ => {}
        }
    }
    sources
}

/// The number of the last field of `stat` that `column` needs; 0 if it needs none.
fn last_field(column: &Column) -> usize {
    match column.extract {
        Extract::StatNumber(number) => number,
        Extract::Kthread => field::FLAGS,
        // `startcode` tells whether the kernel hides addresses from psn, so that a wait channel of 0 means "refused".
        Extract::Wchan => field::STARTCODE,
        // The address of the first stack tells whether the program is a 32-bit one.
        Extract::Syscall(_)
        | Extract::Filename(_)
        | Extract::Mount(_)
        | Extract::Path
        | Extract::Socket(_)
        | Extract::Idle => field::STARTSTACK,
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
    fn what_tells_bounds_is_read_where_ages_are_shown() {
        let names = |group_by: &str, select: &str| {
            let plan = plan(&request(group_by, select)).unwrap();
            let of = |columns: &[&Column]| columns.iter().map(|column| column.name).collect::<Vec<_>>().join(" ");
            (of(&plan.columns), of(&plan.required()), plan.headers().len())
        };
        let expect = |columns: &str, required: &str, headers| (columns.to_owned(), required.to_owned(), headers);
        assert_eq!(names("comm", "wait_ms:p99"), expect("comm wait_ms wait_exact", "comm wait_ms", 4));
        assert_eq!(names("wait_ns", "wait_exact"), expect("wait_ns wait_exact", "wait_ns wait_exact", 4));
        assert_eq!(names("wait_ns", "max_threads"), expect("wait_ns wait_exact", "wait_ns", 4));
        for select in ["wait_ms:distinct", "mean_wait_ms", "utime"] {
            assert!(!names("comm", select).0.contains("wait_exact"), "{select}");
        }
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
        assert!(error("comm", "utime:mx").contains(":max, :avg"));
        assert!(error("comm", "exe:sum").contains("exe is a text column"));
        assert!(error("comm", "rss:delta").contains("rss is not one"));
        assert!(error("", "").contains("at least one column"));
        let sort = PlanRequest { sort: Some("wchan".to_owned()), ..request("comm", "") };
        assert!(plan(&sort).unwrap_err().to_string().contains("its columns are samples, avg_threads, comm"));
    }
}
