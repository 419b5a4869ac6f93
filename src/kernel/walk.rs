//! The walk as its user meets it: what is asked for, how it is done, how it went.

use std::io;
use std::path::PathBuf;

use crate::ask::plan::StateGate;
use crate::kernel::bpf::sys::{Program, Shared, Step};
use crate::kernel::recipe::{BootClock, Ground, Recipe, Room};
use crate::kernel::record::{Parts, Records, TaskRecord, control};
use crate::kernel::state::State;
use crate::kernel::unavailable::Unavailable;
use crate::kernel::waits::Waits;
use crate::kernel::{BTF_PATH, Level};
use crate::proc::ProcRoot;

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
    /// The most tasks that passed in a walk: for so many there are places to note what was seen of them.
    most_passed: u64,
    /// Whether no more such places can be had.
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
        Self::open_on(&Ground::survey(root, &request.btf_path)?, request)
    }

    /// The same, for one of several scans of a host, which is surveyed once for all of them: `btf_path` is not looked at.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open_on(ground: &Ground, request: &Request) -> Result<Self, Unavailable> {
        let mut refused: Option<Unavailable> = None;
        for level in &request.levels {
            match Self::open_level(ground, request, *level) {
                Ok(scan) => return Ok(Self { refused, ..scan }),
                // That a kernel is too old for the next level says less than what went wrong with this one.
                Err(Unavailable::Kernel { .. }) if refused.is_some() => {}
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(Unavailable::Kernel { lacks: "way to walk that was asked for", since: "5.8" }))
    }

    fn open_level(ground: &Ground, request: &Request, level: Level) -> Result<Self, Unavailable> {
        let recipe = Recipe::new(ground, request.parts, level)?;
        let max_buffer_bytes = request.max_buffer_bytes.min(Self::MAX_BUFFER_BYTES);
        let Request { selects_processes, selects_threads, .. } = *request;
        let passes_all = request.gate.is_open() && !selects_processes && !selects_threads;
        let most_passed = if passes_all { ground.tasks } else { 0 };
        let program = recipe.make(Room {
            records: request.buffer_bytes.min(max_buffer_bytes),
            tasks: most_passed,
            processes: selects_processes,
            threads: selects_threads,
        })?;
        let mut scan = Self {
            recipe,
            program,
            waits: Waits::default(),
            clock: ground.clock,
            max_buffer_bytes,
            slice_mask: 0,
            most_passed,
            is_widest: false,
            refused: None,
        };
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
        self.control_mut().set(control::GATE, bits);
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
        self.widen(walk.records);
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
            let missed = self.control().get(control::MISSED);
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
        let control = self.control_mut();
        control.set(control::USED, 0);
        control.set(control::MISSED, 0);
        control.set(control::SLICE_MASK, mask);
        control.set(control::SLICE, slice);
        for index in 0..control::COUNTS_LEN {
            control.set(control::COUNTS + 8 * index, 0);
        }
    }

    /// Hands the records over and empties the room.
    fn hand_over(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> u64 {
        let used = usize::try_from(self.control().get(control::USED) / 8).unwrap_or(usize::MAX);
        let words = self.program.memory().records.as_ref().map_or(&[][..], Shared::words);
        let parts = self.recipe.parts;
        let mut count = 0;
        for raw in Records::new(words.get(..used).unwrap_or(words), parts) {
            let wait = self.waits.resolve(&raw);
            visit(&raw.record(wait, parts, self.clock));
            count += 1;
        }
        self.control_mut().set(control::USED, 0);
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
        match self.recipe.remake(memory, wanted, self.most_passed) {
            Ok(program) => self.replace(program),
            // What there is has to do.
            Err(_) => self.max_buffer_bytes = room,
        }
        self.max_buffer_bytes > room
    }

    /// Keeps the places for what was seen such that few of the tasks that pass share theirs. Failing that, some are described again
    /// and again.
    fn widen(&mut self, passed: u64) {
        self.most_passed = self.most_passed.max(passed);
        let memory = self.program.memory();
        let (Some(seen), Some(records)) = (&memory.seen, &memory.records) else { return };
        if self.is_widest || seen.len() >= Recipe::seen_bytes(passed / 2) {
            return;
        }
        match self.recipe.remake(memory, records.len(), passed) {
            Ok(program) => self.replace(program),
            Err(_) => self.is_widest = true,
        }
    }

    fn replace(&mut self, program: Program) {
        self.program = program;
        self.waits.clear();
    }

    const fn control(&self) -> &Shared {
        &self.program.memory().control
    }

    const fn control_mut(&mut self) -> &mut Shared {
        &mut self.program.memory_mut().control
    }

    fn counts(&self) -> [u64; control::COUNTS_LEN as usize] {
        let mut places = (control::COUNTS..).step_by(8);
        std::array::from_fn(|_| places.next().map_or(0, |place| self.control().get(place)))
    }
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
