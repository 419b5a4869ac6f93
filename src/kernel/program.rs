//! The programs that run in the kernel. The comments on the right show the C code of each group of instructions.
//!
//! The walk as an open-coded loop (since Linux 6.7), run by bpf(2):
//!
//! ```c
//! bpf_rcu_read_lock();
//! struct bpf_iter_task it;
//! bpf_iter_task_new(&it, NULL, BPF_TASK_ITER_ALL_THREADS);
//! while ((task = bpf_iter_task_next(&it)))
//!     visit(task);
//! bpf_iter_task_destroy(&it);
//! bpf_rcu_read_unlock();
//! ```
//!
//! and as a function that the kernel's iterator calls for each task (since Linux 5.8): `visit(ctx->task)`.
//!
//! The verifier checks every path through a program before the kernel runs it. Two of its rules shape these programs. First, a
//! pointer must be proven to be non-null, or to lie within its map, before it is used. Second, a loop must return to a state
//! that the verifier has seen before. So everything that changes from task to task (the memory used, the counts) is in the
//! control map, and registers keep only constant pointers from one task to the next.

use crate::kernel::bpf::asm::Register::{Frame, R0, R1, R2, R3};
use crate::kernel::bpf::asm::When::{Above, Equal, NotEqual};
use crate::kernel::bpf::asm::{AsmError, Code, MemoryOperand, Register};
use crate::kernel::bpf::sys::{Maps, SharedMap};
use crate::kernel::control;
use crate::kernel::layout::{KernelLayout, LoopFunctions};
use crate::kernel::parts::namespace::{self, Namespace, NamespaceFields};
use crate::kernel::parts::{RecordLayout, cpu, identity, record_flags, state};
use crate::kernel::registers::{CONTROL, FLAG_BITS, INDEX, RECORD, TASK};

/// One more than the largest thread id (`PID_MAX_LIMIT`).
pub(crate) const PID_LIMIT: u32 = 1 << 22;
/// The size of a token in the map `seen`: a `u64`, 0 if no wait was described.
pub(crate) const SEEN_SIZE: usize = 8;

/// Where the loop over the tasks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoopKind {
    /// In the program.
    OpenCoded,
    /// In the kernel, which calls the program for each task.
    Iterator,
}

/// Writes the instructions of a walk.
struct WalkWriter<'a> {
    code: Code,
    layout: &'a KernelLayout,
    maps: &'a Maps,
    record_layout: &'a RecordLayout,
    loop_kind: LoopKind,
    /// The PID namespace whose ids the records have; `None` for the initial one.
    namespace: Option<&'a Namespace>,
}

/// The program of an open-coded walk.
///
/// # Errors
/// If a field is too far from the start of its structure for an instruction.
pub(crate) fn open_coded(
    layout: &KernelLayout,
    walk: LoopFunctions,
    maps: &Maps,
    record_layout: &RecordLayout,
    namespace: Option<&Namespace>,
) -> Result<Vec<u64>, AsmError> {
    let mut code = with_control(maps);
    if let Some(namespace) = namespace {
        namespace.write_address(&mut code);
    }
    record_layout.write_clocks(&mut code);
    loop_over_tasks(code, walk, |code| {
        let mut writer = WalkWriter { code, layout, maps, record_layout, loop_kind: LoopKind::OpenCoded, namespace };
        writer.visit();
        writer.code
    })
    .finish()
}

