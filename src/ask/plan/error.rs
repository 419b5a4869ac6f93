//! Why a plan cannot be made.

use crate::ask::registry::UnknownColumn;

/// An item of a request that is wrong; the message names the option and says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no column of this name.
    #[error("{option}: {error}")]
    Column {
        /// The option that the name was given to.
        option: &'static str,
        /// The name, and the columns with the most similar names.
        error: UnknownColumn,
    },
    /// There is no aggregate of this name.
    #[error("-s: there is no aggregate '{name}' (in '{item}'): use :max, :avg, :sum, :delta, :example or :common")]
    Aggregate {
        /// The item as given.
        item: String,
        /// What follows the colon.
        name: String,
    },
    /// An aggregate of numbers is asked of a text column.
    #[error("-s: '{item}' needs numbers, but {column} is a text column: use :common or :example")]
    TextAggregate {
        /// The item as given.
        item: String,
        /// The column's name.
        column: &'static str,
    },
    /// A delta is asked of a column that is not a counter.
    #[error("-s: '{item}' needs a counter, but {column} is not one: use :max, :avg or :sum")]
    NotCounter {
        /// The item as given.
        item: String,
        /// The column's name.
        column: &'static str,
    },
    /// The report has no column of this name.
    #[error("--sort: the report has no column '{name}'; its columns are {}", .columns.join(", "))]
    Sort {
        /// The name as given.
        name: String,
        /// The report's columns.
        columns: Vec<String>,
    },
    /// The filters accept only states that the gate leaves out.
    #[error(
        "--where: the conditions accept only threads in state {letters}, which this run does not count: use -a to \
         count threads in every state, or --states {letters} to count only these"
    )]
    LeftOut {
        /// The letters of the accepted states.
        letters: String,
    },
    /// The filters accept no state.
    #[error("--where: no state meets all conditions; to accept several states, write state in (R, D)")]
    NoState,
    /// There is no column to group by.
    #[error("-g: name at least one column; psn --list shows all columns")]
    NoDimensions,
}
