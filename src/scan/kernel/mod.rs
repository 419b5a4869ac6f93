//! The kernel's own walk over its tasks.
//!
//! Reading /proc costs some microseconds a thread, whatever the reader does: each visit is a system call, a lookup and a text.
//! The kernel itself steps from one task to the next in a fraction of one. So, where psn may, it hands the kernel a small BPF
//! program that walks the tasks, applies the state gate, and writes what was asked for of those that pass into shared memory.
//! `docs/kernel-scan.md` tells the story for readers who have never seen BPF.
//!
//! ```text
//! host ── may we?          btf ──► layout ──┐
//! (capabilities,        (the kernel's own   ├──► program ──► sys ──► kernel
//!  namespaces)           description)       │   (written with asm)     │ shared memory
//!                        record, state ─────┘                         ▼
//!                     (what both sides agree on) ────────────► TaskRecord ──► symbols
//! ```
//!
//! Nothing is attached to anything: the program runs while psn waits in a system call, and goes with psn's descriptors.

mod asm;
pub mod btf;
mod host;
mod layout;
mod program;
mod record;
mod state;
pub mod symbols;
mod sys;
mod unavailable;
mod waits;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use btf::Btf;
use host::Namespaces;
use layout::Layout;
pub use record::{Call, Parts, Registers, TaskRecord};
use record::{Records, control, seen};
pub use state::State;
use sys::{LoadError, Memory, Program, ProgramKind, Shared, Step};
pub use unavailable::Unavailable;
use waits::Waits;

use crate::plan::StateGate;
use crate::procfs::ProcRoot;

/// Where a kernel describes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// How the kernel is made to walk, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A loop of our own over the task list, run by bpf(2): Linux 6.7 on.
    OpenCoded,
    /// The kernel's iterator over tasks, which calls us for each: Linux 5.8 on.
    Iterator,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenCoded => "the open-coded walk",
            Self::Iterator => "the task iterator",
        })
    }
}

/// What a walk is to look at and to take.
#[derive(Debug, Clone)]
pub struct Request {
    /// The states that pass; see [`KernelScan::set_gate`].
    pub gate: StateGate,
    /// What to take of those that do.
    pub parts: Parts,
    /// Whether only chosen processes are looked at: see [`KernelScan::select_processes`].
    pub selects_processes: bool,
    /// Whether only chosen threads are: see [`KernelScan::select_threads`].
    pub selects_threads: bool,
    /// The ways to try, in this order.
    pub levels: Vec<Level>,
    /// Room for records at first; it grows by itself.
    pub buffer_bytes: usize,
    /// It never grows beyond this: then a walk takes several passes.
    pub max_buffer_bytes: usize,
    /// Where the kernel's types are described.
    pub btf_path: PathBuf,
}

impl Default for Request {
    /// Every active thread of the host, with nothing but the fixed part of its record.
    fn default() -> Self {
        Self {
            gate: StateGate::active(),
            parts: Parts::default(),
            selects_processes: false,
            selects_threads: false,
            levels: vec![Level::OpenCoded, Level::Iterator],
            buffer_bytes: 1 << 20,
            max_buffer_bytes: 256 << 20,
            btf_path: BTF_PATH.into(),
        }
    }
}

/// How a walk went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// Tasks seen in each state, by the state's number; pid 0 is none.
    states: [u64; control::COUNTS_LEN as usize],
    /// Records handed over.
    pub records: u64,
    /// Tasks that passed and are not among the records, for want of room.
    pub overflowed: u64,
    /// How often the task list was walked: more than once where the room did not suffice at first.
    pub passes: u32,
}

impl Walk {
    /// All tasks seen, whether they passed or not.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.states.iter().sum()
    }

    /// The states that occurred, with the number of tasks in each.
    pub fn states(&self) -> impl Iterator<Item = (State, u64)> {
        let counts =
            State::all().map(|state| (state, self.states.get(usize::from(state.index())).copied().unwrap_or(0)));
        counts.filter(|(_, count)| *count > 0)
    }
}

