//! What a plan is made of.

use crate::ask::filter::Filter;

/// What a run collects of the observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collected {
    /// Counts per group, for a report.
    #[default]
    Counts,
    /// Rows, for a recording. No counts, because their memory would grow as long as a service runs.
    Rows,
    /// Counts and rows.
    Both,
}

impl Collected {
    /// Whether rows are collected.
    #[must_use]
    pub(crate) const fn has_rows(self) -> bool {
        matches!(self, Self::Rows | Self::Both)
    }

    /// Whether counts are collected.
    #[must_use]
    pub(crate) const fn has_counts(self) -> bool {
        matches!(self, Self::Counts | Self::Both)
    }
}

/// The request for a plan: what the user named, not yet looked up.
#[derive(Debug, Clone, Default)]
pub struct PlanRequest {
    /// The names of the columns to group by.
    pub group_by: Vec<String>,
    /// The items of `-s`.
    pub select: Vec<String>,
    /// The conditions of `--where`, all of which must hold.
    pub filters: Vec<Filter>,
    /// The name of the report's column to sort by.
    pub sort: Option<String>,
    /// The names of further columns to record.
    pub record: Vec<String>,
    /// What the run collects.
    pub collected: Collected,
}
