//! Asleep for known times, again and again, once the gate is open, with a rest in another call between them. All threads of a kind
//! count their waits and how long these were.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::thread::futex;

use super::behaviour::{Behaviour, Place};
use crate::sys::memory::shared_u64s;
use crate::sys::nap;

/// The call that a thread sleeps in.
#[derive(Clone, Copy)]
pub(super) enum SleepCall {
    /// `clock_nanosleep`
    Nap,
    /// `futex` with a time limit, on a word that no other thread uses.
    Futex,
}

/// How long the waits are, before the kernel's own delay.
#[derive(Clone, Copy)]
pub(super) enum Lengths {
    /// All of them 40 ms.
    Constant,
    /// Exponential, 40 ms on average.
    Exponential,
    /// Nine of ten 10 ms, one 150 ms.
    TwoHumps,
}

impl Lengths {
    fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Constant => Duration::from_millis(40),
            Self::Exponential => Duration::from_millis(40).mul_f64(-random.uniform().ln()),
            Self::TwoHumps => Duration::from_millis(if random.uniform() < 0.1 { 150 } else { 10 }),
        }
    }
}

/// The generator splitmix64.
struct Random(u64);

impl Random {
    /// Above 0, up to 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

pub(super) struct Timed {
    call: SleepCall,
    lengths: Lengths,
    waits: WaitCounts,
}

impl Timed {
    pub(super) fn open(call: SleepCall, lengths: Lengths) -> io::Result<Self> {
        Ok(Self { call, lengths, waits: WaitCounts::open()? })
    }
}

impl Behaviour for Timed {
    fn run(&self, place: &Place<'_>) -> ! {
        let mut random = Random((place.slot as u64) << 20);
        let delays = CpuDelays::open();
        let word = AtomicU32::new(0);
        place.board.wait_at_gate();
        rest(LONGEST_REST.mul_f64(random.uniform()));
        let mut before_ns = delays.total_ns();
        loop {
            let length = self.lengths.draw(&mut random);
            let began = Instant::now();
            match self.call {
                SleepCall::Nap => nap(length),
                SleepCall::Futex => {
                    let limit = length.try_into().ok();
                    let _ = futex::wait(&word, futex::Flags::PRIVATE, 0, limit.as_ref());
                }
            }
            let all_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let after_ns = delays.total_ns();
            self.waits.add(all_ns.saturating_sub(after_ns.saturating_sub(before_ns)));
            // Threads that always wait equally long would go on to wait at the same time, if they once do.
            rest(LONGEST_REST.mul_f64(random.uniform()));
            before_ns = delays.total_ns();
        }
    }

    fn measured(&self) -> Option<MeasuredWaits> {
        Some(self.waits.measured())
    }
}

/// Between two waits, threads rest for up to this.
const LONGEST_REST: Duration = Duration::from_millis(20);

/// Sleeps in another call than those of the kinds.
fn rest(time: Duration) {
    let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
    let _ = rustix::event::poll(&mut [], Some(&time));
}

/// How long the calling thread has waited for a CPU, which is no part of the wait before that. Always 0 if the kernel does not tell.
struct CpuDelays(Option<OwnedFd>);

impl CpuDelays {
    fn open() -> Self {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Self(rustix::fs::open(c"/proc/thread-self/schedstat", flags, Mode::empty()).ok())
    }

    fn total_ns(&self) -> u64 {
        let mut line = [0_u8; 80];
        let Some(Ok(len)) = self.0.as_ref().map(|file| rustix::io::pread(file, &mut line, 0)) else { return 0 };
        let line = str::from_utf8(line.get(..len).unwrap_or(&[])).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0)
    }
}

/// What the threads of a kind have measured of their waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MeasuredWaits {
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Ranges of lengths per factor of two.
const PER_OCTAVE: usize = 32;

/// The length below which all waits are in the first range, nanoseconds.
const LEAST_NS: f64 = 1000.0;

/// Up to 18 minutes.
const RANGES: usize = 30 * PER_OCTAVE;

/// How many waits there were of each length, in memory that all processes of the storm share.
struct WaitCounts {
    sum_ns: &'static AtomicU64,
    ranges: &'static [AtomicU64],
}

impl WaitCounts {
    fn open() -> io::Result<Self> {
        let (sum_ns, ranges) = shared_u64s(1 + RANGES)?.split_first().ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { sum_ns, ranges })
    }

    fn add(&self, length_ns: u64) {
        let place = ((length_ns as f64 / LEAST_NS).max(1.0).log2() * PER_OCTAVE as f64) as usize;
        if let Some(range) = self.ranges.get(place.min(RANGES - 1)) {
            range.fetch_add(1, Ordering::Relaxed);
            self.sum_ns.fetch_add(length_ns, Ordering::Relaxed);
        }
    }

    /// What was counted up to now. Percentiles are exact to 1%.
    fn measured(&self) -> MeasuredWaits {
        let ranges: Vec<u64> = self.ranges.iter().map(|range| range.load(Ordering::Relaxed)).collect();
        let count: u64 = ranges.iter().sum();
        let percentile = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let place = ranges.iter().position(|waits| {
                seen += waits;
                seen >= rank
            });
            place.map_or(0.0, |place| LEAST_NS / 1e6 * ((place as f64 + 0.5) / PER_OCTAVE as f64).exp2())
        };
        MeasuredWaits {
            count,
            mean_ms: self.sum_ns.load(Ordering::Relaxed) as f64 / 1e6 / count.max(1) as f64,
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_told() {
        let mut random = Random(1);
        let mut of = |lengths: Lengths| {
            let mut drawn: Vec<f64> = (0..20_000).map(|_| lengths.draw(&mut random).as_secs_f64() * 1e3).collect();
            drawn.sort_by(f64::total_cmp);
            (drawn.iter().sum::<f64>() / 20_000.0, drawn[10_000], drawn[19_800])
        };
        assert!((of(Lengths::Constant).0 - 40.0).abs() < 1e-6);
        let (mean, median, p99) = of(Lengths::Exponential);
        assert!((38.0..42.0).contains(&mean) && (26.4..29.2).contains(&median) && (172.0..196.0).contains(&p99));
        let (mean, median, p99) = of(Lengths::TwoHumps);
        assert!((23.0..25.0).contains(&mean) && (median, p99) == (10.0, 150.0), "{mean} {median} {p99}");
    }

    #[test]
    fn counts_tell_the_mean_and_percentiles() {
        let waits = WaitCounts::open().unwrap();
        assert_eq!((waits.measured().count, waits.measured().p99_ms), (0, 0.0));
        (1..=1000).for_each(|number| waits.add(number * 1_000_000));
        let found = waits.measured();
        assert_eq!((found.count, found.mean_ms), (1000, 500.5));
        for (value, truth) in [(found.p50_ms, 500.0), (found.p95_ms, 950.0), (found.p99_ms, 990.0)] {
            assert!((value / truth - 1.0_f64).abs() < 0.03, "{value} {truth}");
        }
        waits.add(0);
        waits.add(u64::MAX / 2);
        assert_eq!(waits.measured().count, 1002);
    }
}
