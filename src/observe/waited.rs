//! The age of a thread's wait.

use crate::ask::column::WaitPart;
use crate::observe::extract::{Thread, has_ended, is_running};
use crate::proc::source::Source;
use crate::row::observation::{Mark, Observation};

/// Appends how long the thread has been off its CPU.
///
/// A walk knows it of each thread. Through /proc it is known since when psn has seen the thread asleep without a switch in
/// between, so that it has waited no less; and of a thread in state R, nothing.
pub fn waited(part: WaitPart, thread: Thread<'_>, row: &mut Observation) {
    match age(thread) {
        Err(mark) => row.push_mark(mark),
        Ok(age) => row.push_number(match part {
            WaitPart::Nanoseconds => age.ns.into(),
            WaitPart::Microseconds => (age.ns / 1000).into(),
            WaitPart::Since => age.since_ns.into(),
            WaitPart::IsExact => age.is_exact.into(),
        }),
    }
}

/// The age of a wait.
struct Age {
    ns: u64,
    /// When the wait began, nanoseconds since 1970.
    since_ns: u64,
    is_exact: bool,
}

fn age(thread: Thread<'_>) -> Result<Age, Mark> {
    let state = thread.stat.state;
    if has_ended(state) {
        return Err(Mark::None);
    }
    if let Some(walked) = thread.walked_instead_of(Source::Wait) {
        return match walked.record.waited {
            Some(waited) => Ok(Age { ns: waited.ns, since_ns: waited.since_ns, is_exact: !waited.is_most }),
            None if walked.record.is_on_cpu => Err(if is_running(state) { Mark::Running } else { Mark::None }),
            // It came to its CPU, or left it, while it was looked at.
            None => Err(Mark::Torn),
        };
    }
    if is_running(state) {
        return Err(Mark::Unsupported);
    }
    let (since_ns, now_ns) = thread.answers.slept.ok_or(Mark::None)?;
    thread.answers.bytes(Source::Wait)?;
    Ok(Age { ns: now_ns.saturating_sub(since_ns), since_ns, is_exact: false })
}
