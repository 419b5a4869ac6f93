//! The threads of the pool that run lanes.
//!
//! Each runner is one long job of the pool, and sleeps on a queue between passes. Spawning a job on the pool at each tick would
//! wake its idle threads to look for more, which at 1,000 Hz costs more than the reads.

use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use super::queue::Queue;
use super::workload::Workload;

/// Threads of the pool beyond the workers: each can replace one that is stuck in the kernel.
pub const SPARE_THREADS: usize = 4;

/// A lane on its way to a runner, and its share of the work.
pub(super) struct LaneJob {
    /// The number of the pass.
    pub(super) pass: u64,
    pub(super) lane: Box<Lane>,
    pub(super) work: Arc<Workload>,
    /// Which range of the work was dealt to it.
    pub(super) index: usize,
}

/// A lane on its way back from a runner.
pub(super) struct FinishedLane {
    /// The number of the pass.
    pub(super) pass: u64,
    pub(super) lane: Box<Lane>,
}

/// The pool, its runners, and the queues to and from them.
pub(super) struct Runners {
    pool: rayon::ThreadPool,
    workers: usize,
    /// Threads of the pool that run lanes, including stuck ones.
    started: usize,
    jobs: Arc<Queue<LaneJob>>,
    finished: Arc<Queue<FinishedLane>>,
}

impl Runners {
    /// Starts `workers` runners.
    pub(super) fn start(workers: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers + SPARE_THREADS)
            .thread_name(|index| format!("psn-worker-{index}"))
            .stack_size(512 << 10)
            .build()?;
        let mut runners = Self { pool, workers, started: 0, jobs: Arc::default(), finished: Arc::default() };
        runners.replace_stuck(0);
        Ok(runners)
    }

    /// Keeps one free runner per worker while `stuck` of them are stuck, as far as the pool has threads.
    pub(super) fn replace_stuck(&mut self, stuck: usize) {
        while self.started < (stuck + self.workers).min(self.threads()) {
            let (jobs, finished) = (Arc::clone(&self.jobs), Arc::clone(&self.finished));
            self.pool.spawn(move || run_lanes(&jobs, &finished));
            self.started += 1;
        }
    }

    const fn threads(&self) -> usize {
        self.workers + SPARE_THREADS
    }

    /// How many lanes can run at a time, if none is stuck.
    pub(super) const fn workers(&self) -> usize {
        self.workers
    }

    /// Runners started, including stuck ones.
    pub(super) const fn started(&self) -> usize {
        self.started
    }

    pub(super) fn send(&self, job: LaneJob) {
        self.jobs.send(job);
    }

    /// Waits up to `patience` for a lane to come back.
    pub(super) fn receive_within(&self, patience: Duration) -> Option<FinishedLane> {
        self.finished.receive_within(patience)
    }

    /// The pool, if it has a thread that runs no lane.
    pub(super) fn spare_pool(&self) -> Option<&rayon::ThreadPool> {
        (self.started < self.threads()).then_some(&self.pool)
    }
}

impl Drop for Runners {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

/// Runs lanes until the queue is closed.
fn run_lanes(jobs: &Queue<LaneJob>, finished: &Queue<FinishedLane>) {
    while let Some(LaneJob { pass, mut lane, work, index }) = jobs.receive() {
        lane.run(&work, index);
        drop(work);
        // If the sampler is gone, nobody needs the lane any more.
        finished.send(FinishedLane { pass, lane });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_runner_is_replaced_as_long_as_the_pool_has_threads() {
        let mut runners = Runners::start(2).unwrap();
        assert_eq!(runners.started(), 2);
        runners.replace_stuck(1);
        assert_eq!(runners.started(), 3);
        assert!(runners.spare_pool().is_some());
        runners.replace_stuck(SPARE_THREADS + 1);
        assert_eq!(runners.started(), 2 + SPARE_THREADS);
        assert!(runners.spare_pool().is_none(), "work given to the pool would wait for ever");
        runners.replace_stuck(0);
        assert_eq!(runners.started(), 2 + SPARE_THREADS, "a runner whose lane came back stays");
    }
}
