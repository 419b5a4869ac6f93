//! The age of a thread's wait.

use crate::ask::column::WaitPart;
use crate::observe::extract::{Thread, has_ended, is_running};
use crate::proc::parse;
use crate::proc::source::Source;
use crate::row::observation::{Mark, Observation};

/// Appends how long the thread has been off its CPU.
///
/// A walk knows it of each thread. Through /proc it is known since when psn has seen the thread asleep without a switch in
/// between, so that it has waited no less; and of a thread in state R, nothing.
pub fn waited(part: WaitPart, thread: Thread<'_>, row: &mut Observation) {
    match age(thread) {
        Err(mark) => row.push_mark(mark),
        Ok((_, is_exact)) if part == WaitPart::IsExact => row.push_number(is_exact.into()),
        Ok((ns, _)) if part == WaitPart::Microseconds => row.push_number((ns / 1000).into()),
        Ok((ns, _)) => row.push_number(ns.into()),
    }
}

/// Nanoseconds, and whether they are exact.
fn age(thread: Thread<'_>) -> Result<(u64, bool), Mark> {
    let state = thread.stat.state;
    if has_ended(state) {
        return Err(Mark::None);
    }
    if let Some(walked) = thread.walked_instead_of(Source::Wait) {
        return match walked.record.waited {
            Some(waited) => Ok((waited.ns, !waited.is_most)),
            None if walked.record.is_on_cpu => Err(if is_running(state) { Mark::Running } else { Mark::None }),
            // It came to its CPU, or left it, while it was looked at.
            None => Err(Mark::Torn),
        };
    }
    if is_running(state) {
        return Err(Mark::Unsupported);
    }
    let text = thread.answers.bytes(Source::Wait)?;
    parse::unsigned(text).map(|ns| (ns, false)).ok_or(Mark::Malformed)
}
