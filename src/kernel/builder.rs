//! Makes the programs: surveys the host, makes the memory, assembles and loads.

use std::io;
use std::path::Path;

use crate::kernel::Level;
use crate::kernel::bpf::btf::Btf;
use crate::kernel::bpf::sys::{LoadError, Maps, Program, ProgramKind, SharedMap, Step};
use crate::kernel::clock::BootClock;
use crate::kernel::control;
use crate::kernel::host::{self, Namespaces};
use crate::kernel::layout::KernelLayout;
use crate::kernel::parts::namespace::Namespace;
use crate::kernel::parts::state::TaskState;
use crate::kernel::parts::{Parts, RecordLayout};
use crate::kernel::program::{self, SEEN_SIZE};
use crate::kernel::unavailable::Unavailable;
use crate::proc::ProcRoot;
use crate::proc::host::within;

/// What psn knows of the host before it makes a program.
#[derive(Debug)]
pub struct HostInfo {
    /// Where the kernel keeps what a walk reads.
    pub(super) layout: KernelLayout,
    namespaces: Namespaces,
    /// For the times at which tasks started.
    pub(super) clock: BootClock,
    /// The number of tasks on the host, of all PID namespaces, roughly; 0 if it is not known.
    pub tasks: u64,
}

impl HostInfo {
    /// Checks that psn may load programs, and reads the kernel's types.
    ///
    /// # Errors
    /// Why there can be no walk.
    pub fn survey(root: &ProcRoot, btf_path: &Path) -> Result<Self, Unavailable> {
        let namespaces = host::check(root)?;
        let path = btf_path.to_owned();
        let bytes = within(host::SYSFS_PATIENCE, move || std::fs::read(path));
        let bytes = bytes
            .unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| Unavailable::NoBtf { path: btf_path.to_owned(), error })?;
        let btf = Btf::parse(&bytes).map_err(|error| Unavailable::Btf { path: btf_path.to_owned(), error })?;
        let layout = KernelLayout::find(&btf).map_err(|lacks| Unavailable::Kernel { lacks, since: "5.8" })?;
        host::raise_locked_memory();
        Ok(Self { layout, namespaces, clock: BootClock::of(root), tasks: host::count_tasks(root) })
    }

    /// The depth of the PID namespace of the proc root; 0 for the host's own.
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
        let maps = Maps::with_control(new_map("control", control::SIZE)?);
        let code = program::own_level(ids, &maps).map_err(Unavailable::Program)?;
        let mut program = load("level", level, kind(layout, level)?, &code, maps)?;
        run_once(&mut program, level)
            .map_err(|error| Unavailable::System { what: "finding psn's namespace", error })?;
        let own = u32::try_from(program.maps().control.get(control::LEVEL)).ok();
        let root = own.and_then(|own| self.namespaces.level(own));
        root.ok_or(Unavailable::PidNamespace("psn's PID namespace is not where the proc root has it"))
    }
}

