//! From the text of a `--where` to conditions.
//!
//! ```text
//! any       := all { "or" all }
//! all       := part { "and" part }
//! part      := "(" any ")" | condition
//! condition := COLUMN OP VALUE | COLUMN [ "not" ] "in" "(" VALUE { "," VALUE } ")"
//! ```
//! `and` binds closer than `or`. A value needs no quotes, for values with spaces and parentheses are common (`state = Disk
//! (Uninterruptible)`): it goes on until an `and` or `or` that begins another condition, or until the parenthesis that its
//! condition stands in is closed. In quotes it is taken as it stands.

use crate::ask::filter::{Condition, FilterError, Node, find_column};

/// How deep parentheses may be nested.
pub(super) const MAX_DEPTH: usize = 32;

const OPERATORS: [&str; 8] = ["!=", "!~", "<=", ">=", "=", "~", "<", ">"];

pub(super) fn parse(text: &str) -> Result<Node, FilterError> {
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
    /// Parentheses that are open.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all()?];
        while let Some(rest) = after_word(self.rest, "or") {
            self.rest = rest;
            nodes.push(self.all()?);
        }
        Ok(joined(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.part()?];
        while let Some(rest) = after_word(self.rest, "and") {
            self.rest = rest;
            nodes.push(self.part()?);
        }
        Ok(joined(nodes, Node::All))
    }

    fn part(&mut self) -> Result<Node, FilterError> {
        let Some(inner) = self.rest.trim_start().strip_prefix('(') else {
            return self.condition().map(Node::Is);
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

    /// The values up to the parenthesis that closes the list.
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

    /// The value that the rest begins with.
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

fn joined(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            join(nodes)
        }
        None => join(nodes),
    }
}

/// The name that `text` begins with, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let len = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(len);
    (!name.is_empty()).then_some((name, rest.trim_start()))
}

fn operator(text: &str) -> Option<(&'static str, &str)> {
    let op = OPERATORS.into_iter().find(|op| text.starts_with(op))?;
    let rest = text.strip_prefix(op)?;
    // `==` is what fingers type after years of programming.
    Some((op, if op == "=" { rest.strip_prefix('=').unwrap_or(rest) } else { rest }))
}

/// What follows `in (` or `not in (`, and whether it is the first.
fn in_list(text: &str) -> Option<(bool, &str)> {
    let (is_wanted, text) = match after_word(text, "not") {
        Some(rest) => (false, rest),
        None => (true, text),
    };
    let rest = after_word(text, "in")?;
    rest.trim_start().strip_prefix('(').map(|rest| (is_wanted, rest))
}

/// What follows `word`, if `text` begins with it.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (found, rest) = text.trim_start().split_at_checked(word.len())?;
    let ends = rest.starts_with(|c: char| c.is_whitespace() || c == '(');
    (found.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

/// Whether `and` or `or` and another condition follow.
fn begins_next(text: &str) -> bool {
    let rest = after_word(text, "or").or_else(|| after_word(text, "and"));
    let rest = rest.map(|rest| rest.trim_start_matches(|c: char| c.is_whitespace() || c == '('));
    rest.and_then(name).is_some_and(|(_, rest)| operator(rest).is_some() || in_list(rest).is_some())
}

/// The text in quotes that `text` begins with, and what follows: the first closing quote after which it may end.
fn quoted<'a>(text: &'a str, ends: &dyn Fn(&str) -> bool) -> Option<(&'a str, &'a str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?;
    inner.match_indices(quote).find_map(|(at, _)| {
        let (value, rest) = (inner.get(..at)?, inner.get(at + 1..)?);
        ends(rest.trim_start()).then_some((value, rest))
    })
}

/// Where a value without quotes ends: before the next condition, or the parenthesis that closes the group.
fn end_of_value(text: &str, is_grouped: bool) -> usize {
    let mut depth = 0_usize;
    // Of a value that opens more parentheses than it closes, where it would have ended.
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

/// Where an item of a list ends; nowhere if the list is not closed.
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
