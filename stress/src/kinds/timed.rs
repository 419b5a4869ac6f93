//! Asleep for known times, again and again, once the gate is open, with a rest in another call between them. All threads of a kind
//! count their waits and how long these were.

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::thread::futex;

use super::behaviour::{Behaviour, Place};
use super::measured::{MeasuredWaits, WaitCounts};
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
}
