//! The work of one pass, dealt to lanes in runs of chunks.

use super::quarantine::Quarantine;
use crate::observe::TickTime;
use crate::sample::walker::Row;
use crate::tasks::TaskSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The work of one pass, shared by its lanes.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) set: Arc<TaskSet>,
    /// Threads that a walk met and of which files have to be read: the chunks after those of the set.
    pub(super) rows: Vec<Row>,
    /// Each lane's next chunk, with where its run ends.
    pub(super) runs: Vec<Run>,
    pub(super) quarantine: Arc<Quarantine>,
    /// Whether no more lanes may be lost: every process is read as if it were in quarantine.
    pub(super) is_cautious: bool,
    pub(super) cancelled: AtomicBool,
    pub(super) at: TickTime,
}

#[repr(align(128))]
#[derive(Debug)]
pub(super) struct Run {
    pub(super) next: AtomicUsize,
    pub(super) end: usize,
}

/// Threads of a walk that a lane takes at a time.
pub(super) const CHUNK_ROWS: usize = TaskSet::MIN_CHUNK;

impl Work {
    pub(super) fn new(
        set: Arc<TaskSet>,
        rows: Vec<Row>,
        quarantine: Arc<Quarantine>,
        is_cautious: bool,
        at: TickTime,
    ) -> Self {
        Self { set, rows, runs: Vec::new(), quarantine, is_cautious, cancelled: AtomicBool::new(false), at }
    }

    pub(super) fn chunks(&self) -> usize {
        self.set.chunks() + self.rows.len().div_ceil(CHUNK_ROWS)
    }

    /// Deals the chunks to so many lanes.
    pub(super) fn deal(mut self, lanes: usize) -> Self {
        let run = |run: Range<usize>| Run { next: AtomicUsize::new(run.start), end: run.end };
        self.runs = shares(self.chunks(), lanes).map(run).collect();
        self
    }

    /// The walked threads of a chunk; none of a chunk of the set.
    pub(super) fn rows(&self, chunk: usize) -> &[Row] {
        let chunk = chunk.checked_sub(self.set.chunks()).and_then(|chunk| self.rows.chunks(CHUNK_ROWS).nth(chunk));
        chunk.unwrap_or_default()
    }

    /// The next chunk for `lane`: of its own run first, then of the others'.
    pub(super) fn take(&self, lane: usize) -> Option<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let runs = self.runs.iter().cycle().skip(lane).take(self.runs.len());
        runs.filter_map(Run::take).next()
    }
}

impl Run {
    pub(super) fn take(&self) -> Option<usize> {
        // A look first: the counter of a finished run is not written again and again.
        if self.next.load(Ordering::Relaxed) >= self.end {
            return None;
        }
        let chunk = self.next.fetch_add(1, Ordering::Relaxed);
        (chunk < self.end).then_some(chunk)
    }
}

/// `count` things in `lanes` runs of equal length, to one.
pub(super) fn shares(count: usize, lanes: usize) -> impl Iterator<Item = Range<usize>> {
    (0..lanes).map(move |lane| (count * lane / lanes)..(count * (lane + 1) / lanes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_evenly() {
        for (count, lanes) in [(0, 1), (1, 1), (7, 3), (391, 16), (16, 16)] {
            let runs: Vec<_> = shares(count, lanes).collect();
            assert_eq!(runs.iter().map(ExactSizeIterator::len).sum::<usize>(), count);
            let (min, max) = (runs.iter().map(Range::len).min(), runs.iter().map(Range::len).max());
            assert!(max.unwrap() - min.unwrap() <= 1);
        }
    }
}
