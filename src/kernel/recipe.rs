//! From what is known of the host to a program in its kernel.

use std::io;
use std::path::Path;

use crate::kernel::Level;
use crate::kernel::bpf::btf::Btf;
use crate::kernel::bpf::sys::{LoadError, Memory, Program, ProgramKind, Shared, Step};
use crate::kernel::host::{self, Namespaces};
use crate::kernel::layout::Layout;
use crate::kernel::program;
use crate::kernel::record::{Parts, SEEN_SIZE, control};
use crate::kernel::state::State;
use crate::kernel::unavailable::Unavailable;
use crate::proc::ProcRoot;
use crate::proc::host::within;

/// What every program of ours starts from.
#[derive(Debug)]
pub struct Ground {
    /// Where the kernel's fields lie.
    pub(super) layout: Layout,
    namespaces: Namespaces,
    /// How it tells when a task started.
    pub(super) clock: BootClock,
    /// The number of tasks on the host, of all PID namespaces, roughly; 0 if it can not be told.
    pub tasks: u64,
}

impl Ground {
    /// Looks whether a program may be tried at all, and what it has to know.
    ///
    /// # Errors
    /// Why not.
    pub fn survey(root: &ProcRoot, btf_path: &Path) -> Result<Self, Unavailable> {
        let namespaces = host::check(root)?;
        let path = btf_path.to_owned();
        let bytes = within(host::SYSFS_PATIENCE, move || std::fs::read(path));
        let bytes = bytes
            .unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| Unavailable::NoBtf { path: btf_path.to_owned(), error })?;
        let btf = Btf::parse(&bytes).map_err(|error| Unavailable::Btf { path: btf_path.to_owned(), error })?;
        let layout = Layout::find(&btf).map_err(|lacks| Unavailable::Kernel { lacks, since: "5.8" })?;
        host::raise_locked_memory();
        Ok(Self { layout, namespaces, clock: BootClock::of(root), tasks: host::count_tasks(root) })
    }

    /// How deep the PID namespace of the proc root lies.
    fn namespace_level(&self, level: Level) -> Result<u32, Unavailable> {
        if self.namespaces.is_init {
            return Ok(0);
        }
        if level == Level::Iterator && self.namespaces.levels_up > 0 {
            return Err(Unavailable::PidNamespace(
                "the proc root belongs to a PID namespace above psn's own, and this kernel's iterator shows psn's own alone",
            ));
        }
        let layout = &self.layout;
        let ids = layout.ids.ok_or(Unavailable::PidNamespace("this kernel's PID namespaces are not understood"))?;
        let memory = Memory::with_control(new_shared("control", control::SIZE)?);
        let code = program::own_level(layout, ids, &memory).map_err(Unavailable::Program)?;
        let mut program = load("level", level, kind(layout, level)?, &code, memory)?;
        run_once(&mut program, level)
            .map_err(|error| Unavailable::System { what: "finding psn's namespace", error })?;
        let own = u32::try_from(program.memory().control.get(control::LEVEL)).ok();
        let root = own.and_then(|own| self.namespaces.level(own));
        root.ok_or(Unavailable::PidNamespace("psn's PID namespace is not where the proc root has it"))
    }
}

/// How the kernel is asked to run a program of this level.
fn kind(layout: &Layout, level: Level) -> Result<ProgramKind, Unavailable> {
    match level {
        Level::OpenCoded => Ok(ProgramKind::Syscall),
        Level::Iterator => layout.iterator.map(ProgramKind::Iterator).ok_or(NO_ITERATOR),
    }
}

fn run_once(program: &mut Program, level: Level) -> io::Result<()> {
    match level {
        Level::OpenCoded => program.run(),
        Level::Iterator => {
            let mut iteration = program.iterate()?;
            while program.step(&mut iteration)? == Step::Paused {}
            Ok(())
        }
    }
}

/// What a program is made from: kept, for it is made anew when it needs more memory.
#[derive(Debug)]
pub struct Recipe {
    layout: Layout,
    /// What it takes of each task.
    pub parts: Parts,
    /// How it walks.
    pub level: Level,
    /// How deep the PID namespace of the proc root lies.
    namespace_level: u32,
}

/// The memory to make a program with.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// For records, in bytes.
    pub records: usize,
    /// Tasks for which there are places to note what was seen of them.
    pub tasks: u64,
    /// Whether there is a bit for each process id.
    pub processes: bool,
    /// Whether there is one for each thread id.
    pub threads: bool,
}

