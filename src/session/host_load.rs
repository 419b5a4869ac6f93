//! How busy the host is while it is sampled, as `/proc/stat` and `/proc/loadavg` have it.
//!
//! A thread of its own reads both files, between two ticks, so that psn's own passes are seldom in the figures. The coordinator
//! never waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::proc::deadline::HelperThread;
use crate::proc::parse::system::{HostStat, load_averages};
use crate::proc::{Buffer, ProcRoot};
use crate::report::{HostLoad, SeenLoad};
use crate::time::clock::monotonic_ns;

/// The longest time between two reads of a run with more than one tick a second.
const MAX_PERIOD_NS: u64 = 1_000_000_000;

/// The time between two reads, in times of what a read takes: half a per mille of one CPU.
const READ_COST: u64 = 2000;

/// Running and blocked threads, summed over several looks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LoadSums {
    looks: u64,
    running: u64,
    throttled: u64,
    blocked: u64,
}

impl LoadSums {
    /// Adds a look. The `throttled` are not among the `running`.
    pub(super) const fn add(&mut self, running: u64, throttled: u64, blocked: u64) {
        self.looks += 1;
        self.running = self.running.saturating_add(running);
        self.throttled = self.throttled.saturating_add(throttled);
        self.blocked = self.blocked.saturating_add(blocked);
    }

    /// The averages.
    #[expect(clippy::cast_precision_loss, reason = "averages are shown with one decimal")]
    fn averages(&self) -> SeenLoad {
        let average = |sum: u64| sum as f64 / self.looks.max(1) as f64;
        SeenLoad { running: average(self.running), throttled: average(self.throttled), blocked: average(self.blocked) }
    }
}

/// What was read so far.
#[derive(Debug, Clone, Copy, Default)]
struct Readings {
    sums: LoadSums,
    cpus: u64,
    load: Option<[f64; 3]>,
}

/// The thread that reads the load of the host. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct HostLoadReader {
    readings: Arc<Mutex<Readings>>,
    begin: Sender<Times>,
}

/// When the files are read (CLOCK_MONOTONIC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    next_ns: u64,
    tick_ns: u64,
}

impl Times {
    /// The first time is between two ticks, if the first tick is due at `start_ns` and there are `hz` a second.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; saturates")]
    fn new(start_ns: u64, hz: f64) -> Self {
        let tick_ns = ((1e9 / hz) as u64).clamp(1, MAX_PERIOD_NS);
        Self { next_ns: start_ns.saturating_add(tick_ns / 2), tick_ns }
    }

    /// Sets the next time, again between two ticks, after a read that took `read_ns` and ended at `now_ns`. A read that was late
    /// is followed by one in its time, not by several at once.
    fn advance(&mut self, read_ns: u64, now_ns: u64) {
        let ticks = read_ns.saturating_mul(READ_COST).min(MAX_PERIOD_NS).div_ceil(self.tick_ns);
        let period_ns = ticks.max(1) * self.tick_ns;
        let late = now_ns.saturating_sub(self.next_ns) / period_ns;
        self.next_ns = self.next_ns.saturating_add((late + 1).saturating_mul(period_ns));
    }
}

impl HostLoadReader {
    /// Starts the thread, which waits for [`begin`](Self::begin). It is never joined, because a read may block.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(root: ProcRoot) -> std::io::Result<Self> {
        let (begin, begun) = bounded(1);
        let readings = Arc::<Mutex<Readings>>::default();
        let shared = Arc::clone(&readings);
        let thread = std::thread::Builder::new().name("psn-load".to_owned()).stack_size(256 << 10);
        thread.spawn(move || read_often(&root, &begun, &shared))?;
        Ok(Self { readings, begin })
    }

    /// Has the files read from now on, between ticks: the first one is due at `start_ns`.
    pub(super) fn begin(&self, start_ns: u64, hz: f64) {
        // The thread takes it at once.
        let _ = self.begin.try_send(Times::new(start_ns, hz));
    }

    /// What was read, beside what psn `saw`. `None` if nothing could be read.
    pub(super) fn finish(self, saw: Option<&LoadSums>) -> Option<HostLoad> {
        let Readings { sums, cpus, load } = *self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let SeenLoad { running, blocked, .. } = sums.averages();
        let seen = saw.map(LoadSums::averages);
        (sums.looks > 0).then_some(HostLoad { cpus, load, running, blocked, reads: sums.looks, seen })
    }
}

/// Reads the files until nobody wants it any more, or until they cannot be read.
fn read_often(root: &ProcRoot, begun: &Receiver<Times>, readings: &Mutex<Readings>) {
    let Ok(mut times) = begun.recv() else { return };
    let (mut buffer, mut helper) = (Buffer::default(), HelperThread::default());
    loop {
        let pause = Duration::from_nanos(times.next_ns.saturating_sub(monotonic_ns()));
        if !matches!(begun.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return;
        }
        let begin = monotonic_ns();
        let stat =
            root.read_host_by(&mut helper, c"stat", &mut buffer).ok().and_then(|stat| HostStat::parse(stat).ok());
        let Some(HostStat { cpus, running, blocked }) = stat else { return };
        let load = root.read_host_by(&mut helper, c"loadavg", &mut buffer).ok().and_then(load_averages);
        {
            let mut readings = readings.lock().unwrap_or_else(PoisonError::into_inner);
            // The thread that reads is running.
            readings.sums.add(running.saturating_sub(1), 0, blocked);
            (readings.cpus, readings.load) = (cpus, load.or(readings.load));
        }
        let now = monotonic_ns();
        times.advance(now.saturating_sub(begin), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_between_ticks() {
        for (hz, next_ns, tick_ns) in [
            (20.0, 25_000_000, 50_000_000),
            (3.0, 166_666_666, 333_333_333),
            (1.0, 500_000_000, 1_000_000_000),
            (0.1, 500_000_000, 1_000_000_000),
            (1e12, 0, 1),
        ] {
            assert_eq!(Times::new(7, hz), Times { next_ns: 7 + next_ns, tick_ns }, "{hz} Hz");
        }
    }

    #[test]
    fn a_dear_read_is_rare_but_once_a_second() {
        let next = |hz, read_ns, late_ns| {
            let mut times = Times::new(0, hz);
            let due = times.next_ns;
            times.advance(read_ns, due + read_ns + late_ns);
            times.next_ns - due
        };
        assert_eq!(next(20.0, 100, 0), 50_000_000, "a cheap read: each tick");
        assert_eq!(next(20.0, 60_000, 0), 150_000_000, "whole ticks");
        assert_eq!(next(20.0, 50_000_000, 0), 1_000_000_000);
        assert_eq!(next(3.0, 50_000_000, 0), 1_333_333_332);
        assert_eq!(next(0.1, 100, 0), 1_000_000_000);
        assert_eq!(next(20.0, 100, 130_000_000), 150_000_000, "a late read");
    }

    #[test]
    fn what_was_seen_is_averaged() {
        let mut sums = LoadSums::default();
        [(3, 1, 0), (4, 2, 1)]
            .iter()
            .for_each(|(running, throttled, blocked)| sums.add(*running, *throttled, *blocked));
        assert_eq!(sums.averages(), SeenLoad { running: 3.5, throttled: 1.5, blocked: 0.5 });
        assert_eq!(LoadSums::default().averages(), SeenLoad::default());
    }
}
