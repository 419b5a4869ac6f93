//! Conditions combined with `and`, `or` and parentheses, as a tree.

use crate::ask::column::Column;
use crate::ask::filter::condition::Condition;

/// A node of the tree.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    Is(Condition),
    /// `and`
    All(Vec<Expression>),
    /// `or`
    Any(Vec<Expression>),
}

impl Expression {
    /// Appends the conditions to `found`, in the order in which they were typed.
    pub(super) fn collect<'a>(&'a self, found: &mut Vec<&'a Condition>) {
        match self {
            Self::Is(condition) => found.push(condition),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.collect(found)),
        }
    }

    /// Sets the index in an observation of every condition's column.
    pub(super) fn assign_slots(&mut self, slot: &dyn Fn(&'static Column) -> usize) {
        match self {
            Self::Is(condition) => condition.slot = slot(condition.column),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter_mut().for_each(|node| node.assign_slots(slot)),
        }
    }

    /// Whether the expression holds, given what `known` says of each condition; `None` while that is undecided.
    pub(super) fn decide(&self, known: &mut dyn FnMut(&Condition) -> Option<bool>) -> Option<bool> {
        let (nodes, decisive) = match self {
            Self::Is(condition) => return known(condition),
            Self::All(nodes) => (nodes, false),
            Self::Any(nodes) => (nodes, true),
        };
        let mut is_undecided = false;
        for node in nodes {
            match node.decide(known) {
                Some(holds) if holds == decisive => return Some(decisive),
                Some(_) => {}
                None => is_undecided = true,
            }
        }
        (!is_undecided).then_some(!decisive)
    }
}
