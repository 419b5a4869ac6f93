//! Makes a condition of a column, an operator and a value as typed.

use std::borrow::Cow;

use regex::bytes::Regex;

use crate::ask::column::{Column, Extract};
use crate::ask::filter::check::{check, hint_of_number};
use crate::ask::filter::condition::{Comparison, Condition, Literal, NumberLiteral};
use crate::ask::filter::error::FilterError;
use crate::ask::pattern;
use crate::proc::state::state_names;
use crate::row::observation::Mark;
use crate::text::escape::unescape;

impl Comparison {
    fn new(column: &'static Column, op: &'static str, value: &str) -> Result<Self, FilterError> {
        let ordering = |make: fn(NumberLiteral) -> Self| {
            if column.kind.is_number() {
                scaled(column, value).map(make)
            } else {
                Err(FilterError::Ordering { op, column: column.name })
            }
        };
        match op {
            "=" => literals_of(column, value).map(Self::In),
            "!=" => literals_of(column, value).map(Self::NotIn),
            "~" => compile(column, value).map(Self::Matches),
            "!~" => compile(column, value).map(Self::NotMatches),
            "<" => ordering(Self::Less),
            "<=" => ordering(Self::LessOrEqual),
            ">" => ordering(Self::Greater),
            _ => ordering(Self::GreaterOrEqual),
        }
    }
}

impl Condition {
    /// `COLUMN OP VALUE`
    ///
    /// # Errors
    /// The value does not fit the operator or the column.
    pub(super) fn new(column: &'static Column, op: &'static str, value: &str) -> Result<Self, FilterError> {
        let condition = Self { column, slot: 0, comparison: Comparison::new(column, op, value)? };
        check(&condition, value)?;
        Ok(condition)
    }

    /// `COLUMN in (...)`, or `COLUMN not in (...)` unless `is_wanted`.
    ///
    /// # Errors
    /// There is no value, or one that does not fit the column.
    pub(super) fn any_of(column: &'static Column, values: &[&str], is_wanted: bool) -> Result<Self, FilterError> {
        let mut literals = Vec::new();
        for value in values {
            let condition = Self { column, slot: 0, comparison: Comparison::In(literals_of(column, value)?) };
            check(&condition, value)?;
            if let Comparison::In(more) = condition.comparison {
                literals.extend(more);
            }
        }
        if literals.is_empty() {
            return Err(FilterError::EmptyList(column.name));
        }
        Ok(Self {
            column,
            slot: 0,
            comparison: if is_wanted { Comparison::In(literals) } else { Comparison::NotIn(literals) },
        })
    }
}

/// The number in `value`, in the unit of stored values if it is an integer.
fn scaled(column: &'static Column, value: &str) -> Result<NumberLiteral, FilterError> {
    let whole = value.parse::<i128>().ok().and_then(|whole| whole.checked_mul(column.divisor.into()));
    if let Some(exact) = whole {
        return Ok(NumberLiteral::Exact(exact));
    }
    let decimal = value.parse().ok().filter(|number: &f64| number.is_finite());
    decimal.map(NumberLiteral::Decimal).ok_or_else(|| FilterError::Number {
        value: value.to_owned(),
        column: column.name,
        hint: hint_of_number(column, value),
    })
}

fn compile(column: &'static Column, text: &str) -> Result<Regex, FilterError> {
    pattern::compile(&column_pattern(column, text))
        .map_err(|reason| FilterError::Regex { pattern: text.to_owned(), reason })
}

/// The number of hexadecimal digits of a container's id that the column `container` shows.
const CONTAINER_DIGITS: usize = 12;

/// The literals that `value` may stand for in an equality.
fn literals_of(column: &'static Column, value: &str) -> Result<Vec<Literal>, FilterError> {
    if let Some(mark) = Mark::from_text(value.as_bytes())
        && (mark != Mark::None || column.kind.is_number())
    {
        return Ok(vec![Literal::Mark(mark)]);
    }
    if column.kind.is_number() {
        return Ok(vec![Literal::Number(scaled(column, value)?)]);
    }
    Ok(texts(column, value).into_iter().map(Literal::Text).collect())
}

/// The texts that `value` may stand for.
fn texts(column: &'static Column, value: &str) -> Vec<Vec<u8>> {
    let mut texts = match (column.extract, value.as_bytes()) {
        (Extract::State | Extract::State2, [letter]) => {
            let names: Vec<Vec<u8>> = state_names(*letter).map(|name| name.as_bytes().to_vec()).collect();
            if names.is_empty() { vec![vec![*letter]] } else { names }
        }
        // The table shows names in parentheses, so users type them so. A name may contain parentheses itself.
        (Extract::Comm | Extract::CommRaw, text @ [b'(', name @ .., b')']) => vec![name.to_vec(), text.to_vec()],
        (Extract::Container, text) => vec![short_id(text).to_vec()],
        (_, text) => vec![text.to_vec()],
    };
    // Unprintable characters are typed as psn prints them, as escapes.
    if value.contains('\\') {
        let meant: Vec<Vec<u8>> = texts.iter().map(|text| unescape(&String::from_utf8_lossy(text))).collect();
        texts.extend(meant);
    }
    texts
}

/// Shortens a container's full id to the digits that its column shows.
fn short_id(id: &[u8]) -> &[u8] {
    let is_id = id.len() > CONTAINER_DIGITS && id.len() <= 64 && id.iter().all(u8::is_ascii_hexdigit);
    if is_id { id.get(..CONTAINER_DIGITS).unwrap_or(id) } else { id }
}

/// The pattern to match the column's values with: `pattern`, with a container's full id shortened.
fn column_pattern<'a>(column: &'static Column, pattern: &'a str) -> Cow<'a, str> {
    if column.extract != Extract::Container {
        return Cow::Borrowed(pattern);
    }
    let id = pattern.trim_start_matches('^').trim_end_matches('$');
    let short = short_id(id.as_bytes());
    match std::str::from_utf8(short) {
        Ok(short) if short.len() < id.len() => Cow::Owned(pattern.replacen(id, short, 1)),
        _ => Cow::Borrowed(pattern),
    }
}