impl Recipe {
    /// For a walk of this level.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn new(ground: &Ground, parts: Parts, level: Level) -> Result<Self, Unavailable> {
        let layout = ground.layout.clone();
        Ok(Self { parts: layout.reduce(parts), layout, level, namespace_level: ground.namespace_level(level)? })
    }

    /// The size of a record with the deepest stack.
    #[must_use]
    pub fn largest_record(&self) -> usize {
        usize::try_from(self.parts.size() + self.parts.frames_size()).unwrap_or(usize::MAX)
    }

    /// Few records are larger: half of the deepest stack is deeper than most.
    #[must_use]
    pub fn common_record(&self) -> usize {
        usize::try_from(self.parts.size() + self.parts.frames_size() / 2).unwrap_or(usize::MAX)
    }

    /// Places for what was seen of so many tasks, in bytes: 64 a task, so that with ids spread at random few tasks share
    /// theirs, which costs each of them a stack at each walk; from 65,536 tasks on there is a place for each id there can be.
    /// `benches/kernel_walk.rs`, 1,000 threads: with 8 a task, `-a, everything` costs three times as much.
    #[must_use]
    pub fn seen_bytes(tasks: u64) -> usize {
        const MIN_PLACES: u64 = 1 << 16;
        let places = tasks.saturating_mul(64).clamp(MIN_PLACES, program::PID_LIMIT.into()).next_power_of_two();
        usize::try_from(places).unwrap_or_default() * SEEN_SIZE
    }

    /// Makes the program and its memory.
    ///
    /// # Errors
    /// Why it can not be had.
    pub fn make(&self, room: Room) -> Result<Program, Unavailable> {
        const BITMAP_BYTES: usize = program::PID_LIMIT as usize / 8;
        let if_wanted = |wanted: bool, name, bytes| wanted.then(|| new_shared(name, bytes)).transpose();
        let mut control = new_shared("control", control::SIZE)?;
        fill_state_table(&mut control);
        self.load(Memory {
            records: Some(new_shared("records", room.records.max(self.largest_record()))?),
            processes: if_wanted(room.processes, "processes", BITMAP_BYTES)?,
            threads: if_wanted(room.threads, "threads", BITMAP_BYTES)?,
            seen: if_wanted(self.parts.takes_wait(), "seen", Self::seen_bytes(room.tasks))?,
            ..Memory::with_control(control)
        })
    }

    /// Makes the program anew, with the same settings and other room.
    ///
    /// # Errors
    /// Why it can not be had.
    pub fn remake(&self, old: &Memory, records: usize, tasks: u64) -> Result<Program, Unavailable> {
        let room = Room { records, tasks, processes: old.processes.is_some(), threads: old.threads.is_some() };
        let mut program = self.make(room)?;
        let memory = program.memory_mut();
        memory.control.copy_from(&old.control);
        for (to, from) in [(&mut memory.processes, &old.processes), (&mut memory.threads, &old.threads)] {
            if let (Some(to), Some(from)) = (to, from) {
                to.copy_from(from);
            }
        }
        Ok(program)
    }

    fn load(&self, memory: Memory) -> Result<Program, Unavailable> {
        let (layout, namespace) = (&self.layout, self.namespace_level);
        let code = match self.level {
            Level::OpenCoded => {
                program::open_coded(layout, layout.walk.ok_or(NO_LOOP)?, &memory, self.parts, namespace)
            }
            Level::Iterator => program::iterator(layout, &memory, self.parts, namespace),
        };
        let code = code.map_err(Unavailable::Program)?;
        load("walk", self.level, kind(layout, self.level)?, &code, memory)
    }
}

/// Which state each combination of reported bits is.
fn fill_state_table(control: &mut Shared) {
    let mut indexes = (0..=u8::MAX).map(|bits| State::of_bits(bits).index());
    for place in (control::STATES..control::STATES + control::STATES_LEN).step_by(8) {
        let word = std::array::from_fn(|_| indexes.next().unwrap_or_default());
        control.set(place, u64::from_ne_bytes(word));
    }
}

/// What a kernel without open-coded task iterators says.
pub const NO_LOOP: Unavailable =
    Unavailable::Kernel { lacks: "task iterator for programs (bpf_iter_task_new)", since: "6.7" };
const NO_ITERATOR: Unavailable = Unavailable::Kernel { lacks: "BPF iterator over tasks", since: "5.8" };

/// Memory that a program will share with us.
///
/// # Errors
/// Why it can not be had.
pub fn new_shared(name: &str, bytes: usize) -> Result<Shared, Unavailable> {
    Shared::new(name, bytes).map_err(|error| refusal("memory for the walk", error))
}

/// Loads a program.
///
/// # Errors
/// Why the kernel does not accept it.
pub fn load(name: &str, level: Level, kind: ProgramKind, code: &[u64], memory: Memory) -> Result<Program, Unavailable> {
    Program::load(name, kind, code, memory).map_err(|LoadError { error, log }| match error.raw_os_error() {
        Some(libc::EACCES | libc::EINVAL | libc::E2BIG) => {
            Unavailable::Verifier { level, error, log, is_locked_down: host::is_locked_down() }
        }
        _ => refusal("loading the walk", error),
    })
}

fn refusal(what: &'static str, error: io::Error) -> Unavailable {
    match error.raw_os_error() {
        Some(libc::EPERM) if host::accounts_locked_memory() => Unavailable::LockedMemory,
        Some(libc::EPERM) => Unavailable::Refused(error),
        Some(libc::ENOSYS) => Unavailable::Kernel { lacks: "bpf(2)", since: "5.8 with CONFIG_BPF_SYSCALL" },
        _ => Unavailable::System { what, error },
    }
}

/// How the kernel tells when a task started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootClock {
    /// Of USER_HZ, the unit of /proc.
    pub ns_per_tick: u64,
    /// The boot clock's offset in psn's time namespace.
    pub offset_ns: i64,
}

impl BootClock {
    fn of(root: &ProcRoot) -> Self {
        let ns_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        Self { ns_per_tick: ns_per_tick.max(1), offset_ns: host::boottime_offset_ns(root) }
    }

    /// A time of the kernel's boot clock in the unit of field 22 of `stat`.
    #[must_use]
    pub const fn ticks(self, start_boottime_ns: u64) -> u64 {
        start_boottime_ns.wrapping_add_signed(self.offset_ns) / self.ns_per_tick
    }
}
