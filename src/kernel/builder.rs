//! Builds the programs: checks the host, creates the maps, assembles the instructions and loads them.

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

/// What psn found out about the host, from which programs are built.
#[derive(Debug)]
pub struct HostInfo {
    /// The fields and functions of the kernel.
    pub(super) layout: KernelLayout,
    namespaces: Namespaces,
    /// The clock of the start times of tasks.
    pub(super) clock: BootClock,
    /// The approximate number of tasks on the host, in all PID namespaces; 0 if it is not known.
    pub(crate) tasks: u64,
}

impl HostInfo {
    /// Checks that psn may load programs, and reads the BTF of the kernel.
    ///
    /// # Errors
    /// Why there can be no walk.
    pub(crate) fn survey(root: &ProcRoot, btf_path: &Path) -> Result<Self, Unavailable> {
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

    /// The depth of the PID namespace of the proc root; 0 for the initial one.
    fn namespace_level(&self, level: Level) -> Result<u32, Unavailable> {
        if self.namespaces.is_init {
            return Ok(0);
        }
        if level == Level::Iterator && self.namespaces.levels_up > 0 {
            return Err(Unavailable::PidNamespace(
                "the proc root belongs to a PID namespace above psn's own, but this kernel's iterator only shows psn's own",
            ));
        }
        let layout = &self.layout;
        let ids = layout.ids.ok_or(Unavailable::PidNamespace("psn cannot read the PID namespaces of this kernel"))?;
        let maps = Maps::with_control(new_map("control", control::SIZE)?);
        let code = program::own_level(ids, &maps).map_err(Unavailable::Program)?;
        let mut program = load("level", level, kind(layout, level)?, &code, maps)?;
        run_once(&mut program, level)
            .map_err(|error| Unavailable::System { what: "finding psn's PID namespace", error })?;
        let own = u32::try_from(program.maps().control.get(control::LEVEL)).ok();
        let root = own.and_then(|own| self.namespaces.level(own));
        root.ok_or(Unavailable::PidNamespace("the depth of psn's PID namespace does not match the proc root's"))
    }
}

/// The kind of program for this level.
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

/// Builds programs of one kind. It is kept, because a program that needs larger maps has to be built again.
#[derive(Debug)]
pub(crate) struct ProgramBuilder {
    layout: KernelLayout,
    /// The layout of its records.
    pub(crate) record_layout: RecordLayout,
    /// How it walks.
    pub(crate) level: Level,
    /// The PID namespace of the proc root; `None` for the initial one.
    namespace: Option<Namespace>,
}

/// The sizes of a program's maps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapSizes {
    /// The bytes for records.
    pub(crate) records: usize,
    /// The number of tasks for whose tokens there are slots.
    pub(crate) tasks: u64,
    /// Whether there is a bitmap to select processes.
    pub(crate) processes: bool,
    /// Whether there is a bitmap to select threads.
    pub(crate) threads: bool,
}

impl ProgramBuilder {
    /// A builder for walks of this level that take these parts, except those that the kernel does not have.
    ///
    /// # Errors
    /// Why there can be no such walk.
    pub(crate) fn new(host: &HostInfo, parts: Parts, level: Level) -> Result<Self, Unavailable> {
        let layout = host.layout.clone();
        let record_layout = RecordLayout::new(&layout.parts, parts);
        let namespace = Namespace::new(layout.ids, host.namespace_level(level)?);
        Ok(Self { layout, record_layout, level, namespace })
    }

    /// The size of a record with the deepest stack.
    #[must_use]
    pub(crate) fn largest_record(&self) -> usize {
        usize::try_from(self.record_layout.long() + self.record_layout.max_frames_bytes()).unwrap_or(usize::MAX)
    }

    /// A size that few records exceed, because most stacks are less than half as deep as the deepest.
    #[must_use]
    pub(crate) fn common_record(&self) -> usize {
        usize::try_from(self.record_layout.long() + self.record_layout.max_frames_bytes() / 2).unwrap_or(usize::MAX)
    }

    /// The bytes for the tokens of the waits of this many tasks: 64 slots for each task, so that few tasks share a slot if their
    /// ids are random. Two tasks that share a slot cost one stack each in every walk. From 65,536 tasks on there is a slot for
    /// each possible id. By `benches/kernel_walk.rs` with 1,000 threads, `-a, everything` costs three times as much with 8 slots
    /// for each task.
    #[must_use]
    pub(crate) fn seen_bytes(tasks: u64) -> usize {
        const MIN_PLACES: u64 = 1 << 16;
        let places = tasks.saturating_mul(64).clamp(MIN_PLACES, program::PID_LIMIT.into()).next_power_of_two();
        usize::try_from(places).unwrap_or_default() * SEEN_SIZE
    }

    /// Builds a program with maps of these sizes.
    ///
    /// # Errors
    /// Why the kernel does not accept it.
    pub(crate) fn make(&self, sizes: MapSizes) -> Result<Program, Unavailable> {
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

    /// Builds a program with maps of other sizes, and copies the gate and the selection from the `old` maps.
    ///
    /// # Errors
    /// Why the kernel does not accept it.
    pub(crate) fn remake(&self, old: &Maps, records: usize, tasks: u64) -> Result<Program, Unavailable> {
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

/// Fills the table with the number of the state for each combination of reported bits.
fn fill_state_table(control: &mut SharedMap) {
    let mut indexes = (0..=u8::MAX).map(|bits| TaskState::of_bits(bits).index());
    for place in (control::STATES..control::STATES + control::STATES_LEN).step_by(8) {
        let word = std::array::from_fn(|_| indexes.next().unwrap_or_default());
        control.set(place, u64::from_ne_bytes(word));
    }
}

/// The reason why there is no open-coded walk on older kernels.
pub(crate) const NO_LOOP: Unavailable =
    Unavailable::Kernel { lacks: "task iterator for programs (bpf_iter_task_new)", since: "6.7" };
const NO_ITERATOR: Unavailable = Unavailable::Kernel { lacks: "BPF iterator over tasks", since: "5.8" };

/// Creates a map to share with a program.
///
/// # Errors
/// Why the kernel does not create it.
pub(crate) fn new_map(name: &str, bytes: usize) -> Result<SharedMap, Unavailable> {
    SharedMap::new(name, bytes).map_err(|error| refusal("creating a map for the walk", error))
}

/// Loads a program.
///
/// # Errors
/// Why the kernel does not accept it.
pub(crate) fn load(
    name: &str,
    level: Level,
    kind: ProgramKind,
    code: &[u64],
    maps: Maps,
) -> Result<Program, Unavailable> {
    Program::load(name, kind, code, maps).map_err(|LoadError { error, log }| match error.raw_os_error() {
        Some(libc::EACCES | libc::EINVAL | libc::E2BIG) => {
            Unavailable::Verifier { level, error, log, is_locked_down: host::is_locked_down() }
        }
        _ => refusal("loading the program of the walk", error),
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