/// What a program is made from: kept, for it is made anew when the room grows.
#[derive(Debug)]
struct Recipe {
    layout: Layout,
    parts: Parts,
    level: Level,
    /// How deep the PID namespace of the proc root lies.
    namespace_level: u32,
}

/// A program in the kernel that walks its tasks.
#[derive(Debug)]
pub struct KernelScan {
    recipe: Recipe,
    program: Program,
    waits: Waits,
    clock: BootClock,
    max_buffer_bytes: usize,
    /// The ids' last bits by which a walk is cut where the room can not grow: one less than a power of two.
    slice_mask: u64,
    /// Whether no more places for what was seen can be had.
    is_widest: bool,
    refused: Option<Unavailable>,
}

impl KernelScan {
    /// Slices a walk is cut into at most.
    const MAX_SLICES: u64 = 1024;
    /// Room is never larger: programs can not reach further than twice this from a map's start (`BPF_MAX_VAR_OFF`).
    const MAX_BUFFER_BYTES: usize = 256 << 20;

    /// Loads the best program that this kernel accepts, for the tasks that `root` shows.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(root: &ProcRoot, request: &Request) -> Result<Self, Unavailable> {
        let ground = Ground::survey(root, &request.btf_path)?;
        let mut refused: Option<Unavailable> = None;
        for level in &request.levels {
            match Self::open_level(&ground, request, *level) {
                Ok(scan) => return Ok(Self { refused, ..scan }),
                // That a kernel is too old for the next level says less than what went wrong with this one.
                Err(Unavailable::Kernel { .. }) if refused.is_some() => {}
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(Unavailable::Kernel { lacks: "way to walk that was asked for", since: "5.8" }))
    }

    fn open_level(ground: &Ground, request: &Request, level: Level) -> Result<Self, Unavailable> {
        let layout = &ground.layout;
        let recipe = Recipe {
            layout: layout.clone(),
            parts: layout.reduce(request.parts),
            level,
            namespace_level: namespace_level(layout, ground.namespaces, level)?,
        };
        let max_buffer_bytes = request.max_buffer_bytes.min(Self::MAX_BUFFER_BYTES);
        let room = request.buffer_bytes.clamp(recipe.largest_record(), max_buffer_bytes.max(recipe.largest_record()));
        let bitmap =
            |wanted: bool, name| wanted.then(|| Shared::new(name, program::PID_LIMIT as usize / 8)).transpose();
        let memory = Memory {
            control: Shared::new("control", control::SIZE).map_err(map_error)?,
            records: Some(Shared::new("records", room).map_err(map_error)?),
            processes: bitmap(request.selects_processes, "processes").map_err(map_error)?,
            threads: bitmap(request.selects_threads, "threads").map_err(map_error)?,
            seen: recipe.seen(ground.tasks).map_err(map_error)?,
        };
        let mut program = recipe.load(memory)?;
        fill_state_table(program.memory_mut().control.words_mut());
        let (waits, clock) = (Waits::default(), ground.clock);
        let (slice_mask, is_widest, refused) = (0, false, None);
        let mut scan = Self { recipe, program, waits, clock, max_buffer_bytes, slice_mask, is_widest, refused };
        scan.set_gate(&request.gate);
        Ok(scan)
    }

