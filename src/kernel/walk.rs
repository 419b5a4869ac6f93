//! A walk: its request, its passes over the tasks, and the delivery of its records.

use std::io;
use std::path::PathBuf;

use crate::ask::plan::StateGate;
use crate::kernel::bpf::sys::{Program, SharedMap, Step};
use crate::kernel::builder::{HostInfo, MapSizes, ProgramBuilder};
use crate::kernel::clock::BootClock;
use crate::kernel::control;
use crate::kernel::parts::state::TaskState;
use crate::kernel::parts::{Parts, TaskRecord};
use crate::kernel::record::RawRecords;
use crate::kernel::sched_clock::SchedClock;
use crate::kernel::unavailable::Unavailable;
use crate::kernel::waits::{Known, Waits};
use crate::kernel::{BTF_PATH, Level};
use crate::proc::ProcRoot;

/// Which tasks a walk selects, and what its records contain.
#[derive(Debug, Clone)]
pub struct WalkRequest {
    /// The states that pass; see [`KernelScan::set_gate`].
    pub gate: StateGate,
    /// What the records of tasks that pass contain.
    pub parts: Parts,
    /// Whether only selected processes pass: see [`KernelScan::select_processes`].
    pub selects_processes: bool,
    /// Whether only selected threads pass: see [`KernelScan::select_threads`].
    pub selects_threads: bool,
    /// The levels to try, in this order.
    pub levels: Vec<Level>,
    /// The initial bytes for records; the memory grows as needed.
    pub buffer_bytes: usize,
    /// The largest number of bytes for records. If the records do not fit, a walk takes several passes.
    pub max_buffer_bytes: usize,
    /// The file with the kernel's BTF.
    pub btf_path: PathBuf,
}

impl Default for WalkRequest {
    /// All active threads of the host, with no optional parts.
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

/// The counts of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalkCounts {
    /// The number of tasks seen in each state, by the number of the state, without pid 0.
    states: [u64; control::COUNTS_LEN as usize],
    /// The number of records delivered.
    pub records: u64,
    /// The number of tasks that passed but have no record, because the memory for records was full.
    pub overflowed: u64,
    /// How often the program walked the tasks: more than once if the records did not fit at first.
    pub passes: u32,
}

impl WalkCounts {
    /// The number of tasks seen, whether they passed or not.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.states.iter().sum()
    }

    /// The states in which tasks were seen, with the number of tasks in each.
    pub fn states(&self) -> impl Iterator<Item = (TaskState, u64)> {
        let counts =
            TaskState::all().map(|state| (state, self.states.get(usize::from(state.index())).copied().unwrap_or(0)));
        counts.filter(|(_, count)| *count > 0)
    }
}

/// A program in the kernel that walks its tasks, and what psn keeps between its walks.
#[derive(Debug)]
pub struct KernelScan {
    builder: ProgramBuilder,
    program: Program,
    waits: Waits,
    clock: BootClock,
    sched_clock: SchedClock,
    max_buffer_bytes: usize,
    /// The last bits of thread ids by which a walk is cut into slices if the memory cannot grow. One less than a power of two.
    slice_mask: u64,
    /// The largest number of tasks that passed in a walk. The map of tokens has slots for as many.
    most_passed: u64,
    /// Whether the kernel refused a larger map of tokens.
    is_widest: bool,
    refused: Option<Unavailable>,
}

impl KernelScan {
    /// The largest number of slices of a walk.
    const MAX_SLICES: u64 = 1024;
    /// The largest number of bytes for records that a request can have. Programs cannot access more than twice as many from the
    /// start of a map (`BPF_MAX_VAR_OFF`).
    const MAX_BUFFER_BYTES: usize = 256 << 20;