/// The program that the kernel's iterator over tasks calls.
///
/// # Errors
/// If a field is too far from the start of its structure for an instruction.
pub(crate) fn iterator(
    layout: &KernelLayout,
    maps: &Maps,
    record_layout: &RecordLayout,
    namespace: Option<&Namespace>,
) -> Result<Vec<u64>, AsmError> {
    let mut code = Code::new();
    code.load(TASK, R1.u64(8)); //                                 task = ctx->task;
    set_control(&mut code, maps);
    code.jump_if(TASK, Equal, 0, "next"); //                       if (!task) return 0;   // the end
    if record_layout.needs_clocks() {
        code.load(R1, CONTROL.u64(control::CLOCK_OFFSET));
        code.jump_if(R1, NotEqual, 0, "clocks"); //                  if (!control->clock_offset)
        record_layout.write_clocks(&mut code); //                        control->clock_offset = …;   // at the first task
        code.label("clocks");
    }
    let mut writer = WalkWriter { code, layout, maps, record_layout, loop_kind: LoopKind::Iterator, namespace };
    writer.visit();
    writer.code.label("next");
    writer.code.set(R0, 0); //                                       return 0;
    writer.code.exit();
    writer.code.label("full");
    writer.count(-1); //                                             // it will be counted again
    writer.code.set(R0, 1); //                                       return 1;   // pause, then this task once more
    writer.code.exit();
    writer.code.finish()
}

/// The program of a walk that only counts the tasks.
///
/// # Errors
/// If a field is too far from the start of its structure for an instruction.
pub(crate) fn bare(walk: LoopFunctions, maps: &Maps) -> Result<Vec<u64>, AsmError> {
    loop_over_tasks(with_control(maps), walk, |mut code| {
        add_to(&mut code, CONTROL.u64(control::COUNTS), 1); //     control->counts[0]++;
        code
    })
    .finish()
}

/// A program that finds the depth of psn's own PID namespace. It runs by itself, or as the function of an iterator.
///
/// # Errors
/// If a field is too far from the start of its structure for an instruction.
pub(crate) fn own_level(ids: NamespaceFields, maps: &Maps) -> Result<Vec<u64>, AsmError> {
    let mut code = with_control(maps);
    ids.write_own_level(&mut code);
    code.set(R0, 0); //                                            return 0;
    code.exit();
    code.finish()
}

fn with_control(maps: &Maps) -> Code {
    let mut code = Code::new();
    set_control(&mut code, maps);
    code
}

fn set_control(code: &mut Code, maps: &Maps) {
    code.set_map_value(CONTROL, maps.control.descriptor()); //   control = &control_map[0];
}

/// `*(place) += by`, through `R1`
fn add_to(code: &mut Code, place: MemoryOperand, by: i32) {
    code.load(R1, place);
    code.add(R1, by);
    code.store(place, R1);
}

fn loop_over_tasks(mut code: Code, walk: LoopFunctions, body: impl FnOnce(Code) -> Code) -> Code {
    let iterator = namespace::FRAME_END - walk.iterator_size.next_multiple_of(8).cast_signed();
    code.call_kernel(walk.lock); //                                bpf_rcu_read_lock();
    code.set(R1, Frame);
    code.add(R1, iterator);
    code.set(R2, 0);
    code.set(R3, walk.all_threads);
    code.call_kernel(walk.new); //                                 bpf_iter_task_new(&it, NULL, BPF_TASK_ITER_ALL_THREADS);
    code.label("next");
    code.set(R1, Frame); //                                        next:
    code.add(R1, iterator);
    code.call_kernel(walk.next); //                                task = bpf_iter_task_next(&it);
    code.jump_if(R0, Equal, 0, "end"); //                          if (!task) goto end;
    code.set(TASK, R0);
    code = body(code); //                                          …
    code.jump("next"); //                                          goto next;
    code.label("end");
    code.set(R1, Frame); //                                        end:
    code.add(R1, iterator);
    code.call_kernel(walk.destroy); //                             bpf_iter_task_destroy(&it);
    code.call_kernel(walk.unlock); //                              bpf_rcu_read_unlock();
    code.set(R0, 0); //                                            return 0;
    code.exit();
    code
}