    /// How it walks.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.recipe.level
    }

    /// What it takes of each task: what was asked for, less what this kernel can not give.
    #[must_use]
    pub const fn parts(&self) -> Parts {
        self.recipe.parts
    }

    /// Why a better way was not taken, if one was tried.
    #[must_use]
    pub const fn refused(&self) -> Option<&Unavailable> {
        self.refused.as_ref()
    }

    /// Lets tasks in these states pass from the next walk on.
    pub fn set_gate(&mut self, gate: &StateGate) {
        let passing = State::all().filter(|state| gate.passes(state.letter()));
        let bits = passing.fold(0, |bits, state| bits | 1 << state.index());
        self.set_control(control::GATE, bits);
    }

    /// Looks at the threads of these processes only, from the next walk on. False if the request did not say
    /// [`Request::selects_processes`].
    pub fn select_processes(&mut self, tgids: impl IntoIterator<Item = u32>) -> bool {
        select(self.program.memory_mut().processes.as_mut(), tgids)
    }

    /// Looks at these threads only, from the next walk on. False if the request did not say [`Request::selects_threads`].
    pub fn select_threads(&mut self, tids: impl IntoIterator<Item = u32>) -> bool {
        select(self.program.memory_mut().threads.as_mut(), tids)
    }

    /// Walks over all tasks once and hands over a record of each that passes, in the kernel's order: processes by age, threads
    /// by age within their process.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn walk(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> io::Result<Walk> {
        self.waits.begin();
        let walk = match self.recipe.level {
            Level::OpenCoded => self.walk_open_coded(visit)?,
            Level::Iterator => self.walk_iterator(visit)?,
        };
        if self.waits.must_be_told() {
            self.forget();
        }
        self.widen(walk.tasks());
        Ok(walk)
    }

    /// A pass can not be resumed: where the room did not suffice it is made larger and the pass made again; where it can not
    /// be, the threads are taken in two slices by a further bit of their ids.
    fn walk_open_coded(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> io::Result<Walk> {
        let mut walk = Walk::default();
        let mut slices: Vec<_> = (0..=self.slice_mask).map(|slice| (self.slice_mask, slice)).collect();
        while let Some((mask, slice)) = slices.pop() {
            self.start_pass(mask, slice);
            self.program.run()?;
            walk.passes += 1;
            let missed = self.control(control::MISSED);
            if missed > 0 && self.grow(missed) {
                slices.push((mask, slice));
            } else if missed > 0 && mask + 1 < Self::MAX_SLICES {
                // What was described in this pass is handed over in another.
                self.forget();
                self.slice_mask = 2 * mask + 1;
                slices.extend([(self.slice_mask, slice), (self.slice_mask, slice + mask + 1)]);
            } else {
                walk.records += self.hand_over(visit);
                walk.overflowed += missed;
            }
        }
        walk.states = self.counts();
        Ok(walk)
    }

    /// The kernel's iterator pauses when there is no room, and goes on after the records were taken.
    fn walk_iterator(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> io::Result<Walk> {
        let mut walk = Walk { passes: 1, ..Walk::default() };
        self.start_pass(0, 0);
        let mut iteration = self.program.iterate()?;
        loop {
            let step = self.program.step(&mut iteration)?;
            walk.records += self.hand_over(visit);
            if step == Step::Done {
                walk.states = self.counts();
                return Ok(walk);
            }
        }
    }

    fn start_pass(&mut self, mask: u64, slice: u64) {
        self.set_control(control::USED, 0);
        self.set_control(control::MISSED, 0);
        self.set_control(control::SLICE_MASK, mask);
        self.set_control(control::SLICE, slice);
        for index in 0..control::COUNTS_LEN {
            self.set_control(control::COUNTS + 8 * index, 0);
        }
    }

    /// Hands the records over and empties the room.
    fn hand_over(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> u64 {
        let used = usize::try_from(self.control(control::USED) / 8).unwrap_or(usize::MAX);
        let words = self.program.memory().records.as_ref().map_or(&[][..], Shared::words);
        let parts = self.recipe.parts;
        let mut count = 0;
        for raw in Records::new(words.get(..used).unwrap_or(words), parts) {
            let (call, frames) = self.waits.resolve(&raw);
            visit(&raw.record(call, frames, parts, self.clock));
            count += 1;
        }
        self.set_control(control::USED, 0);
        count
    }

    /// Has every task described anew.
    fn forget(&mut self) {
        self.waits.clear();
        if let Some(seen) = &mut self.program.memory_mut().seen {
            seen.words_mut().fill(0);
        }
    }

    /// Makes room for so many records more; false if it can not be had.
    fn grow(&mut self, missed: u64) -> bool {
        let memory = self.program.memory();
        let room = memory.records.as_ref().map_or(0, Shared::len);
        if room >= self.max_buffer_bytes {
            return false;
        }
        let wanted = usize::try_from(missed).ok().and_then(|missed| missed.checked_mul(self.recipe.common_record()));
        let wanted = wanted.and_then(|wanted| room.checked_add(wanted)?.checked_next_power_of_two());
        let wanted = wanted.unwrap_or(usize::MAX).max(2 * room).min(self.max_buffer_bytes);
        match self.recipe.reload(memory, wanted, self.tasks_in_room()) {
            Ok(program) => self.replace(program),
            // What there is has to do.
            Err(_) => self.max_buffer_bytes = room,
        }
        self.max_buffer_bytes > room
    }

    /// Keeps the places for what was seen few of so many tasks share. Failing that, some are described again and again.
    fn widen(&mut self, tasks: u64) {
        let memory = self.program.memory();
        let (Some(seen), Some(records)) = (&memory.seen, &memory.records) else { return };
        if self.is_widest || seen.len() >= Recipe::seen_bytes(tasks / 2) {
            return;
        }
        match self.recipe.reload(memory, records.len(), tasks) {
            Ok(program) => self.replace(program),
            Err(_) => self.is_widest = true,
        }
    }

    fn tasks_in_room(&self) -> u64 {
        self.counts().iter().sum()
    }

    fn replace(&mut self, program: Program) {
        self.program = program;
        self.waits.clear();
    }

    fn control(&self, place: i32) -> u64 {
        word(place).and_then(|word| self.program.memory().control.words().get(word)).copied().unwrap_or(0)
    }

    fn set_control(&mut self, place: i32, value: u64) {
        let words = self.program.memory_mut().control.words_mut();
        if let Some(word) = word(place).and_then(|word| words.get_mut(word)) {
            *word = value;
        }
    }

    fn counts(&self) -> [u64; control::COUNTS_LEN as usize] {
        let mut counts = [0; control::COUNTS_LEN as usize];
        for (place, count) in (control::COUNTS..).step_by(8).zip(&mut counts) {
            *count = self.control(place);
        }
        counts
    }
}

/// Which word of the control memory lies at an offset in bytes.
fn word(place: i32) -> Option<usize> {
    usize::try_from(place / 8).ok()
}

/// Sets the bits of these ids, and no others.
fn select(bitmap: Option<&mut Shared>, ids: impl IntoIterator<Item = u32>) -> bool {
    let Some(bitmap) = bitmap else { return false };
    let words = bitmap.words_mut();
    words.fill(0);
    for id in ids {
        // Bit 0 is the lowest of the first byte, whatever the byte order.
        if let Some(word) = words.get_mut(id as usize / 64) {
            *word |= (1_u64 << (id % 64)).to_le();
        }
    }
    true
}

/// Which state each combination of reported bits is.
fn fill_state_table(control: &mut [u64]) {
    let mut indexes = (0..=u8::MAX).map(|bits| State::of_bits(bits).index());
    let start = word(control::STATES).unwrap_or(usize::MAX);
    for word in control.iter_mut().skip(start) {
        *word = u64::from_ne_bytes(std::array::from_fn(|_| indexes.next().unwrap_or_default()));
    }
}

impl Recipe {
    fn largest_record(&self) -> usize {
        usize::try_from(self.parts.size() + self.parts.frames_size()).unwrap_or(usize::MAX)
    }

    /// Half of the deepest stack is deeper than most.
    fn common_record(&self) -> usize {
        usize::try_from(self.parts.size() + self.parts.frames_size() / 2).unwrap_or(usize::MAX)
    }

    fn load(&self, memory: Memory) -> Result<Program, Unavailable> {
        let (layout, level) = (&self.layout, self.namespace_level);
        let (kind, code) = match self.level {
            Level::OpenCoded => {
                let walk = layout.walk.ok_or(NO_LOOP)?;
                (ProgramKind::Syscall, program::open_coded(layout, walk, &memory, self.parts, level))
            }
            Level::Iterator => {
                let iterator = layout.iterator.ok_or(NO_ITERATOR)?;
                (ProgramKind::Iterator(iterator), program::iterator(layout, &memory, self.parts, level))
            }
        };
        let code = code.map_err(Unavailable::Program)?;
        Program::load("walk", kind, &code, memory).map_err(|error| load_error(self.level, error))
    }

    /// The same program with the same settings, this much room, and places for so many tasks.
    fn reload(&self, old: &Memory, room: usize, tasks: u64) -> Result<Program, Unavailable> {
        let copy = |name, from: &Shared| -> io::Result<Shared> {
            let mut to = Shared::new(name, from.len())?;
            to.words_mut().copy_from_slice(from.words());
            Ok(to)
        };
        self.load(Memory {
            control: copy("control", &old.control).map_err(map_error)?,
            records: Some(Shared::new("records", room).map_err(map_error)?),
            processes: old.processes.as_ref().map(|from| copy("processes", from)).transpose().map_err(map_error)?,
            threads: old.threads.as_ref().map(|from| copy("threads", from)).transpose().map_err(map_error)?,
            seen: self.seen(tasks).map_err(map_error)?,
        })
    }

    /// Places for what was seen of so many tasks; none where nothing is.
    fn seen(&self, tasks: u64) -> io::Result<Option<Shared>> {
        self.parts.takes_wait().then(|| Shared::new("seen", Self::seen_bytes(tasks))).transpose()
    }

    /// Eight places a task: with ids spread at random one in nine tasks shares its place.
    fn seen_bytes(tasks: u64) -> usize {
        const MIN_PLACES: u64 = 1 << 12;
        let places = tasks.saturating_mul(8).clamp(MIN_PLACES, program::PID_LIMIT.into()).next_power_of_two();
        usize::try_from(places).unwrap_or_default() * seen::SIZE
    }
}

const NO_LOOP: Unavailable =
    Unavailable::Kernel { lacks: "task iterator for programs (bpf_iter_task_new)", since: "6.7" };
const NO_ITERATOR: Unavailable = Unavailable::Kernel { lacks: "BPF iterator over tasks", since: "5.8" };

/// What every program of ours starts from.
#[derive(Debug)]
struct Ground {
    layout: Layout,
    namespaces: Namespaces,
    clock: BootClock,
    /// The number of tasks, roughly.
    tasks: u64,
}

impl Ground {
    fn survey(root: &ProcRoot, btf_path: &Path) -> Result<Self, Unavailable> {
        let namespaces = host::check(root)?;
        let bytes = std::fs::read(btf_path).map_err(|error| Unavailable::NoBtf { path: btf_path.to_owned(), error })?;
        let btf = Btf::parse(&bytes).map_err(|error| Unavailable::Btf { path: btf_path.to_owned(), error })?;
        let layout = Layout::find(&btf).map_err(|lacks| Unavailable::Kernel { lacks, since: "5.8" })?;
        host::raise_locked_memory();
        Ok(Self { layout, namespaces, clock: BootClock::of(root), tasks: host::count_tasks(root) })
    }
}

/// How deep the PID namespace of the proc root lies.
fn namespace_level(layout: &Layout, namespaces: Namespaces, level: Level) -> Result<u32, Unavailable> {
    if namespaces.is_init {
        return Ok(0);
    }
    if level == Level::Iterator && namespaces.levels_up > 0 {
        return Err(Unavailable::PidNamespace(
            "the proc root belongs to a PID namespace above psn's own, and this kernel's iterator shows psn's own alone",
        ));
    }
    let ids = layout.ids.ok_or(Unavailable::PidNamespace("this kernel's PID namespaces are not understood"))?;
    let control = Shared::new("control", control::SIZE).map_err(map_error)?;
    let memory = Memory { control, records: None, processes: None, threads: None, seen: None };
    let code = program::own_level(layout, ids, &memory).map_err(Unavailable::Program)?;
    let kind = match level {
        Level::OpenCoded => ProgramKind::Syscall,
        Level::Iterator => ProgramKind::Iterator(layout.iterator.ok_or(NO_ITERATOR)?),
    };
    let mut program = Program::load("level", kind, &code, memory).map_err(|error| load_error(level, error))?;
    run_once(&mut program, level)
        .map_err(|error| Unavailable::System { what: "finding psn's PID namespace", error })?;
    let own = word(control::LEVEL).and_then(|word| program.memory().control.words().get(word).copied());
    own.and_then(|own| namespaces.level(u32::try_from(own).ok()?))
        .ok_or(Unavailable::PidNamespace("psn's PID namespace is not where the proc root has it"))
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

fn map_error(error: io::Error) -> Unavailable {
    match error.raw_os_error() {
        Some(libc::EPERM) if host::accounts_locked_memory() => Unavailable::LockedMemory,
        Some(libc::EPERM) => Unavailable::Refused(error),
        Some(libc::ENOSYS) => Unavailable::Kernel { lacks: "bpf(2)", since: "5.8 with CONFIG_BPF_SYSCALL" },
        _ => Unavailable::System { what: "memory for the walk", error },
    }
}

fn load_error(level: Level, failure: LoadError) -> Unavailable {
    let LoadError { error, log } = failure;
    match error.raw_os_error() {
        Some(libc::EPERM) => map_error(error),
        Some(libc::EACCES | libc::EINVAL | libc::E2BIG) => {
            Unavailable::Verifier { level, error, log, is_locked_down: host::is_locked_down() }
        }
        _ => Unavailable::System { what: "loading the walk", error },
    }
}

/// How the kernel tells when a task started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BootClock {
    ns_per_tick: u64,
    offset_ns: i64,
}

impl BootClock {
    fn of(root: &ProcRoot) -> Self {
        let ns_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        Self { ns_per_tick: ns_per_tick.max(1), offset_ns: host::boottime_offset_ns(root) }
    }

    /// In the unit of field 22 of `stat`.
    const fn ticks(self, start_boottime_ns: u64) -> u64 {
        start_boottime_ns.wrapping_add_signed(self.offset_ns) / self.ns_per_tick
    }
}

/// A walk with nothing in it but a count: the floor that a scan's cost is measured against.
#[derive(Debug)]
pub struct BareWalk(Program);

impl BareWalk {
    /// Loads the program.
    ///
    /// # Errors
    /// Why it can not be had.
    pub fn open(root: &ProcRoot) -> Result<Self, Unavailable> {
        let Ground { layout, .. } = Ground::survey(root, Path::new(BTF_PATH))?;
        let control = Shared::new("control", control::SIZE).map_err(map_error)?;
        let memory = Memory { control, records: None, processes: None, threads: None, seen: None };
        let code = program::bare(&layout, layout.walk.ok_or(NO_LOOP)?, &memory).map_err(Unavailable::Program)?;
        let program = Program::load("bare", ProgramKind::Syscall, &code, memory);
        Ok(Self(program.map_err(|error| load_error(Level::OpenCoded, error))?))
    }

    /// Walks over all tasks, and returns their number, pid 0 included.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn run(&mut self) -> io::Result<u64> {
        let place = word(control::COUNTS).unwrap_or_default();
        self.0.memory_mut().control.words_mut().iter_mut().skip(place).take(1).for_each(|count| *count = 0);
        self.0.run()?;
        Ok(self.0.memory().control.words().get(place).copied().unwrap_or(0))
    }
}