    /// Loads the best program that this kernel accepts, for the tasks that `root` shows.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(root: &ProcRoot, request: &WalkRequest) -> Result<Self, Unavailable> {
        Self::open_on(&HostInfo::survey(root, &request.btf_path)?, request)
    }

    /// The same, on a host that was surveyed before. `btf_path` of the request is not used.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open_on(host: &HostInfo, request: &WalkRequest) -> Result<Self, Unavailable> {
        let mut refused: Option<Unavailable> = None;
        for level in &request.levels {
            match Self::open_level(host, request, *level) {
                Ok(scan) => return Ok(Self { refused, ..scan }),
                // Keep the reason why an earlier level failed: it says more than that the kernel is too old for this one.
                Err(Unavailable::Kernel { .. }) if refused.is_some() => {}
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(Unavailable::Kernel { lacks: "requested kind of walk", since: "5.8" }))
    }

    fn open_level(host: &HostInfo, request: &WalkRequest, level: Level) -> Result<Self, Unavailable> {
        let builder = ProgramBuilder::new(host, request.parts, level)?;
        let max_buffer_bytes = request.max_buffer_bytes.min(Self::MAX_BUFFER_BYTES);
        let WalkRequest { selects_processes, selects_threads, .. } = *request;
        let passes_all = request.gate.is_open() && !selects_processes && !selects_threads;
        let most_passed = if passes_all { host.tasks } else { 0 };
        let program = builder.make(MapSizes {
            records: request.buffer_bytes.min(max_buffer_bytes),
            tasks: most_passed,
            processes: selects_processes,
            threads: selects_threads,
        })?;
        let mut scan = Self {
            builder,
            program,
            waits: Waits::default(),
            clock: host.clock,
            sched_clock: SchedClock::default(),
            max_buffer_bytes,
            slice_mask: 0,
            most_passed,
            is_widest: false,
            refused: None,
        };
        scan.set_gate(&request.gate);
        Ok(scan)
    }

    /// The level of the program.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.builder.level
    }

    /// What the records contain: the parts of the request, except those that this kernel does not have.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.builder.record_layout.parts()
    }

    /// Why an earlier level of the request failed, if one did.
    #[must_use]
    pub const fn refused(&self) -> Option<&Unavailable> {
        self.refused.as_ref()
    }

    /// Selects the states of tasks that pass, from the next walk on.
    pub fn set_gate(&mut self, gate: &StateGate) {
        let passing = TaskState::all().filter(|state| gate.passes(state.letter()));
        let bits = passing.fold(0, |bits, state| bits | 1 << state.index());
        self.control_mut().set(control::GATE, bits);
    }

    /// Lets only threads of these processes pass, from the next walk on. Returns false and does nothing unless the request had
    /// [`WalkRequest::selects_processes`].
    pub fn select_processes(&mut self, tgids: impl IntoIterator<Item = u32>) -> bool {
        select(self.program.maps_mut().processes.as_mut(), tgids)
    }

    /// Lets only these threads pass, from the next walk on. Returns false and does nothing unless the request had
    /// [`WalkRequest::selects_threads`].
    pub fn select_threads(&mut self, tids: impl IntoIterator<Item = u32>) -> bool {
        select(self.program.maps_mut().threads.as_mut(), tids)
    }

    /// The time at which the next walk is due (CLOCK_MONOTONIC). Waits that began between then and the walk are marked: psn's own wake-up
    /// may have caused them, because it takes a CPU from another thread, or gets the CPU of one that goes to sleep.
    pub const fn set_due(&mut self, due_ns: u64) {
        self.sched_clock.due_ns = due_ns;
    }

    /// Walks all tasks and calls `visit` with the record of each task that passes, in the order of the kernel: processes by age,
    /// and the threads of a process by age.
    ///
    /// # Errors
    /// If the kernel does not run the program.
    pub fn walk(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> io::Result<WalkCounts> {
        self.waits.begin();
        let walk = match self.builder.level {
            Level::OpenCoded => self.walk_open_coded(visit)?,
            Level::Iterator => self.walk_iterator(visit)?,
        };
        if self.waits.must_be_told() {
            self.forget();
        }
        self.widen(walk.records);
        Ok(walk)
    }

    /// Walks by the open-coded loop. A pass cannot be resumed: if the records did not fit, the memory grows and the pass is made
    /// again. If the memory cannot grow, the threads are taken in two slices, by one more bit of their ids.
    fn walk_open_coded(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> io::Result<WalkCounts> {
        let mut walk = WalkCounts::default();
        let mut slices: Vec<_> = (0..=self.slice_mask).map(|slice| (self.slice_mask, slice)).collect();
        while let Some((mask, slice)) = slices.pop() {
            self.start_pass(mask, slice);
            self.program.run()?;
            walk.passes += 1;
            let missed = self.control().get(control::MISSED);
            if missed > 0 && self.grow(missed) {
                slices.push((mask, slice));
            } else if missed > 0 && mask + 1 < Self::MAX_SLICES {
                // Drop the records of this pass, and the waits that only they describe.
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

    /// Walks by the kernel's iterator. It pauses when the memory is full, and continues after the records were delivered.
    fn walk_iterator(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> io::Result<WalkCounts> {
        let mut walk = WalkCounts { passes: 1, ..WalkCounts::default() };
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
        control.set(control::CLOCK_OFFSET, 0);
        control.set(control::SLICE_MASK, mask);
        control.set(control::SLICE, slice);
        for index in 0..control::COUNTS_LEN {
            control.set(control::COUNTS + 8 * index, 0);
        }
    }

    /// Calls `visit` with each record, and clears the memory. Returns the number of records.
    fn hand_over(&mut self, visit: &mut dyn FnMut(&TaskRecord<'_>)) -> u64 {
        self.sched_clock.note(self.control().get(control::CLOCK_OFFSET));
        let used = usize::try_from(self.control().get(control::USED) / 8).unwrap_or(usize::MAX);
        let words = self.program.maps().records.as_ref().map_or(&[][..], SharedMap::words);
        // Without the parts of a wait's age its facts are not looked at here, which saves a cache miss for each task.
        let has_ages = self.builder.record_layout.needs_clocks();
        let mut count = 0;
        for raw in RawRecords::new(words.get(..used).unwrap_or(words), &self.builder.record_layout) {
            let wait = self.waits.resolve(&raw);
            let mut runnable = 0;
            let (wait, since_ns) = match wait {
                Some(Known { facts, frames, since_ns }) => (Some((facts, frames)), since_ns),
                None => (None, &mut runnable),
            };
            let mut task = raw.task(wait, self.clock);
            if has_ages {
                task.waited = self.sched_clock.waited(&task, since_ns);
            }
            visit(&task);
            count += 1;
        }
        self.control_mut().set(control::USED, 0);
        count
    }

    /// Makes the program describe all waits again.
    fn forget(&mut self) {
        self.waits.clear();
        if let Some(seen) = &mut self.program.maps_mut().seen {
            seen.words_mut().fill(0);
        }
    }

    /// Makes the memory large enough for `missed` more records. False if it cannot grow.
    fn grow(&mut self, missed: u64) -> bool {
        let maps = self.program.maps();
        let room = maps.records.as_ref().map_or(0, SharedMap::len);
        if room >= self.max_buffer_bytes {
            return false;
        }
        let wanted = usize::try_from(missed).ok().and_then(|missed| missed.checked_mul(self.builder.common_record()));
        let wanted = wanted.and_then(|wanted| room.checked_add(wanted)?.checked_next_power_of_two());
        let wanted = wanted.unwrap_or(usize::MAX).max(2 * room).min(self.max_buffer_bytes);
        match self.builder.remake(maps, wanted, self.most_passed) {
            Ok(program) => self.replace(program),
            // Do not try to grow the memory again.
            Err(_) => self.max_buffer_bytes = room,
        }
        self.max_buffer_bytes > room
    }

    /// Makes the map of tokens larger, if many of the tasks that passed have to share slots. If it cannot grow, the waits of tasks
    /// that share a slot are described in each walk.
    fn widen(&mut self, passed: u64) {
        self.most_passed = self.most_passed.max(passed);
        let maps = self.program.maps();
        let (Some(seen), Some(records)) = (&maps.seen, &maps.records) else { return };
        if self.is_widest || seen.len() >= ProgramBuilder::seen_bytes(passed / 2) {
            return;
        }
        match self.builder.remake(maps, records.len(), passed) {
            Ok(program) => self.replace(program),
            Err(_) => self.is_widest = true,
        }
    }

    fn replace(&mut self, program: Program) {
        self.program = program;
        self.waits.clear();
    }

    const fn control(&self) -> &SharedMap {
        &self.program.maps().control
    }

    const fn control_mut(&mut self) -> &mut SharedMap {
        &mut self.program.maps_mut().control
    }

    fn counts(&self) -> [u64; control::COUNTS_LEN as usize] {
        let mut places = (control::COUNTS..).step_by(8);
        std::array::from_fn(|_| places.next().map_or(0, |place| self.control().get(place)))
    }
}

/// Sets the bits of these ids and clears all others. False if there is no bitmap.
fn select(bitmap: Option<&mut SharedMap>, ids: impl IntoIterator<Item = u32>) -> bool {
    let Some(bitmap) = bitmap else { return false };
    let words = bitmap.words_mut();
    words.fill(0);
    for id in ids {
        // The program reads bytes, so bit 0 is the lowest bit of the first byte in either byte order.
        if let Some(word) = words.get_mut(id as usize / 64) {
            *word |= (1_u64 << (id % 64)).to_le();
        }
    }
    true
}
