//! `--where 'COL OP VALUE'`: a condition on one column.

use std::cmp::Ordering;

use regex::bytes::Regex;

use crate::column::{COLUMNS, Column, Extract, closest, state_name};
use crate::observation::{Mark, Value};

/// How a value is compared.
#[derive(Debug, Clone)]
enum Test {
    Equal(Operand),
    NotEqual(Operand),
    Matches(Regex),
    NotMatches(Regex),
    Less(Number),
    LessOrEqual(Number),
    Greater(Number),
    GreaterOrEqual(Number),
}

/// A number as it was typed, in the unit that the column is shown in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    /// Times the column's divisor, as values are: compared to the last digit.
    Exact(i128),
    Decimal(f64),
}

/// The right-hand side of an equality.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Number(Number),
    Text(Vec<u8>),
    Mark(Mark),
}

/// One condition.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The column it is on.
    pub column: &'static Column,
    test: Test,
}

/// Why a condition was not understood; the message names the part and says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No operator was found.
    #[error("'{0}' is not 'COLUMN OP VALUE', with OP one of = != ~ !~ < <= > >=")]
    Shape(String),
    /// The column does not exist.
    #[error(transparent)]
    Column(#[from] UnknownColumn),
    /// The regular expression is wrong.
    #[error("'{pattern}' is not a regular expression: {reason}")]
    Regex {
        /// The pattern as given.
        pattern: String,
        /// What the regex parser says.
        reason: String,
    },
    /// An ordering on text.
    #[error("'{op}' compares numbers, and {column} is text: use =, !=, ~ or !~")]
    Ordering {
        /// The operator as given.
        op: &'static str,
        /// The column's name.
        column: &'static str,
    },
    /// A number was needed.
    #[error("'{value}' is not a number, and {column} is a column of numbers")]
    Number {
        /// The value as given.
        value: String,
        /// The column's name.
        column: &'static str,
    },
}

/// A name that is no column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no column '{name}'{}", suggestion(.closest))]
pub struct UnknownColumn {
    /// The name as given.
    pub name: String,
    /// The columns that may have been meant.
    pub closest: Vec<&'static str>,
}

fn suggestion(closest: &[&'static str]) -> String {
    match closest {
        [] => "; psn --list shows them all".to_owned(),
        names => format!("; did you mean {}? psn --list shows them all", names.join(" or ")),
    }
}

/// The column called `name`.
///
/// # Errors
/// When there is none: the closest names.
pub fn find_column(name: &str) -> Result<&'static Column, UnknownColumn> {
    Column::find(name).ok_or_else(|| UnknownColumn {
        name: name.to_owned(),
        closest: closest(name, COLUMNS.iter().map(|column| column.name)),
    })
}

const OPERATORS: [&str; 8] = ["!=", "!~", "<=", ">=", "=", "~", "<", ">"];

impl Filter {
    /// Understands `text`.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let shape = || FilterError::Shape(text.to_owned());
        let trimmed = text.trim_start();
        let name_len = trimmed.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').ok_or_else(shape)?;
        let (name, rest) = trimmed.split_at(name_len);
        let rest = rest.trim_start();
        let op = OPERATORS.into_iter().find(|op| rest.starts_with(op)).ok_or_else(shape)?;
        if name.is_empty() {
            return Err(shape());
        }
        let value = rest.strip_prefix(op).unwrap_or_default();
        // `==` is what fingers type after years of programming.
        let value = if op == "=" { value.strip_prefix('=').unwrap_or(value) } else { value };
        let column = find_column(name)?;
        let test = Test::new(column, op, unquote(value.trim()))?;
        Ok(Self { column, test })
    }

    /// Whether the condition holds for `value`. A mark is compared as its text; it is never less or
    /// greater than a number.
    #[must_use]
    pub fn matches(&self, value: Value<'_>) -> bool {
        match &self.test {
            Test::Equal(operand) => self.equals(operand, value),
            Test::NotEqual(operand) => !self.equals(operand, value),
            Test::Matches(regex) => self.is_match(regex, value),
            Test::NotMatches(regex) => !self.is_match(regex, value),
            Test::Less(limit) => self.compare(value, *limit).is_some_and(Ordering::is_lt),
            Test::LessOrEqual(limit) => self.compare(value, *limit).is_some_and(Ordering::is_le),
            Test::Greater(limit) => self.compare(value, *limit).is_some_and(Ordering::is_gt),
            Test::GreaterOrEqual(limit) => self.compare(value, *limit).is_some_and(Ordering::is_ge),
        }
    }

    /// How `value` compares with `limit`; not at all unless it is a number.
    #[expect(clippy::cast_precision_loss, reason = "a comparison with a decimal that a person typed")]
    fn compare(&self, value: Value<'_>, limit: Number) -> Option<Ordering> {
        let Value::Number(number) = value else { return None };
        match limit {
            Number::Exact(limit) => Some(number.cmp(&limit)),
            // Divided, not multiplied: 29 / 100 is the float nearest to 0.29, and 0.29 * 100 is not 29.
            Number::Decimal(limit) => (number as f64 / f64::from(self.column.divisor)).partial_cmp(&limit),
        }
    }

    fn equals(&self, operand: &Operand, value: Value<'_>) -> bool {
        match (operand, value) {
            (Operand::Number(wanted), value) => self.compare(value, *wanted).is_some_and(Ordering::is_eq),
            (Operand::Text(wanted), Value::Text(text)) => wanted == text,
            (Operand::Text(wanted), Value::Mark(mark)) => wanted == mark.text().as_bytes(),
            (Operand::Mark(wanted), Value::Mark(mark)) => *wanted == mark,
            (Operand::Mark(wanted), Value::Text(text)) => wanted.text().as_bytes() == text,
            (Operand::Text(_) | Operand::Mark(_), Value::Number(_)) => false,
        }
    }

    fn is_match(&self, regex: &Regex, value: Value<'_>) -> bool {
        match value {
            Value::Text(text) => regex.is_match(text),
            Value::Mark(mark) => regex.is_match(mark.text().as_bytes()),
            Value::Number(number) => regex.is_match(crate::report::decimal(number, self.column.divisor).as_bytes()),
        }
    }
}

