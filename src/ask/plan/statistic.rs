//! The statistics of a group, and the items of `-s` that name them.

use crate::ask::column::{Column, Kind};
use crate::ask::plan::error::PlanError;
use crate::ask::registry::{closest, find_column};

/// How the values of a column in a group's observations are reduced to one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The maximum.
    Max,
    /// The mean over observations.
    Avg,
    /// The sum over observations.
    Sum,
    /// The increase of a counter during the run, summed over threads. A thread's increase between two of its observations
    /// counts for the group of the later one.
    Delta,
    /// The value in the earliest observation; of several in one tick, that of the lowest thread id.
    Example,
    /// The most frequent value; of several, the smallest.
    Common,
    /// The number that this percentage of the observations do not exceed.
    Percentile(u8),
    /// The number of different values.
    Distinct,
    /// The ages of waits, from which [`Latency`] statistics are estimated. Has no name.
    Ages,
    /// Whether ages of waits are bounds, from the column `wait_exact`. Has no name.
    Bounds,
}

impl Aggregate {
    const NAMES: [(&'static str, Self); 10] = [
        ("max", Self::Max),
        ("avg", Self::Avg),
        ("sum", Self::Sum),
        ("delta", Self::Delta),
        ("example", Self::Example),
        ("common", Self::Common),
        ("p50", Self::Percentile(50)),
        ("p95", Self::Percentile(95)),
        ("p99", Self::Percentile(99)),
        ("distinct", Self::Distinct),
    ];

    /// The default for a kind of column: what a name without an aggregate means in `-s`.
    const fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Id => Self::Common,
            Kind::Counter => Self::Delta,
            Kind::Gauge => Self::Max,
        }
    }

    /// Whether the values must be numbers.
    const fn needs_numbers(self) -> bool {
        matches!(self, Self::Max | Self::Avg | Self::Sum | Self::Delta | Self::Percentile(_) | Self::Ages)
    }
}

/// A statistic that is shown only if asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The largest number of threads of the group in any tick.
    MaxThreads,
    /// The half-width of the 95% confidence interval of `avg_threads`.
    Ci95,
    /// An aggregate of a column: its index in `Plan::measures`.
    Measure(usize),
    /// An estimate of how often the group's waits begin, or how long they last.
    Latency {
        /// What is estimated.
        what: Latency,
        /// Whether half the width of its 95% interval is shown, instead of the estimate.
        is_interval: bool,
        /// The index of the ages in `Plan::measures`.
        measure: usize,
    },
}

/// What is estimated from the ages of waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// Waits that begin in a second.
    Rate,
    /// The mean length, in milliseconds.
    Mean,
    /// The median length.
    Median,
    /// The length that 95% of the waits do not exceed.
    P95,
    /// The length that 99% of the waits do not exceed.
    P99,
}

impl Latency {
    const NAMES: [(&'static str, Self); 5] = [
        ("waits_s", Self::Rate),
        ("mean_wait_ms", Self::Mean),
        ("p50_wait_ms", Self::Median),
        ("p95_wait_ms", Self::P95),
        ("p99_wait_ms", Self::P99),
    ];
}

/// The column with the ages that latencies are estimated from.
const AGES: &str = "exact_wait_ns";

/// The column with the times at which these waits began.
pub(crate) const SINCE: &str = "wait_since_ns";

/// The column that tells whether an age is a bound.
pub(super) const EXACTNESS: &str = "wait_exact";

/// The statistics that are not aggregates of a column, with their meaning.
pub(crate) const STATISTICS: [(&str, &str); 9] = [
    ("samples", "number of samples of threads of the group; always shown"),
    ("avg_threads", "samples divided by completed ticks; always shown"),
    ("max_threads", "largest number of threads of the group in any one tick"),
    ("ci95", "half-width of the 95% confidence interval of avg_threads, by batch means over ticks"),
    (
        "waits_s",
        "waits of the group's threads that begin in a second, seen or not, estimated from the ages of those seen; - if these do not tell it; :ci95 for half the width of its 95% confidence interval",
    ),
    (
        "mean_wait_ms",
        "mean length of these waits, in milliseconds, of all of them, not only of those seen; - and :ci95 as for waits_s",
    ),
    ("p50_wait_ms", "median length of these waits, in milliseconds"),
    ("p95_wait_ms", "length that 95% of these waits do not exceed, in milliseconds"),
    ("p99_wait_ms", "length that 99% of these waits do not exceed, in milliseconds"),
];

/// An aggregate of one of the plan's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// The index of the column's value in an observation.
    pub slot: usize,
    /// How its values are reduced to one.
    pub aggregate: Aggregate,
}

/// A column of the report that an item of `-s` asked for.
#[derive(Debug, Clone)]
pub struct StatisticColumn {
    /// The header: the item as it was typed.
    pub header: String,
    /// The statistic that it shows.
    pub statistic: Statistic,
}

/// An item of `-s`, looked up.
pub(super) enum SelectItem {
    /// `max_threads` or `ci95`.
    Statistic(Statistic),
    /// `COLUMN` or `COLUMN:AGGREGATE`.
    Aggregate(&'static Column, Aggregate),
    /// An estimate from the ages in a column; whether its interval is wanted.
    Latency(Latency, bool, &'static Column),
}

/// Looks up `item`.
///
/// # Errors
/// There is no such column or aggregate, or the aggregate does not fit the column.
pub(super) fn select_item(item: &str) -> Result<SelectItem, PlanError> {
    let statistic = match item.to_ascii_lowercase().as_str() {
        "max_threads" => Some(Statistic::MaxThreads),
        "ci95" => Some(Statistic::Ci95),
        _ => None,
    };
    if let Some(statistic) = statistic {
        return Ok(SelectItem::Statistic(statistic));
    }
    if let Some(latency) = latency_item(item)? {
        return Ok(latency);
    }
    let (name, wanted) = item.split_once(':').map_or((item, None), |(name, wanted)| (name, Some(wanted)));
    let column = find_column(name).map_err(|mut error| {
        let statistics = ["max_threads", "ci95"].into_iter().chain(Latency::NAMES.map(|(name, _)| name));
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
    Ok(SelectItem::Aggregate(column, aggregate))
}

/// Looks up an item that may be `mean_wait_ms`, `mean_wait_ms:ci95` or another of [`Latency`].
///
/// # Errors
/// What follows the colon is not `ci95`.
fn latency_item(item: &str) -> Result<Option<SelectItem>, PlanError> {
    let (name, wanted) = item.split_once(':').map_or((item, None), |(name, wanted)| (name, Some(wanted)));
    let Some((_, latency)) = Latency::NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    if let Some(wanted) = wanted.filter(|wanted| !wanted.eq_ignore_ascii_case("ci95")) {
        return Err(PlanError::Interval { item: item.to_owned(), name: wanted.to_owned() });
    }
    let ages = find_column(AGES).map_err(|error| PlanError::Column { option: "-s", error })?;
    Ok(Some(SelectItem::Latency(latency, wanted.is_some(), ages)))
}
