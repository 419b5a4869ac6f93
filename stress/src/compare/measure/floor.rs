//! The floor: a tight loop with only the reads that a sampler cannot do without.
//!
//! A floor runs in a separate child process, so that its CPU time can be measured. It lists the host's tasks, opens the
//! files that it is to keep, and then visits every task again and again: flat out, or at the same deadlines as the sampler
//! that it is compared with. It starts to measure after two passes, when every kept file has been read once and every name
//! is in the kernel's cache.

use std::ffi::CString;
use std::fs;
use std::hint::black_box;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, openat, seek};
use rustix::io::{Errno, pread, read};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::compare::figures::Kept;

/// The number of bytes that each read asks for, the same as psn's.
const READ_SIZE: usize = 4096;

/// Passes before the first one that is measured.
const WARM_UP: u32 = 2;

const OPEN_FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// The arguments of a floor.
#[derive(Clone, Debug, Args)]
pub(crate) struct FloorArgs {
    /// How the files are reached
    #[arg(long, value_enum, default_value_t = Reach::Dir)]
    pub(crate) reach: Reach,

    /// A file of each task, and of how many tasks it is kept open
    #[arg(long = "file", value_name = "NAME=KEPT", required = true)]
    pub(crate) files: Vec<Kept>,

    /// Threads among which the tasks are dealt
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: usize,

    /// Passes per second; 0 is flat out
    #[arg(long, default_value_t = 0.0)]
    pub(crate) hz: f64,

    /// How long to measure
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,
}

/// How the files that are not kept are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reach {
    /// `openat` relative to the kept `task` directory of the process, `pread`, `close`
    Dir,
    /// `open` by the full path, `read`, `close`
    Path,
    /// No files at all: `getdents` on the kept `task` directories
    List,
}

/// What a floor has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FloorOutcome {
    /// Tasks visited in each pass.
    pub(crate) tasks: u64,
    /// Passes completed.
    pub(crate) passes: f64,
    /// How long they took, with the pauses between them.
    pub(crate) seconds: f64,
    /// CPU time they took, user and system, of all threads.
    pub(crate) cpu_s: f64,
    /// Passes per second: the sum, over the workers, of the share of a pass that each completed in its own time.
    pub(crate) passes_per_s: f64,
    /// Files kept open.
    pub(crate) kept: u64,
    /// Reads that failed: tasks that ended.
    pub(crate) failed: u64,
}

/// A read that each pass makes.
enum Visit {
    Kept(OwnedFd),
    Under { dir: usize, name: CString },
    ByPath(CString),
    List { dir: usize },
}

/// All visits of a pass, and the directories they start from.
struct Tour {
    dirs: Vec<OwnedFd>,
    visits: Vec<Visit>,
    tasks: u64,
    kept: u64,
}

/// Runs the floor.
pub(crate) fn run(args: &FloorArgs) -> io::Result<FloorOutcome> {
    let tour = Tour::new(args)?;
    let workers = args.workers.clamp(1, tour.visits.len().max(1));
    let shares: Vec<&[Visit]> = (0..workers)
        .map(|worker| {
            let place = |worker: usize| tour.visits.len() * worker / workers;
            &tour.visits[place(worker)..place(worker + 1)]
        })
        .collect();
    let ready = Barrier::new(workers + 1);
    let (cpu, laps) = thread::scope(|scope| {
        let threads: Vec<_> =
            shares.iter().map(|share| scope.spawn(|| Runner { tour: &tour, share, args }.run(&ready))).collect();
        ready.wait();
        let cpu = process_cpu();
        let laps: Vec<Lap> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
        (process_cpu().saturating_sub(cpu), laps)
    });
    let visits = tour.visits.len() as f64;
    let part = |share: usize| shares.get(share).map_or(0.0, |share| share.len() as f64 / visits);
    let passes = laps.iter().enumerate().map(|(worker, lap)| f64::from(lap.passes) * part(worker)).sum();
    let rates = laps.iter().enumerate().map(|(worker, lap)| f64::from(lap.passes) * part(worker) / lap.seconds);
    Ok(FloorOutcome {
        tasks: tour.tasks,
        passes,
        seconds: laps.iter().map(|lap| lap.seconds).fold(0.0, f64::max),
        cpu_s: cpu.as_secs_f64(),
        passes_per_s: rates.sum(),
        kept: tour.kept,
        failed: laps.iter().map(|lap| lap.failed).sum(),
    })
}

/// What one worker has done.
struct Lap {
    passes: u32,
    seconds: f64,
    failed: u64,
}

/// One worker with its share.
struct Runner<'a> {
    tour: &'a Tour,
    share: &'a [Visit],
    args: &'a FloorArgs,
}

impl Runner<'_> {
    fn run(&self, ready: &Barrier) -> Lap {
        let mut buffer = vec![0; READ_SIZE];
        if self.args.reach == Reach::List {
            buffer.reserve_exact(4 << 20);
        }
        for _ in 0..WARM_UP {
            self.pass(&mut buffer);
        }
        ready.wait();
        let (begin, start) = (clock_gettime(ClockId::Monotonic), Instant::now());
        let mut lap = Lap { passes: 0, seconds: 0.0, failed: 0 };
        let period = (self.args.hz > 0.0).then(|| 1.0 / self.args.hz);
        loop {
            if let Some(period) = period {
                // A pass whose deadline has passed starts at once.
                sleep_until(begin, Duration::from_secs_f64(f64::from(lap.passes) * period));
            }
            lap.failed += self.pass(&mut buffer);
            lap.passes += 1;
            let due = period.map_or(start.elapsed().as_secs_f64(), |period| f64::from(lap.passes) * period);
            if due >= self.args.seconds - 1e-9 {
                break;
            }
        }
        lap.seconds = start.elapsed().as_secs_f64().max(period.unwrap_or(0.0) * f64::from(lap.passes));
        lap
    }

    /// Visits the share once; returns how many reads failed.
    fn pass(&self, buffer: &mut Vec<u8>) -> u64 {
        let mut failed = 0;
        for visit in self.share {
            failed += u64::from(self.tour.visit(visit, buffer).is_err());
        }
        failed
    }
}

