//! The columns of a report.

use crate::ask::column::{Column, Extract};
use crate::ask::plan::{Aggregate, Plan, Statistic};
use crate::report::row::{Datum, FIXED, Row};

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// To the right: numbers.
    Right,
    /// To the left: texts.
    Left,
}

/// One column of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportColumn {
    /// The header.
    pub name: String,
    /// How it is aligned.
    pub align: Align,
    /// What its numbers are to be divided by, a power of ten: 100 for clock ticks that are shown as seconds.
    pub divisor: u32,
    /// Whether the table shows its texts in parentheses.
    pub in_parentheses: bool,
    /// Whether its texts are kernel stacks, with `->` between two functions.
    pub is_stack: bool,
    /// Whether its numbers are ages of waits, which may be [bounds](super::Row::bounds).
    pub has_bounds: bool,
}

impl ReportColumn {
    /// A column of numbers.
    #[must_use]
    pub fn of_numbers(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            align: Align::Right,
            divisor: 1,
            in_parentheses: false,
            is_stack: false,
            has_bounds: false,
        }
    }

    /// A column of texts.
    #[must_use]
    pub fn of_texts(name: &str) -> Self {
        Self { align: Align::Left, ..Self::of_numbers(name) }
    }

    /// A column of the values of `column`, under the header `name`.
    fn of_values(name: &str, column: &Column) -> Self {
        Self {
            name: name.to_owned(),
            align: if column.kind.is_number() { Align::Right } else { Align::Left },
            divisor: column.divisor,
            in_parentheses: column.is_comm(),
            is_stack: column.extract == Extract::Stack,
            has_bounds: column.is_wait_age(),
        }
    }
}

/// The columns of a report: in its rows, and where they are printed, statistics come before dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// Of [`Row::statistics`].
    pub statistics: Vec<ReportColumn>,
    /// Of [`Row::group`].
    pub dimensions: Vec<ReportColumn>,
}

impl Columns {
    /// The columns of `plan`'s report.
    pub(super) fn of(plan: &Plan) -> Self {
        let selected = plan.selected.iter().map(|selected| {
            let column = match selected.statistic {
                Statistic::MaxThreads | Statistic::Ci95 | Statistic::Latency { .. } => None,
                Statistic::Measure(index) => plan
                    .measures
                    .get(index)
                    .filter(|measure| measure.aggregate != Aggregate::Distinct)
                    .and_then(|measure| plan.columns.get(measure.slot)),
            };
            let name = &selected.header;
            column.map_or_else(|| ReportColumn::of_numbers(name), |column| ReportColumn::of_values(name, column))
        });
        let dimensions = plan.dimensions.iter().filter_map(|slot| plan.columns.get(*slot));
        Self {
            statistics: FIXED.into_iter().map(ReportColumn::of_numbers).chain(selected).collect(),
            dimensions: dimensions.map(|column| ReportColumn::of_values(column.name, column)).collect(),
        }
    }

    /// All columns, statistics first.
    pub fn iter(&self) -> impl Iterator<Item = &ReportColumn> {
        self.statistics.iter().chain(&self.dimensions)
    }

    /// The number of columns.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.statistics.len() + self.dimensions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each column with what `row` has there; `None` if the row is too short.
    pub fn data<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = (&'a ReportColumn, Option<Datum<&'a [u8]>>)> {
        let statistics = self.statistics.iter().enumerate();
        let statistics = statistics.map(|(index, column)| (column, row.statistics.get(index).map(Datum::as_ref)));
        let dimensions = self.dimensions.iter().enumerate();
        let dimensions =
            dimensions.map(|(index, column)| (column, row.group.get(index).map(|value| value.as_value().into())));
        statistics.chain(dimensions)
    }
}
