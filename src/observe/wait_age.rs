//! How long a thread has been in its wait.
//!
//! A kernel walk knows it of each thread. Through /proc, psn knows since when it has seen the thread asleep without a context switch in
//! between, so that the wait is no shorter; and of a thread in state R, nothing.

use super::contents::FileContents;
use super::reader::ThreadReader;
use super::thread::Thread;
use crate::ask::column::WaitPart;
use crate::proc::source::Source;
use crate::row::bounds::Exactness;
use crate::row::observation::{Mark, Observation};
use crate::tasks::TaskMemory;
use crate::tasks::facts::RunCount;
use crate::time::clock::realtime_ns;

/// The age of a wait.
struct WaitAge {
    ns: u64,
    /// When the wait began, in nanoseconds since 1970.
    since_ns: u64,
    /// Whether the age is a bound.
    exactness: Exactness,
    /// Whether it is exact, and psn's own start had no influence on it.
    is_by_chance: bool,
}

/// Appends the value of a column about the age of the thread's wait to `row`.
pub(super) fn extract_wait_age(part: WaitPart, thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    match wait_age(thread, contents) {
        Err(mark) => row.push_mark(mark),
        Ok(age) if part == WaitPart::ExactNanoseconds && !age.is_by_chance => row.push_mark(Mark::None),
        Ok(age) => row.push_number(match part {
            WaitPart::Nanoseconds | WaitPart::ExactNanoseconds => age.ns.into(),
            WaitPart::Microseconds => (age.ns / 1000).into(),
            WaitPart::Since => age.since_ns.into(),
            WaitPart::Exactness => age.exactness.number(),
        }),
    }
}

/// The age of the thread's wait.
///
/// # Errors
/// The mark that stands for it.
fn wait_age(thread: &Thread<'_>, contents: &FileContents) -> Result<WaitAge, Mark> {
    if thread.has_ended() {
        return Err(Mark::None);
    }
    if let Some(record) = thread.record_for(Source::Wait) {
        return match record.waited {
            Some(waited) => Ok(WaitAge {
                ns: waited.ns,
                since_ns: waited.since_ns,
                exactness: if waited.is_most { Exactness::AtMost } else { Exactness::Exact },
                is_by_chance: waited.is_by_chance && !waited.is_most,
            }),
            None if record.is_on_cpu => Err(if thread.is_running() { Mark::Running } else { Mark::None }),
            // The thread got its CPU, or left it, while the walk looked at it.
            None => Err(Mark::Torn),
        };
    }
    if thread.is_running() {
        return Err(Mark::Unsupported);
    }
    contents.bytes(Source::Wait)?;
    let (since_ns, now_ns) = contents.sleep.ok_or(Mark::None)?;
    Ok(WaitAge { ns: now_ns.saturating_sub(since_ns), since_ns, exactness: Exactness::AtLeast, is_by_chance: false })
}

impl ThreadReader {
    /// Notes since when psn has seen the thread with this many context switches.
    pub(super) fn note_sleep(&mut self, memory: &mut TaskMemory, switches: Option<RunCount>) {
        let Some(switches) = switches else { return self.contents.set(Source::Wait, Err(Mark::Unsupported)) };
        let now_ns = realtime_ns();
        let (_, since_ns) = *memory.sleep.insert(match memory.sleep {
            Some((known, since_ns)) if known == switches => (known, since_ns),
            _ => (switches, now_ns),
        });
        self.contents.sleep = Some((since_ns, now_ns));
        self.contents.set(Source::Wait, Ok(()));
    }
}