impl Tour {
    #[inline]
    fn visit(&self, visit: &Visit, buffer: &mut Vec<u8>) -> Result<(), Errno> {
        match visit {
            Visit::Kept(fd) => {
                pread(fd, &mut **buffer, 0)?;
            }
            Visit::Under { dir, name } => {
                let fd = openat(&self.dirs[*dir], name, OPEN_FILE, Mode::empty())?;
                pread(&fd, &mut **buffer, 0)?;
            }
            Visit::ByPath(path) => {
                let fd = rustix::fs::open(path, OPEN_FILE, Mode::empty())?;
                read(&fd, &mut **buffer)?;
            }
            Visit::List { dir } => {
                let dir = self.dirs[*dir].as_fd();
                seek(dir, SeekFrom::Start(0))?;
                let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
                while let Some(entry) = entries.next() {
                    black_box(entry?.file_name());
                }
            }
        }
        black_box(&mut **buffer);
        Ok(())
    }

    /// Lists the host's tasks, without this process, and opens the files to be kept.
    fn new(args: &FloorArgs) -> io::Result<Self> {
        let most = raise_fd_limit();
        let mut tour = Self { dirs: Vec::new(), visits: Vec::new(), tasks: 0, kept: 0 };
        let mut left: Vec<Kept> = args.files.clone();
        // Directory 0 is the proc root: files are reached from it once no more directories can be kept open.
        tour.dirs.push(rustix::fs::open("/proc", OPEN_DIR, Mode::empty())?);
        for pid in numbers(Path::new("/proc"))?.into_iter().filter(|pid| *pid != std::process::id()) {
            let path = format!("/proc/{pid}/task");
            // The process may have ended since it was listed.
            let Ok(tids) = numbers(Path::new(&path)) else { continue };
            let mut dir = 0;
            if args.reach != Reach::Path && (tour.dirs.len() as u64) < most / 4 {
                let Ok(fd) = rustix::fs::open(&path, OPEN_DIR, Mode::empty()) else { continue };
                dir = tour.dirs.len();
                tour.dirs.push(fd);
            }
            if args.reach == Reach::List {
                tour.tasks += tids.len() as u64;
                tour.visits.push(Visit::List { dir });
                continue;
            }
            for tid in tids {
                tour.tasks += 1;
                for kept in &mut left {
                    tour.add(args.reach, dir, &path, tid, kept)?;
                }
            }
        }
        Ok(tour)
    }

    fn add(&mut self, reach: Reach, dir: usize, path: &str, tid: u32, left: &mut Kept) -> io::Result<()> {
        let file = &left.file;
        let full = CString::new(format!("{path}/{tid}/{file}"))?;
        if left.count > 0
            && let Ok(fd) = rustix::fs::open(&full, OPEN_FILE, Mode::empty())
        {
            left.count -= 1;
            self.kept += 1;
            self.visits.push(Visit::Kept(fd));
            return Ok(());
        }
        self.visits.push(match (reach, dir) {
            (Reach::Path, _) => Visit::ByPath(full),
            (_, 0) => Visit::Under { dir, name: CString::new(format!("{}/{tid}/{file}", &path["/proc/".len()..]))? },
            _ => Visit::Under { dir, name: CString::new(format!("{tid}/{file}"))? },
        });
        Ok(())
    }
}

/// The entries of a directory that are numbers, ascending.
fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(dir)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u32> = entries.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn raise_fd_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // If the limit cannot be raised, fewer files are kept.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Sleeps until `after` has passed since `begin`.
fn sleep_until(begin: Timespec, after: Duration) {
    let nanoseconds = begin.tv_nsec + i64::from(after.subsec_nanos());
    let until = Timespec {
        tv_sec: begin.tv_sec + after.as_secs().cast_signed() + nanoseconds / 1_000_000_000,
        tv_nsec: nanoseconds % 1_000_000_000,
    };
    while clock_nanosleep_absolute(ClockId::Monotonic, &until) == Err(Errno::INTR) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(reach: Reach, files: &str, hz: f64) -> FloorArgs {
        let files = files.split(',').map(|file| file.parse().unwrap()).collect();
        FloorArgs { reach, files, workers: 2, hz, seconds: 0.05 }
    }

    #[test]
    fn every_reach_visits_the_host() {
        for (reach, files) in [(Reach::Dir, "stat=5,wchan=0"), (Reach::Path, "stat=0"), (Reach::List, "stat=0")] {
            let outcome = run(&args(reach, files, 0.0)).unwrap();
            assert!(outcome.tasks >= 1 && outcome.passes >= 1.0 && outcome.passes_per_s > 0.0, "{outcome:?}");
            assert_eq!(outcome.kept, if files.contains('5') { 5 } else { 0 });
        }
    }

    #[test]
    fn a_pace_is_kept() {
        let outcome = run(&args(Reach::Dir, "stat=0", 100.0)).unwrap();
        assert!((outcome.passes - 5.0).abs() < 1e-9, "{outcome:?}");
        assert!(outcome.seconds >= 0.05 - 1e-9);
    }
}