/// The way a program of this level is run.
fn kind(layout: &KernelLayout, level: Level) -> Result<ProgramKind, Unavailable> {
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

/// All that a program is made from but its memory. It is kept, because a program that needs more memory is made anew.
#[derive(Debug)]
pub struct ProgramBuilder {
    layout: KernelLayout,
    /// The form of its records.
    pub record_layout: RecordLayout,
    /// The way it walks.
    pub level: Level,
    /// The PID namespace of the proc root; `None` if that is the host's own.
    namespace: Option<Namespace>,
}

/// The sizes of a program's memory.
#[derive(Debug, Clone, Copy)]
pub struct MapSizes {
    /// Bytes for records.
    pub records: usize,
    /// The number of tasks for which there are places for the tokens of their waits.
    pub tasks: u64,
    /// Whether there is a bit for each process id, so that processes can be selected.
    pub processes: bool,
    /// The same for threads.
    pub threads: bool,
}

impl ProgramBuilder {
    /// The recipe for a walk of this level that takes these parts, less those that the kernel cannot give.
    ///
    /// # Errors
    /// Why there can be no such walk.
    pub fn new(host: &HostInfo, parts: Parts, level: Level) -> Result<Self, Unavailable> {
        let layout = host.layout.clone();
        let record_layout = RecordLayout::new(&layout.parts, parts);
        let namespace = Namespace::new(layout.ids, host.namespace_level(level)?);
        Ok(Self { layout, record_layout, level, namespace })
    }

    /// The size of a record with the deepest stack.
    #[must_use]
    pub fn largest_record(&self) -> usize {
        usize::try_from(self.record_layout.long() + self.record_layout.max_frames_bytes()).unwrap_or(usize::MAX)
    }

    /// A size that few records exceed: most stacks are less than half as deep as the deepest.
    #[must_use]
    pub fn common_record(&self) -> usize {
        usize::try_from(self.record_layout.long() + self.record_layout.max_frames_bytes() / 2).unwrap_or(usize::MAX)
    }

    /// Bytes for the tokens of the waits of so many tasks: 64 places a task, so that few tasks share a place if ids are spread at
    /// random. Two that share one cost a stack each in each walk. From 65,536 tasks on there is a place for each possible id.
    /// `benches/kernel_walk.rs`, 1,000 threads: with 8 a task, `-a, everything` costs three times as much.
    #[must_use]
    pub fn seen_bytes(tasks: u64) -> usize {
        const MIN_PLACES: u64 = 1 << 16;
        let places = tasks.saturating_mul(64).clamp(MIN_PLACES, program::PID_LIMIT.into()).next_power_of_two();
        usize::try_from(places).unwrap_or_default() * SEEN_SIZE
    }

    /// Makes a program with this memory.
    ///
    /// # Errors
    /// Why the kernel does not accept it.
    pub fn make(&self, sizes: MapSizes) -> Result<Program, Unavailable> {
        const BITMAP_BYTES: usize = program::PID_LIMIT as usize / 8;
        let if_wanted = |wanted: bool, name, bytes| wanted.then(|| new_map(name, bytes)).transpose();
        let mut control = new_map("control", control::SIZE)?;
        fill_state_table(&mut control);
        self.load(Maps {
            records: Some(new_map("records", sizes.records.max(self.largest_record()))?),
            processes: if_wanted(sizes.processes, "processes", BITMAP_BYTES)?,
            threads: if_wanted(sizes.threads, "threads", BITMAP_BYTES)?,
            seen: if_wanted(self.record_layout.takes_wait(), "seen", Self::seen_bytes(sizes.tasks))?,
            ..Maps::with_control(control)
        })
    }

    /// Makes a program with other memory, and copies the gate and the selection from the old one.
    ///
    /// # Errors
    /// Why the kernel does not accept it.
    pub fn remake(&self, old: &Maps, records: usize, tasks: u64) -> Result<Program, Unavailable> {
        let sizes = MapSizes { records, tasks, processes: old.processes.is_some(), threads: old.threads.is_some() };
        let mut program = self.make(sizes)?;
        let maps = program.maps_mut();
        maps.control.copy_from(&old.control);
        for (to, from) in [(&mut maps.processes, &old.processes), (&mut maps.threads, &old.threads)] {
            if let (Some(to), Some(from)) = (to, from) {
                to.copy_from(from);
            }
        }
        Ok(program)
    }

    fn load(&self, maps: Maps) -> Result<Program, Unavailable> {
        let Self { layout, record_layout, .. } = self;
        let namespace = self.namespace.as_ref();
        let code = match self.level {
            Level::OpenCoded => {
                program::open_coded(layout, layout.loop_functions.ok_or(NO_LOOP)?, &maps, record_layout, namespace)
            }
            Level::Iterator => program::iterator(layout, &maps, record_layout, namespace),
        };
        let code = code.map_err(Unavailable::Program)?;
        load("walk", self.level, kind(layout, self.level)?, &code, maps)
    }
}

/// Writes the number of the state for each combination of reported bits.
fn fill_state_table(control: &mut SharedMap) {
    let mut indexes = (0..=u8::MAX).map(|bits| TaskState::of_bits(bits).index());
    for place in (control::STATES..control::STATES + control::STATES_LEN).step_by(8) {
        let word = std::array::from_fn(|_| indexes.next().unwrap_or_default());
        control.set(place, u64::from_ne_bytes(word));
    }
}

/// The reason on a kernel without open-coded task iterators.
pub const NO_LOOP: Unavailable =
    Unavailable::Kernel { lacks: "task iterator for programs (bpf_iter_task_new)", since: "6.7" };
const NO_ITERATOR: Unavailable = Unavailable::Kernel { lacks: "BPF iterator over tasks", since: "5.8" };

/// Makes memory to share with a program.
///
/// # Errors
/// Why the kernel makes none.
pub fn new_map(name: &str, bytes: usize) -> Result<SharedMap, Unavailable> {
    SharedMap::new(name, bytes).map_err(|error| refusal("memory for the walk", error))
}

/// Loads a program.
///
/// # Errors
/// Why the kernel does not accept it.
pub fn load(name: &str, level: Level, kind: ProgramKind, code: &[u64], maps: Maps) -> Result<Program, Unavailable> {
    Program::load(name, kind, code, maps).map_err(|LoadError { error, log }| match error.raw_os_error() {
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