impl WalkWriter<'_> {
    /// Checks one task and writes a record if it passes. Jumps to `next` if it does not pass, and to `full` if the memory for
    /// records is full.
    fn visit(&mut self) {
        self.find_thread_id();
        self.layout.state.derive(&mut self.code);
        self.skip_pid_0();
        self.count(1);
        self.pass_gate();
        self.pass_slice();
        if let Some(namespace) = self.namespace {
            namespace.find_process(&mut self.code, "next");
        }
        let identity = self.layout.identity;
        self.pass_bitmap(self.maps.processes.as_ref(), identity.tgid(self.namespace));
        self.pass_bitmap(self.maps.threads.as_ref(), identity.tid(self.namespace));
        self.reserve();
        self.write_what_every_record_has();
        self.record_layout.write_each_walk(&mut self.code);
        self.write_wait();
        self.commit();
    }

    fn find_thread_id(&mut self) {
        let Some(namespace) = self.namespace else { return };
        namespace.find_thread(&mut self.code, "next");
        // The kernel's iterator only shows tasks of psn's own namespace.
        if self.loop_kind == LoopKind::OpenCoded {
            namespace.check_address(&mut self.code, "next");
        }
    }

    /// Skips the idle tasks of the CPUs. They are always in state R, so tasks in other states need no check.
    fn skip_pid_0(&mut self) {
        self.code.jump_if(INDEX, NotEqual, 0, "a task"); //        if (index == R)
        self.layout.identity.load_pid(&mut self.code, R1);
        self.code.jump_if(R1, Equal, 0, "next"); //                    if (task->pid == 0) goto next;
        self.code.label("a task");
    }

    /// Adds to the number of tasks in the state `INDEX`.
    fn count(&mut self, by: i32) {
        let code = &mut self.code;
        code.set(R1, INDEX);
        code.shift_left(R1, 3);
        code.add(R1, CONTROL);
        code.load(R2, R1.u64(control::COUNTS)); //                 control->counts[index] += by;
        code.add(R2, by);
        code.store(R1.u64(control::COUNTS), R2);
    }

    fn pass_gate(&mut self) {
        let code = &mut self.code;
        code.load(R1, CONTROL.u64(control::GATE));
        code.shift_right(R1, INDEX);
        code.and(R1, 1);
        code.jump_if(R1, Equal, 0, "next"); //                     if (!(control->gate >> index & 1)) goto next;
    }

    /// Passes only threads whose ids end in certain bits. If the records do not fit, several passes take one slice of the
    /// threads each.
    fn pass_slice(&mut self) {
        self.layout.identity.load_pid(&mut self.code, R1);
        let code = &mut self.code;
        code.load(R2, CONTROL.u64(control::SLICE_MASK));
        code.and(R1, R2);
        code.load(R2, CONTROL.u64(control::SLICE));
        code.jump_if(R1, NotEqual, R2, "next"); //                 if ((task->pid & control->slice_mask) != control->slice) goto next;
    }

    /// Passes only tasks for whose id a bit of the map is set; all tasks if there is no map.
    fn pass_bitmap(&mut self, map: Option<&SharedMap>, id: MemoryOperand) {
        let Some(map) = map else { return };
        let code = &mut self.code;
        code.load(R1, id);
        code.set(R2, R1);
        code.shift_right(R2, 3);
        code.and(R2, (PID_LIMIT / 8 - 1).cast_signed());
        code.set_map_value(R3, map.descriptor());
        code.add(R3, R2);
        code.load(R3, R3.u8(0)); //                                byte = map[id / 8];   // every id fits into the map
        code.and(R1, 7);
        code.shift_right(R3, R1);
        code.and(R3, 1);
        code.jump_if(R3, Equal, 0, "next"); //                     if (!(byte >> id % 8 & 1)) goto next;
    }

    /// Sets `RECORD` to the address of the new record.
    fn reserve(&mut self) {
        let Some(records) = &self.maps.records else { return };
        // The verifier must be able to prove that the largest record fits.
        let largest = self.record_layout.long() + self.record_layout.max_frames_bytes();
        let last = i32::try_from(records.len()).unwrap_or(i32::MAX).saturating_sub(largest).max(0);
        let code = &mut self.code;
        code.load(R1, CONTROL.u64(control::USED));
        match self.loop_kind {
            LoopKind::OpenCoded => {
                code.jump_if(R1, Above, last, "full"); //          if (control->used > last) {
                code.jump("room");
                code.label("full");
                add_to(code, CONTROL.u64(control::MISSED), 1); //      control->missed++;
                code.jump("next"); //                                  goto next; }
                code.label("room");
            }
            LoopKind::Iterator => code.jump_if(R1, Above, last, "full"), // if (control->used > last) return 1;
        }
        code.set_map_value(R2, records.descriptor());
        code.add(R2, R1);
        state::write_raw(code, R2);
        code.set(RECORD, R2); //                                   record = (void *)records + control->used;
    }

    fn write_what_every_record_has(&mut self) {
        state::write_number(&mut self.code);
        self.layout.identity.write(&mut self.code, self.namespace);
        self.layout.cpu.write_cpu(&mut self.code);
    }

    /// Writes what the task waits for, unless it is running or has ended, and the record flags. From here on `FLAG_BITS` holds
    /// the flags.
    fn write_wait(&mut self) {
        self.code.set(R1, INDEX);
        self.layout.cpu.write_rest(&mut self.code);
        if self.record_layout.takes_wait() {
            self.code.jump_if(FLAG_BITS, NotEqual, 0, "written"); // if (flag_bits & ON_CPU) goto written;
            state::jump_if_no_wait(&mut self.code, R1, "written");
            // If the state changed before the switches were read, they do not belong together.
            self.layout.state.check(&mut self.code, "moved");
            self.skip_what_is_known();
            self.record_layout.write_each_wait(&mut self.code);
            self.confirm_wait();
        }
        self.code.label("written");
        self.code.store(RECORD.u8(record_flags::AT), FLAG_BITS); // record->flag_bits = flag_bits;
    }

    /// Skips the parts of a wait that an earlier record already had, because the task has been on no CPU since. A stack costs
    /// more than everything else, and most tasks sleep for a long time.
    fn skip_what_is_known(&mut self) {
        self.load_seen(R3);
        self.load_token(R2, R1);
        let code = &mut self.code;
        code.load(R1, R3.u64(0));
        code.jump_if(R1, NotEqual, R2, "not known"); //            if (*seen == token) {
        code.set(FLAG_BITS, record_flags::SAME); //                    flag_bits = SAME;
        code.jump("written"); //                                       goto written; }
        code.label("not known");
    }

    /// Sets the flag `TAKEN` if the task was at rest all the time, and stores the token so that this wait is not described again.
    fn confirm_wait(&mut self) {
        self.layout.cpu.check_rest(&mut self.code, "moved");
        self.code.or(FLAG_BITS, record_flags::TAKEN); //           flag_bits |= TAKEN;
        self.load_seen(R3);
        self.load_token(R2, R1);
        let code = &mut self.code;
        code.store(R3.u64(0), R2); //                              *seen = token;
        code.jump("written"); //                                   goto written;
        code.label("moved");
        code.set(FLAG_BITS, record_flags::MOVED); //               moved: flag_bits = MOVED;
    }

    /// `to` = the address of the token of the wait that was last described for a task with this id, or with an id that shares the
    /// slot
    fn load_seen(&mut self, to: Register) {
        let Some(map) = &self.maps.seen else { return };
        let mask = i32::try_from(map.len() / SEEN_SIZE).unwrap_or(1).saturating_sub(1);
        self.layout.identity.load_pid(&mut self.code, R1);
        let code = &mut self.code;
        code.and(R1, mask);
        code.shift_left(R1, SEEN_SIZE.trailing_zeros().cast_signed());
        code.set_map_value(to, map.descriptor());
        code.add(to, R1); //                                       seen = &seen_map[task->pid % SEEN];
    }

    /// `to` = the token of the wait, which tells it from most other waits. If two waits have the same token, psn notices, because
    /// it compares start and switches in full.
    fn load_token(&mut self, to: Register, scratch: Register) {
        let code = &mut self.code;
        cpu::load_noted_switches(code, to);
        code.shift_left(to, 32);
        identity::load_noted_start(code, scratch);
        code.add(to, scratch); //                                  token = (record->switches << 32) + record->start;
    }

    /// Makes the record part of the records written.
    fn commit(&mut self) {
        let code = &mut self.code;
        code.load(R1, CONTROL.u64(control::USED));
        code.add(R1, self.record_layout.short()); //                        used = control->used + sizeof(*record);
        if self.record_layout.takes_wait() {
            code.and(FLAG_BITS, record_flags::TAKEN);
            code.jump_if(FLAG_BITS, Equal, 0, "short"); //         if (flag_bits & TAKEN)
            code.add(R1, self.record_layout.long() - self.record_layout.short()); //     used += sizeof(record->wait) + record->stack.bytes;
            self.record_layout.add_frames_bytes(code, R1);
            code.label("short");
        }
        code.store(CONTROL.u64(control::USED), R1); //             control->used = used;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::bpf::btf::Btf;
    use crate::kernel::parts::Parts;

    /// Every map that a walk can have, or `None` if psn may not create maps.
    fn maps() -> Option<Maps> {
        let new = |name, bytes| match SharedMap::new(name, bytes) {
            Ok(shared) => Some(shared),
            Err(error) => {
                eprintln!("skipped: psn may not create maps here: {error}");
                None
            }
        };
        Some(Maps {
            records: Some(new("records", 1 << 20)?),
            processes: Some(new("processes", PID_LIMIT as usize / 8)?),
            threads: Some(new("threads", PID_LIMIT as usize / 8)?),
            seen: Some(new("seen", SEEN_SIZE << 16)?),
            ..Maps::with_control(new("control", control::SIZE)?)
        })
    }

    /// Each instruction is run for every task that passes, so a longer program costs time for each of them.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn programs_have_no_more_instructions_than_they_had() {
        let Some(maps) = maps() else { return };
        let bytes = include_bytes!("../../tests/fuzz/corpus/btf/kernel");
        let layout = KernelLayout::find(&Btf::parse(bytes).unwrap()).unwrap();
        let length = |parts, level| {
            let record_layout = RecordLayout::new(&layout.parts, parts);
            let namespace = Namespace::new(layout.ids, level);
            let open_coded =
                open_coded(&layout, layout.loop_functions.unwrap(), &maps, &record_layout, namespace.as_ref()).unwrap();
            (open_coded.len(), iterator(&layout, &maps, &record_layout, namespace.as_ref()).unwrap().len())
        };
        let uid = Parts { uid: true, ..Parts::default() };
        let call = Parts { call: true, ..Parts::default() };
        let frames = Parts { frames: 1, ..Parts::default() };
        let all = Parts::OF_CALLS;
        let queued = Parts { queued: true, ..Parts::default() };
        let left = Parts { left: true, ..Parts::default() };
        let lengths =
            [Parts::default(), uid, call, frames, all, queued, left].map(|parts| [length(parts, 0), length(parts, 2)]);
        let before = [
            [(118, 107), (149, 126)],
            [(122, 111), (153, 130)],
            [(203, 192), (234, 211)],
            [(176, 165), (207, 184)],
            [(219, 208), (250, 227)],
            [(142, 133), (173, 152)],
            [(176, 165), (207, 184)],
        ];
        for (now, before) in lengths.into_iter().flatten().zip(before.into_iter().flatten()) {
            assert!(now.0 <= before.0 && now.1 <= before.1, "{lengths:?}");
        }
    }
}
