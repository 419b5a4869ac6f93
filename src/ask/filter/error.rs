//! Why a `--where` is refused.

use crate::ask::registry::UnknownColumn;

/// How deep parentheses may be nested.
pub(super) const MAX_DEPTH: usize = 32;

/// Why a `--where` is refused: the message quotes the part that is wrong and says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// There is no operator.
    #[error(
        "'{0}' is neither 'COLUMN OP VALUE', where OP is one of = != ~ !~ < <= > >=, nor 'COLUMN in (VALUE, ...)'; combine \
         conditions with and, or and parentheses"
    )]
    Shape(String),
    /// Text follows a complete condition.
    #[error(
        "unexpected '{0}' after a condition: combine conditions with 'and' or 'or', and quote a value that contains them"
    )]
    Rest(String),
    /// A parenthesis is not closed.
    #[error("a parenthesis is not closed in '{0}'; quote a value that contains one")]
    Open(String),
    /// Parentheses are nested too deep.
    #[error("parentheses are nested more than {} deep", MAX_DEPTH)]
    Deep,
    /// The list of `in (...)` is empty.
    #[error("the list of values for {0} is empty: write {0} in (VALUE, VALUE)")]
    EmptyList(&'static str),
    /// There is no such column.
    #[error(transparent)]
    Column(#[from] UnknownColumn),
    /// The regular expression is invalid.
    #[error("'{pattern}' is not a valid regular expression: {reason}")]
    Regex {
        /// The pattern as given.
        pattern: String,
        /// The message of the regex crate.
        reason: String,
    },
    /// `<`, `<=`, `>` or `>=` on a column of texts.
    #[error("'{op}' compares numbers, but {column} is a text column: use =, !=, ~ or !~")]
    Ordering {
        /// The operator as given.
        op: &'static str,
        /// The column's name.
        column: &'static str,
    },
    /// A text is compared with a column of numbers.
    #[error("'{value}' is not a number, but {column} is a numeric column{hint}")]
    Number {
        /// The value as given.
        value: String,
        /// The column's name.
        column: &'static str,
        /// What was probably meant; empty if unknown.
        hint: String,
    },
    /// No value of the column can meet the condition.
    #[error("no value of {column} can match '{value}': {hint}")]
    Never {
        /// The column's name.
        column: &'static str,
        /// The value as given.
        value: String,
        /// What values the column has, and what to write.
        hint: String,
    },
}