impl Test {
    fn new(column: &'static Column, op: &'static str, value: &str) -> Result<Self, FilterError> {
        let ordering = |make: fn(Number) -> Self| {
            if column.kind.is_number() {
                scaled(column, value).map(make)
            } else {
                Err(FilterError::Ordering { op, column: column.name })
            }
        };
        match op {
            "=" => operand(column, value).map(Self::Equal),
            "!=" => operand(column, value).map(Self::NotEqual),
            "~" => compile(value).map(Self::Matches),
            "!~" => compile(value).map(Self::NotMatches),
            "<" => ordering(Self::Less),
            "<=" => ordering(Self::LessOrEqual),
            ">" => ordering(Self::Greater),
            _ => ordering(Self::GreaterOrEqual),
        }
    }
}

fn scaled(column: &'static Column, value: &str) -> Result<Number, FilterError> {
    let whole = value.parse::<i128>().ok().and_then(|whole| whole.checked_mul(column.divisor.into()));
    if let Some(exact) = whole {
        return Ok(Number::Exact(exact));
    }
    let decimal = value.parse().ok().filter(|number: &f64| number.is_finite());
    decimal.map(Number::Decimal).ok_or_else(|| FilterError::Number { value: value.to_owned(), column: column.name })
}

fn operand(column: &'static Column, value: &str) -> Result<Operand, FilterError> {
    if let Some(mark) = Mark::from_text(value.as_bytes()).filter(|mark| *mark != Mark::None) {
        return Ok(Operand::Mark(mark));
    }
    if column.kind.is_number() {
        return scaled(column, value).map(Operand::Number);
    }
    Ok(Operand::Text(match (column.extract, value.as_bytes()) {
        (Extract::State, [letter]) => state_name(*letter).unwrap_or(value).as_bytes().to_vec(),
        // The table shows names in parentheses, so they are typed in parentheses.
        (Extract::Comm | Extract::CommRaw, [b'(', name @ .., b')']) => name.to_vec(),
        (_, text) => text.to_vec(),
    }))
}

/// A pattern over bytes: `.` and classes match UTF-8 characters, as a user expects.
fn compile(pattern: &str) -> Result<Regex, FilterError> {
    Regex::new(pattern)
        .map_err(|error| FilterError::Regex { pattern: pattern.to_owned(), reason: last_line(&error.to_string()) })
}

/// The sentence in which the regex crate says what is wrong, without its drawing of the place.
pub(crate) fn last_line(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(filter: &str, value: Value<'_>) -> bool {
        Filter::parse(filter).unwrap().matches(value)
    }

    #[test]
    fn text_is_compared_as_bytes() {
        assert!(holds("comm=mysqld", Value::Text(b"mysqld")));
        assert!(holds("comm = (mysqld)", Value::Text(b"mysqld")));
        assert!(!holds("comm != mysqld", Value::Text(b"mysqld")));
        assert!(holds("comm ~ ^my", Value::Text(b"mysqld")));
        assert!(holds("comm !~ 'd d'", Value::Text(b"mysqld")));
        assert!(holds("comm=\"a = b\"", Value::Text(b"a = b")));
    }

    #[test]
    fn states_are_named_by_letter_or_name() {
        let disk = Value::Text(b"Disk (Uninterruptible)");
        assert!(holds("state=D", disk));
        assert!(holds("state == Disk (Uninterruptible)", disk));
        assert!(!holds("state=R", disk));
    }

    #[test]
    fn numbers_are_compared_in_the_columns_unit() {
        assert!(holds("utime_sec > 1.5", Value::Number(151)));
        assert!(!holds("utime_sec > 1.5", Value::Number(150)));
        assert!(holds("uid=0", Value::Number(0)));
        assert!(holds("uid >= 1000", Value::Number(1000)));
        assert!(holds("utime_sec ~ ^1\\.51$", Value::Number(151)));
    }

    #[test]
    fn marks_are_compared_as_text_and_are_no_numbers() {
        assert!(holds("syscall=[running]", Value::Mark(Mark::Running)));
        assert!(holds("syscall_id != 202", Value::Mark(Mark::Running)));
        assert!(!holds("syscall_id > -5", Value::Mark(Mark::Running)));
        assert!(holds("syscall_id = [denied]", Value::Mark(Mark::Denied)));
        assert!(holds("wchan ~ denied", Value::Mark(Mark::Denied)));
    }

    #[test]
    fn errors_name_what_is_wrong_and_what_would_be_right() {
        let error = |text: &str| Filter::parse(text).unwrap_err().to_string();
        assert!(error("comm").contains("COLUMN OP VALUE"));
        assert!(error("= 4").contains("COLUMN OP VALUE"));
        assert!(error("sycall = read").contains("did you mean syscall"));
        assert!(error("comm < 4").contains("comm is text"));
        assert!(error("uid = root").contains("not a number"));
        assert!(error("comm ~ (").contains("unclosed group"));
    }
}
