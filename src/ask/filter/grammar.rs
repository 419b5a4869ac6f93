//! Parses the text of a `--where`.
//!
//! ```text
//! any       := all { "or" all }
//! all       := operand { "and" operand }
//! operand   := "(" any ")" | condition
//! condition := COLUMN OP VALUE | COLUMN [ "not" ] "in" "(" VALUE { "," VALUE } ")"
//! ```
//! `and` takes precedence over `or`. Values with spaces and parentheses are common (`state = Disk (Uninterruptible)`), so a value
//! needs no quotes: it ends before an `and` or `or` that another condition follows, or at the parenthesis that closes its group.
//! A quoted value is taken verbatim.

use crate::ask::filter::condition::Condition;
use crate::ask::filter::error::{FilterError, MAX_DEPTH};
use crate::ask::filter::expression::Expression;
use crate::ask::registry::find_column;

const OPERATORS: [&str; 8] = ["!=", "!~", "<=", ">=", "=", "~", "<", ">"];

/// Parses all of `text`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser { text, rest: text, depth: 0 };
    let node = parser.any()?;
    match parser.rest.trim() {
        "" => Ok(node),
        rest => Err(FilterError::Rest(rest.to_owned())),
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    /// The number of open parentheses.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Expression, FilterError> {
        let mut nodes = vec![self.all()?];
        while let Some(rest) = after_word(self.rest, "or") {
            self.rest = rest;
            nodes.push(self.all()?);
        }
        Ok(joined(nodes, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, FilterError> {
        let mut nodes = vec![self.operand()?];
        while let Some(rest) = after_word(self.rest, "and") {
            self.rest = rest;
            nodes.push(self.operand()?);
        }
        Ok(joined(nodes, Expression::All))
    }

    fn operand(&mut self) -> Result<Expression, FilterError> {
        let Some(inner) = self.rest.trim_start().strip_prefix('(') else {
            return self.condition().map(Expression::Is);
        };
        if self.depth == MAX_DEPTH {
            return Err(FilterError::Deep);
        }
        self.rest = inner;
        self.depth += 1;
        let node = self.any()?;
        self.depth -= 1;
        let after = self.rest.trim_start().strip_prefix(')');
        self.rest = after.ok_or_else(|| FilterError::Open(self.text.to_owned()))?;
        Ok(node)
    }

    fn condition(&mut self) -> Result<Condition, FilterError> {
        let shape = || FilterError::Shape(self.text.to_owned());
        let (name, rest) = name(self.rest.trim_start()).ok_or_else(shape)?;
        if let Some((is_wanted, rest)) = in_list(rest) {
            let column = find_column(name)?;
            self.rest = rest;
            let values = self.list().ok_or_else(|| FilterError::Open(self.text.to_owned()))?;
            return Condition::any_of(column, &values, is_wanted);
        }
        let (op, rest) = operator(rest).ok_or_else(shape)?;
        let column = find_column(name)?;
        self.rest = rest.trim_start();
        let value = self.value();
        Condition::new(column, op, value)
    }

    /// Parses the values up to the parenthesis that closes the list; `None` if it is not closed.
    fn list(&mut self) -> Option<Vec<&'a str>> {
        let mut values = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            let item = quoted(self.rest, &|after| after.starts_with([',', ')']));
            let (value, rest) = match item {
                Some(item) => item,
                None => self.rest.split_at(end_of_item(self.rest)?),
            };
            let rest = rest.trim_start();
            if !value.trim().is_empty() || item.is_some() {
                values.push(if item.is_some() { value } else { value.trim() });
            }
            self.rest = rest.get(1..)?;
            if rest.starts_with(')') {
                return Some(values);
            }
        }
    }

    /// Parses the value at the beginning of the rest.
    fn value(&mut self) -> &'a str {
        let is_grouped = self.depth > 0;
        let ends_here = |after: &str| after.is_empty() || (is_grouped && after.starts_with(')')) || begins_next(after);
        if let Some((value, rest)) = quoted(self.rest, &ends_here) {
            self.rest = rest;
            return value;
        }
        let (value, rest) = self.rest.split_at(end_of_value(self.rest, is_grouped));
        self.rest = rest;
        value.trim()
    }
}

/// Combines `nodes` by `join`; a single node stays as it is.
fn joined(mut nodes: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            join(nodes)
        }
        None => join(nodes),
    }
}

/// Splits the name off the beginning of `text`.
fn name(text: &str) -> Option<(&str, &str)> {
    let len = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(len);
    (!name.is_empty()).then_some((name, rest.trim_start()))
}

/// Splits the operator off the beginning of `text`.
fn operator(text: &str) -> Option<(&'static str, &str)> {
    let op = OPERATORS.into_iter().find(|op| text.starts_with(op))?;
    let rest = text.strip_prefix(op)?;
    // `==` is accepted for `=`.
    Some((op, if op == "=" { rest.strip_prefix('=').unwrap_or(rest) } else { rest }))
}

/// If `text` begins with `in (` or `not in (`: whether it is `in`, and what follows.
fn in_list(text: &str) -> Option<(bool, &str)> {
    let (is_wanted, text) = match after_word(text, "not") {
        Some(rest) => (false, rest),
        None => (true, text),
    };
    let rest = after_word(text, "in")?;
    rest.trim_start().strip_prefix('(').map(|rest| (is_wanted, rest))
}

/// What follows `word`, if `text` begins with that word.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (found, rest) = text.trim_start().split_at_checked(word.len())?;
    let ends = rest.starts_with(|c: char| c.is_whitespace() || c == '(');
    (found.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

/// Whether `text` begins with `and` or `or` and another condition.
fn begins_next(text: &str) -> bool {
    let rest = after_word(text, "or").or_else(|| after_word(text, "and"));
    let rest = rest.map(|rest| rest.trim_start_matches(|c: char| c.is_whitespace() || c == '('));
    rest.and_then(name).is_some_and(|(_, rest)| operator(rest).is_some() || in_list(rest).is_some())
}

/// If `text` begins with a quote: the quoted text and what follows. It ends at the first closing quote for which `ends` accepts the rest.
fn quoted<'a>(text: &'a str, ends: &dyn Fn(&str) -> bool) -> Option<(&'a str, &'a str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?;
    inner.match_indices(quote).find_map(|(at, _)| {
        let (value, rest) = (inner.get(..at)?, inner.get(at + 1..)?);
        ends(rest.trim_start()).then_some((value, rest))
    })
}

/// Where an unquoted value ends: before the next condition, or at the parenthesis that closes the group.
fn end_of_value(text: &str, is_grouped: bool) -> usize {
    let mut depth = 0_usize;
    // Where the value ends if it opens more parentheses than it closes.
    let mut candidate = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '(' => depth += 1,
            ')' if depth == 0 && is_grouped => return at,
            ')' => depth = depth.saturating_sub(1),
            _ if c.is_whitespace() && text.get(at..).is_some_and(begins_next) => {
                if depth == 0 {
                    return at;
                }
                candidate = candidate.or(Some(at));
            }
            _ => {}
        }
    }
    if depth > 0 { candidate.unwrap_or(text.len()) } else { text.len() }
}

/// Where an item of a list ends; `None` if the list is not closed.
fn end_of_item(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' | ',' if depth == 0 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}
