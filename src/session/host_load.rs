//! How busy the host is while it is sampled, as `/proc/stat` and `/proc/loadavg` have it.
//!
//! A thread of its own reads both files, once a second at most and between two ticks, so that psn's own passes are not in the
//! figures. The coordinator never waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::proc::deadline::HelperThread;
use crate::proc::parse::system::{HostStat, load_averages};
use crate::proc::{Buffer, ProcRoot};
use crate::report::{HostLoad, SeenLoad};
use crate::time::clock::monotonic_ns;

/// The shortest time between two reads.
const PERIOD_NS: u64 = 1_000_000_000;

/// Mean and variance of numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    count: u32,
    sum: f64,
    sum_of_squares: f64,
}

impl Moments {
    pub(super) fn add(&mut self, number: f64) {
        self.count += 1;
        self.sum += number;
        self.sum_of_squares += number * number;
    }

    fn mean(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }

    /// The variance of the mean of `count` such numbers.
    fn variance_of_mean(&self, count: u32) -> f64 {
        let variance = self.sum_of_squares / f64::from(self.count.max(1)) - self.mean() * self.mean();
        variance.max(0.0) / f64::from(count.max(1))
    }
}

/// Running and blocked threads, over several looks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LoadMoments {
    running: Moments,
    blocked: Moments,
}

impl LoadMoments {
    /// Adds a look.
    #[expect(clippy::cast_precision_loss, reason = "numbers of threads")]
    pub(super) fn add(&mut self, running: u64, blocked: u64) {
        self.running.add(running as f64);
        self.blocked.add(blocked as f64);
    }
}

/// What was read so far.
#[derive(Debug, Clone, Copy, Default)]
struct Readings {
    moments: LoadMoments,
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
#[derive(Debug, Clone, Copy)]
struct Times {
    first_ns: u64,
    period_ns: u64,
}

impl Times {
    /// Between two ticks, if the first is due at `start_ns` and there are `hz` a second.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and seconds at most")]
    fn between_ticks(start_ns: u64, hz: f64) -> Self {
        let tick_ns = ((1e9 / hz) as u64).max(1);
        let period_ns = if tick_ns < PERIOD_NS { PERIOD_NS.div_ceil(tick_ns) * tick_ns } else { PERIOD_NS };
        Self { first_ns: start_ns.saturating_add(tick_ns.min(PERIOD_NS) / 2), period_ns }
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
        let _ = self.begin.try_send(Times::between_ticks(start_ns, hz));
    }

