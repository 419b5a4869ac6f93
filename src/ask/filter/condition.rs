//! A condition on one column, and how it is evaluated.

use std::cmp::Ordering;

use regex::bytes::Regex;

use crate::ask::column::{Column, Extract};
use crate::proc::state::state_name;
use crate::row::observation::{Mark, Value};
use crate::text::decimal::decimal;

/// How a value is compared.
#[derive(Debug, Clone)]
pub(super) enum Comparison {
    /// `=` and `in`: equal to one of these.
    In(Vec<Literal>),
    /// `!=` and `not in`: equal to none of these.
    NotIn(Vec<Literal>),
    /// `~`
    Matches(Regex),
    /// `!~`
    NotMatches(Regex),
    Less(NumberLiteral),
    LessOrEqual(NumberLiteral),
    Greater(NumberLiteral),
    GreaterOrEqual(NumberLiteral),
}

/// A number as typed in a condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum NumberLiteral {
    /// An integer in the unit of stored values: the typed number times the column's divisor.
    Exact(i128),
    /// A decimal in the unit that the column is shown in.
    Decimal(f64),
}

/// The right-hand side of `=` and `!=`, and an item of `in (...)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Number(NumberLiteral),
    Text(Vec<u8>),
    Mark(Mark),
}

/// A condition on one column.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The column whose values are compared.
    pub column: &'static Column,
    /// The index of the column's value in an observation; 0 until the plan sets it.
    pub(super) slot: usize,
    pub(super) comparison: Comparison,
}

impl Condition {
    /// Whether a thread in state `letter`, shown as `name`, meets the condition; `None` if the state alone does not decide it.
    #[must_use]
    pub(crate) fn accepts_state(&self, letter: u8, name: &str) -> Option<bool> {
        match self.column.extract {
            Extract::StateId => Some(self.matches(Value::Text(&[letter]))),
            Extract::State => Some(self.matches(Value::Text(name.as_bytes()))),
            // A thread in state R may show [unsupported] here.
            Extract::State2 if state_name(letter) == Some(name) && letter != b'R' => {
                Some(self.matches(Value::Text(name.as_bytes())))
            }
            _ => None,
        }
    }

    /// Whether `value` meets the condition. A mark is compared by its text, and is neither less nor greater than a number.
    #[must_use]
    pub fn matches(&self, value: Value<'_>) -> bool {
        match &self.comparison {
            Comparison::In(literals) => literals.iter().any(|literal| self.equals(literal, value)),
            Comparison::NotIn(literals) => !literals.iter().any(|literal| self.equals(literal, value)),
            Comparison::Matches(regex) => self.is_match(regex, value),
            Comparison::NotMatches(regex) => !self.is_match(regex, value),
            Comparison::Less(limit) => self.compare(value, *limit).is_some_and(Ordering::is_lt),
            Comparison::LessOrEqual(limit) => self.compare(value, *limit).is_some_and(Ordering::is_le),
            Comparison::Greater(limit) => self.compare(value, *limit).is_some_and(Ordering::is_gt),
            Comparison::GreaterOrEqual(limit) => self.compare(value, *limit).is_some_and(Ordering::is_ge),
        }
    }

    /// Compares `value` with `limit`; `None` if the value is not a number.
    #[expect(clippy::cast_precision_loss, reason = "a comparison with a decimal that a person typed")]
    fn compare(&self, value: Value<'_>, limit: NumberLiteral) -> Option<Ordering> {
        let Value::Number(number) = value else { return None };
        match limit {
            NumberLiteral::Exact(limit) => Some(number.cmp(&limit)),
            // Divide the value rather than multiply the limit: 29 / 100 is the float nearest to 0.29, but 0.29 * 100 is not 29.
            NumberLiteral::Decimal(limit) => (number as f64 / f64::from(self.column.divisor)).partial_cmp(&limit),
        }
    }

    fn equals(&self, literal: &Literal, value: Value<'_>) -> bool {
        match (literal, value) {
            (Literal::Number(wanted), value) => self.compare(value, *wanted).is_some_and(Ordering::is_eq),
            (Literal::Text(wanted), Value::Text(text)) => wanted == text,
            (Literal::Text(wanted), Value::Mark(mark)) => wanted == mark.text().as_bytes(),
            (Literal::Mark(wanted), Value::Mark(mark)) => *wanted == mark,
            (Literal::Mark(wanted), Value::Text(text)) => wanted.text().as_bytes() == text,
            (Literal::Text(_) | Literal::Mark(_), Value::Number(_)) => false,
        }
    }

    fn is_match(&self, regex: &Regex, value: Value<'_>) -> bool {
        match value {
            Value::Text(text) => regex.is_match(text),
            Value::Mark(mark) => regex.is_match(mark.text().as_bytes()),
            Value::Number(number) => regex.is_match(decimal(number, self.column.divisor).as_bytes()),
        }
    }
}
