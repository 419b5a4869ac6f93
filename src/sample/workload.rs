//! The work of one pass: chunks of tasks, dealt to the lanes in equal ranges.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::quarantine::Quarantine;
use super::walker::PendingTask;
use crate::observe::TickTime;
use crate::tasks::TaskSet;

/// The work of one pass, shared by its lanes.
#[derive(Debug)]
pub(super) struct Workload {
    /// Tasks to be read through /proc.
    pub(super) set: Arc<TaskSet>,
    /// Tasks that a walk met and of which files have to be read. Their chunks follow those of the set.
    pending: Vec<PendingTask>,
    /// The chunks dealt to each lane.
    ranges: Vec<ChunkRange>,
    pub(super) quarantine: Arc<Quarantine>,
    /// Whether every process is read by `status` alone, since no spare thread is left to replace another stuck lane.
    pub(super) status_only: bool,
    cancelled: AtomicBool,
    pub(super) at: TickTime,
}

/// A range of chunks that lanes take from. On a cache line of its own: each lane writes to its own.
#[repr(align(128))]
#[derive(Debug)]
struct ChunkRange {
    next: AtomicUsize,
    end: usize,
}

/// Pending tasks in a chunk.
const PENDING_CHUNK: usize = TaskSet::MIN_CHUNK;

impl Workload {
    pub(super) const fn new(
        set: Arc<TaskSet>,
        pending: Vec<PendingTask>,
        quarantine: Arc<Quarantine>,
        status_only: bool,
        at: TickTime,
    ) -> Self {
        Self { set, pending, ranges: Vec::new(), quarantine, status_only, cancelled: AtomicBool::new(false), at }
    }

    pub(super) fn chunks(&self) -> usize {
        self.set.chunks() + self.pending.len().div_ceil(PENDING_CHUNK)
    }

    /// Deals the chunks to `lanes` lanes.
    pub(super) fn deal(mut self, lanes: usize) -> Self {
        let range = |range: Range<usize>| ChunkRange { next: AtomicUsize::new(range.start), end: range.end };
        self.ranges = even_ranges(self.chunks(), lanes).map(range).collect();
        self
    }

    /// The pending tasks of a chunk; none if the chunk is one of the set.
    pub(super) fn pending(&self, chunk: usize) -> &[PendingTask] {
        let chunk = chunk.checked_sub(self.set.chunks());
        chunk.and_then(|chunk| self.pending.chunks(PENDING_CHUNK).nth(chunk)).unwrap_or_default()
    }

    /// The next chunk for `lane`: one of its own range, or of another lane's if its own is finished.
    pub(super) fn take(&self, lane: usize) -> Option<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let ranges = self.ranges.iter().cycle().skip(lane).take(self.ranges.len());
        ranges.filter_map(ChunkRange::take).next()
    }

    /// Hands out no more chunks.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl ChunkRange {
    fn take(&self) -> Option<usize> {
        // Read first, so that the counter of a finished range is not written again and again.
        if self.next.load(Ordering::Relaxed) >= self.end {
            return None;
        }
        let chunk = self.next.fetch_add(1, Ordering::Relaxed);
        (chunk < self.end).then_some(chunk)
    }
}

/// Splits `count` into `parts` ranges whose lengths differ by one at most.
fn even_ranges(count: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |part| (count * part / parts)..(count * (part + 1) / parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_evenly() {
        for (count, parts) in [(0, 1), (1, 1), (7, 3), (391, 16), (16, 16)] {
            let ranges: Vec<_> = even_ranges(count, parts).collect();
            assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), count);
            let (min, max) = (ranges.iter().map(Range::len).min(), ranges.iter().map(Range::len).max());
            assert!(max.unwrap() - min.unwrap() <= 1);
        }
    }
}