    /// What was read, and a warning if it differs from what psn `saw` by more than noise. `None` if nothing could be read.
    pub(super) fn finish(self, saw: Option<&LoadMoments>) -> Option<(HostLoad, Option<String>)> {
        let Readings { moments, cpus, load } = *self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.running.count == 0 {
            return None;
        }
        let seen = saw.map(|saw| SeenLoad { running: saw.running.mean(), blocked: saw.blocked.mean() });
        let (running, blocked) = (moments.running.mean(), moments.blocked.mean());
        let reads = moments.running.count.into();
        let warning = saw.and_then(|saw| difference(&moments, saw, cpus));
        Some((HostLoad { cpus, load, running, blocked, reads, seen }, warning))
    }
}

/// Reads the files until nobody wants it any more, or until they cannot be read.
fn read_often(root: &ProcRoot, begun: &Receiver<Times>, readings: &Mutex<Readings>) {
    let Ok(Times { mut first_ns, period_ns }) = begun.recv() else { return };
    let (mut buffer, mut helper) = (Buffer::default(), HelperThread::default());
    loop {
        let pause = Duration::from_nanos(first_ns.saturating_sub(monotonic_ns()));
        if !matches!(begun.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return;
        }
        let Some(stat) = root.read_host_by(&mut helper, c"stat", &mut buffer).ok().map(HostStat::parse) else { return };
        let Ok(HostStat { cpus, running, blocked }) = stat else { return };
        let load = root.read_host_by(&mut helper, c"loadavg", &mut buffer).ok().and_then(load_averages);
        {
            let mut readings = readings.lock().unwrap_or_else(PoisonError::into_inner);
            // The thread that reads is running.
            readings.moments.add(running.saturating_sub(1), blocked);
            (readings.cpus, readings.load) = (cpus, load.or(readings.load));
        }
        // A read that was late is followed by one in its time, not by several at once.
        let late = monotonic_ns().saturating_sub(first_ns) / period_ns;
        first_ns = first_ns.saturating_add((late + 1).saturating_mul(period_ns));
    }
}

/// The warning if psn saw another number of threads in states R and D than the kernel counts, by more than noise.
fn difference(host: &LoadMoments, saw: &LoadMoments, cpus: u64) -> Option<String> {
    /// With fewer reads their spread is not known.
    const MIN_READS: u32 = 5;
    let reads = host.running.count;
    if reads < MIN_READS {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of CPUs")]
    let is_noise = |host: &Moments, saw: &Moments| {
        let error = (host.variance_of_mean(reads) + saw.variance_of_mean(reads)).sqrt();
        // On each CPU a thread may be between two states. Linux 6.12 and later count some threads that already sleep.
        let in_between = cpus as f64 + 0.2 * host.mean().max(saw.mean());
        (host.mean() - saw.mean()).abs() <= 5.0 * error + in_between
    };
    let (running, saw_running) = (host.running.mean(), saw.running.mean());
    if !is_noise(&host.running, &saw.running) {
        let why = if saw_running < running {
            "threads are hidden from psn, or it missed them"
        } else {
            "threads that may not run because the CPU quota of their cgroup is used up are in state R, and not in \
             /proc/stat"
        };
        return Some(format!(
            "psn saw {saw_running:.1} threads in state R on average, and /proc/stat counted {running:.1} running: {why}"
        ));
    }
    // State D has threads that wait for locks as well, which /proc/stat does not count.
    let (blocked, saw_blocked) = (host.blocked.mean(), saw.blocked.mean());
    (saw_blocked < blocked && !is_noise(&host.blocked, &saw.blocked)).then(|| {
        format!(
            "psn saw {saw_blocked:.1} threads in state D on average, and /proc/stat counted {blocked:.1} blocked: threads are \
             hidden from psn, or it missed them"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at which so many threads ran and were blocked.
    fn looks(looks: &[(u64, u64)]) -> LoadMoments {
        let mut moments = LoadMoments::default();
        looks.iter().for_each(|(running, blocked)| moments.add(*running, *blocked));
        moments
    }

    #[test]
    fn files_are_read_once_a_second_at_most_and_between_ticks() {
        for (hz, first_ns, period_ns) in [
            (20.0, 25_000_000, 1_000_000_000),
            (3.0, 166_666_666, 1_333_333_332),
            (1000.0, 500_000, 1_000_000_000),
            (1.0, 500_000_000, 1_000_000_000),
            (0.1, 500_000_000, 1_000_000_000),
        ] {
            let times = Times::between_ticks(7, hz);
            assert_eq!((times.first_ns, times.period_ns), (7 + first_ns, period_ns), "{hz} Hz");
        }
    }

    #[test]
    fn only_differences_beyond_noise_are_told() {
        let host = looks(&[(40, 9); 10]);
        assert_eq!(difference(&host, &looks(&[(40, 9); 200]), 2), None);
        assert_eq!(difference(&host, &looks(&[(36, 7); 200]), 2), None, "threads between two states");
        assert_eq!(difference(&host, &looks(&[(40, 500); 200]), 2), None, "threads that wait for locks");
        let fewer = difference(&host, &looks(&[(20, 9); 200]), 2).unwrap();
        assert!(fewer.contains("saw 20.0") && fewer.contains("counted 40.0") && fewer.contains("hidden"), "{fewer}");
        let more = difference(&host, &looks(&[(80, 9); 200]), 2).unwrap();
        assert!(more.contains("quota"), "{more}");
        let blocked = difference(&host, &looks(&[(40, 2); 200]), 2).unwrap();
        assert!(blocked.contains("state D") && blocked.contains("counted 9.0"), "{blocked}");
        assert_eq!(difference(&looks(&[(40, 9); 4]), &looks(&[(0, 0); 80]), 2), None, "too few reads");
        let unsteady = looks(&[(0, 0), (100, 0), (0, 0), (100, 0), (0, 0), (100, 0)]);
        assert_eq!(difference(&unsteady, &looks(&[(10, 0); 120]), 2), None, "a host whose load is unsteady");
    }
}
