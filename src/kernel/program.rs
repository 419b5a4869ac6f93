//! The programs that run in the kernel, with the C they would be if they had been written in it.
//!
//! The walk as an open-coded loop (Linux 6.7 on), run through bpf(2):
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
//! and as a body that the kernel's own iterator calls for each task (Linux 5.8 on): `visit(ctx->task)`.
//!
//! The verifier follows every way through a program before it lets it run. Two of its rules shape the text. A pointer must be
//! proven not to be null, or to lie in its map, before it is used. And a loop must come back to a state that was seen before:
//! so what changes from task to task (how much room is left, how many tasks were seen) lives in the maps' memory, and nothing
//! but constant pointers lives in registers from one task to the next.

use crate::kernel::bpf::asm::{AsmError, Code, Helper, Place, Register, When};
use crate::kernel::bpf::btf::Field;
use crate::kernel::bpf::sys::Memory;
use crate::kernel::layout::{Ids, Layout, Walk};
use crate::kernel::record::{Parts, SEEN_SIZE, control, field, mark};
use crate::kernel::state;
use Register::{Frame, R0, R1, R2, R3, R4, R6, R7, R8, R9};
use When::{Above, AnyBit, Equal, Negative, NotEqual};

/// `struct control *control`: see [`control`].
const CONTROL: Register = R6;
/// `struct task_struct *task`
const TASK: Register = R7;
/// `unsigned int state`: `task->__state` as it was first read, until there is a record to keep it in.
const STATE: Register = R9;
/// `struct record *record`: see [`field`].
const RECORD: Register = R9;

/// Offsets in the frame.
mod frame {
    /// `struct upid thread`: the thread's id in the wanted namespace.
    pub const THREAD: i32 = -16;
    /// `struct upid process`: the process's.
    pub const PROCESS: i32 = -32;
    /// `struct bpf_iter_task it`, of as many bytes as the kernel says.
    pub const ITERATOR_END: i32 = -32;
}

/// How the kernel comes by each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Our loop.
    OpenCoded,
    /// The kernel's loop around our body.
    Iterator,
}

/// A program text in the making, and what it is made for.
struct Text<'a> {
    code: Code,
    layout: &'a Layout,
    memory: &'a Memory,
    parts: Parts,
    way: Way,
    /// How deep the PID namespace lies whose ids are wanted; at 0 `task->pid` says it all.
    level: u32,
}

/// The walk as an open-coded loop.
///
/// # Errors
/// When the kernel's fields lie out of reach.
pub fn open_coded(
    layout: &Layout,
    walk: Walk,
    memory: &Memory,
    parts: Parts,
    level: u32,
) -> Result<Vec<u64>, AsmError> {
    let mut text = Text { code: Code::new(), layout, memory, parts, way: Way::OpenCoded, level };
    text.set_control();
    if let (Some(ids), 1..) = (layout.ids, level) {
        text.note_own_namespace(ids);
    }
    text.loop_over_tasks(walk, Text::visit);
    text.code.finish()
}

/// The body of the kernel's iterator over tasks.
///
/// # Errors
/// When the kernel's fields lie out of reach.
pub fn iterator(layout: &Layout, memory: &Memory, parts: Parts, level: u32) -> Result<Vec<u64>, AsmError> {
    let mut text = Text { code: Code::new(), layout, memory, parts, way: Way::Iterator, level };
    let code = &mut text.code;
    code.load(TASK, R1.u64(8)); //                                 task = ctx->task;
    text.set_control();
    let code = &mut text.code;
    code.jump_if(TASK, Equal, 0, "next"); //                       if (!task) return 0;   // the end
    text.visit();
    text.code.label("next");
    text.code.set(R0, 0); //                                       return 0;
    text.code.exit();
    text.code.label("full");
    text.count(-1); //                                             // it will be counted again
    text.code.set(R0, 1); //                                       return 1;   // pause, then this task once more
    text.code.exit();
    text.code.finish()
}

/// The walk with nothing in it but a count: what visiting costs before anything is done.
///
/// # Errors
/// When the kernel's fields lie out of reach.
pub fn bare(layout: &Layout, walk: Walk, memory: &Memory) -> Result<Vec<u64>, AsmError> {
    let way = Way::OpenCoded;
    let mut text = Text { code: Code::new(), layout, memory, parts: Parts::default(), way, level: 0 };
    text.set_control();
    text.loop_over_tasks(walk, |text| {
        text.code.load(R1, CONTROL.u64(control::COUNTS)); //       control->counts[0]++;
        text.code.add(R1, 1);
        text.code.store(CONTROL.u64(control::COUNTS), R1);
    });
    text.code.finish()
}

/// Tells how deep our own PID namespace lies. Runs as a program of its own, or as the body of an iterator.
///
/// # Errors
/// When the kernel's fields lie out of reach.
pub fn own_level(layout: &Layout, ids: Ids, memory: &Memory) -> Result<Vec<u64>, AsmError> {
    let mut text = Text { code: Code::new(), layout, memory, parts: Parts::default(), way: Way::Iterator, level: 0 };
    text.set_control();
    let code = &mut text.code;
    code.call(Helper::GetCurrentTaskBtf); //                       current
    code.load(R1, R0.field(ids.thread_pid)); //                    pid = current->thread_pid;
    code.jump_if(R1, Equal, 0, "end"); //                          if (pid)
    code.load(R1, R1.field(ids.level));
    code.store(CONTROL.u64(control::LEVEL), R1); //                    control->level = pid->level;
    code.label("end");
    code.set(R0, 0); //                                            return 0;
    code.exit();
    text.code.finish()
}

impl Text<'_> {
    fn set_control(&mut self) {
        self.code.set_map_value(CONTROL, self.memory.control.descriptor()); // control = &control_map[0];
    }

    fn loop_over_tasks(&mut self, walk: Walk, body: impl FnOnce(&mut Self)) {
        let code = &mut self.code;
        let iterator = frame::ITERATOR_END - walk.iterator_size.next_multiple_of(8).cast_signed();
        code.call_kernel(walk.lock); //                            bpf_rcu_read_lock();
        code.set(R1, Frame);
        code.add(R1, iterator);
        code.set(R2, 0);
        code.set(R3, walk.all_threads);
        code.call_kernel(walk.new); //                             bpf_iter_task_new(&it, NULL, BPF_TASK_ITER_ALL_THREADS);
        code.label("next");
        code.set(R1, Frame); //                                    next:
        code.add(R1, iterator);
        code.call_kernel(walk.next); //                            task = bpf_iter_task_next(&it);
        code.jump_if(R0, Equal, 0, "end"); //                      if (!task) goto end;
        code.set(TASK, R0);
        body(self); //                                             …
        let code = &mut self.code;
        code.jump("next"); //                                      goto next;
        code.label("end");
        code.set(R1, Frame); //                                    end:
        code.add(R1, iterator);
        code.call_kernel(walk.destroy); //                         bpf_iter_task_destroy(&it);
        code.call_kernel(walk.unlock); //                          bpf_rcu_read_unlock();
        code.set(R0, 0); //                                        return 0;
        code.exit();
    }

    /// Looks at one task, and writes a record if it passes. Jumps to `next` where it does not, to `full` where it finds no
    /// room.
    fn visit(&mut self) {
        if let (Some(ids), 1..) = (self.layout.ids, self.level) {
            self.find_thread_id(ids);
        }
        self.derive_state();
        self.skip_pid_0();
        self.count(1);
        self.pass_gate();
        self.pass_slice();
        if let (Some(ids), 1..) = (self.layout.ids, self.level) {
            self.find_process_id(ids);
        }
        if let Some(processes) = self.memory.processes.as_ref().map(crate::kernel::bpf::sys::Shared::descriptor) {
            self.load_tgid(R1);
            self.pass_bitmap(processes);
        }
        if let Some(threads) = self.memory.threads.as_ref().map(crate::kernel::bpf::sys::Shared::descriptor) {
            self.load_tid(R1);
            self.pass_bitmap(threads);
        }
        self.reserve();
        self.write_fixed();
        self.write_wait();
        self.commit();
    }

    /// `R8` = the number of the state, [`state::State`].
    fn derive_state(&mut self) {
        let code = &mut self.code;
        code.load(R1, TASK.field(self.layout.state)); //           state = task->__state;
        code.set(STATE, R1);
        code.load(R8, TASK.field(self.layout.exit_state));
        code.or(R8, R1);
        code.and(R8, state::REPORTED); //                          bits = (state | task->exit_state) & TASK_REPORT;
        code.set(R2, R1);
        code.and(R2, state::IDLE);
        code.jump_if(R2, NotEqual, state::IDLE, "not idle"); //    if ((state & TASK_IDLE) == TASK_IDLE)
        code.set(R8, state::REPORTED_IDLE); //                         bits = TASK_REPORT_IDLE;
        code.label("not idle");
        code.and(R1, state::SHOWN_UNINTERRUPTIBLE);
        code.jump_if(R1, Equal, 0, "plain"); //                    if (state & (TASK_RTLOCK_WAIT | TASK_FROZEN))
        code.set(R8, state::UNINTERRUPTIBLE); //                       bits = TASK_UNINTERRUPTIBLE;
        code.label("plain");
        code.and(R8, control::STATES_LEN - 1); //                  // which the verifier can not know
        code.add(R8, CONTROL);
        code.load(R8, R8.u8(control::STATES)); //                  index = control->states[bits];   // fls(bits)
        code.and(R8, control::COUNTS_LEN - 1);
    }

    /// The idle tasks of the CPUs: always R, so that no other task pays for being asked.
    fn skip_pid_0(&mut self) {
        let code = &mut self.code;
        code.jump_if(R8, NotEqual, 0, "a task"); //                if (index == R)
        code.load(R1, TASK.field(self.layout.pid));
        code.jump_if(R1, Equal, 0, "next"); //                         if (task->pid == 0) goto next;
        code.label("a task");
    }

    /// Counts the task whose state is in `R8`.
    fn count(&mut self, by: i32) {
        let code = &mut self.code;
        code.set(R1, R8);
        code.shift_left(R1, 3);
        code.add(R1, CONTROL);
        code.load(R2, R1.u64(control::COUNTS)); //                 control->counts[index] += by;
        code.add(R2, by);
        code.store(R1.u64(control::COUNTS), R2);
    }

    fn pass_gate(&mut self) {
        let code = &mut self.code;
        code.load(R1, CONTROL.u64(control::GATE));
        code.shift_right(R1, R8);
        code.and(R1, 1);
        code.jump_if(R1, Equal, 0, "next"); //                     if (!(control->gate >> index & 1)) goto next;
    }

    /// Where not all records fit, several walks each take the threads whose ids end in certain bits.
    fn pass_slice(&mut self) {
        let code = &mut self.code;
        code.load(R1, TASK.field(self.layout.pid));
        code.load(R2, CONTROL.u64(control::SLICE_MASK));
        code.and(R1, R2);
        code.load(R2, CONTROL.u64(control::SLICE));
        code.jump_if(R1, NotEqual, R2, "next"); //                 if ((task->pid & control->slice_mask) != control->slice) goto next;
    }

    /// Passes if the bit of the id in `R1` is set.
    fn pass_bitmap(&mut self, map: i32) {
        let code = &mut self.code;
        code.set(R2, R1);
        code.shift_right(R2, 3);
        code.and(R2, (PID_LIMIT / 8 - 1).cast_signed());
        code.set_map_value(R3, map);
        code.add(R3, R2);
        code.load(R3, R3.u8(0)); //                                byte = map[id / 8];   // no id is larger than the map
        code.and(R1, 7);
        code.shift_right(R3, R1);
        code.and(R3, 1);
        code.jump_if(R3, Equal, 0, "next"); //                     if (!(byte >> id % 8 & 1)) goto next;
    }

    /// Sets `RECORD` to where the record goes.
    fn reserve(&mut self) {
        let Some(records) = &self.memory.records else { return };
        // The whole of the room may be proven to be asked for only after the largest record would fit.
        let largest = self.parts.size() + self.parts.frames_size();
        let last = i32::try_from(records.len()).unwrap_or(i32::MAX).saturating_sub(largest).max(0);
        let code = &mut self.code;
        code.load(R1, CONTROL.u64(control::USED));
        match self.way {
            Way::OpenCoded => {
                code.jump_if(R1, Above, last, "full"); //          if (control->used > last) {
                code.jump("room");
                code.label("full");
                code.load(R1, CONTROL.u64(control::MISSED));
                code.add(R1, 1);
                code.store(CONTROL.u64(control::MISSED), R1); //       control->missed++;
                code.jump("next"); //                                  goto next; }
                code.label("room");
            }
            Way::Iterator => code.jump_if(R1, Above, last, "full"), // if (control->used > last) return 1;
        }
        code.set_map_value(R2, records.descriptor());
        code.add(R2, R1);
        code.store(R2.u16(field::RAW_STATE), STATE);
        code.set(RECORD, R2); //                                   record = (void *)records + control->used;
    }

    fn write_fixed(&mut self) {
        self.code.store(RECORD.u8(field::STATE), R8); //           record->state = index;
        self.load_tid(R1);
        self.code.store(RECORD.u32(field::TID), R1); //            record->tid = …;
        self.load_tgid(R1);
        self.code.store(RECORD.u32(field::TGID), R1); //           record->tgid = …;
        let layout = self.layout;
        self.copy(RECORD.u64(field::START), layout.start_boottime);
        self.copy(RECORD.u32(field::FLAGS), layout.flags); //      record->flags = task->flags;
        for index in 0..2 {
            if let Some(half) = layout.comm.element(index, 8) {
                let place = field::COMM + 8 * index.cast_signed();
                self.copy(RECORD.u64(place), half); //             memcpy(record->comm, task->comm, 16);
            }
        }
        if let (Some(leader), true) = (layout.group_leader, self.parts.leader) {
            self.write_leader(leader);
        }
        match layout.cpu {
            Some(cpu) => self.copy(RECORD.u32(field::CPU), cpu), //record->cpu = task->thread_info.cpu;
            None => self.clear(RECORD.u32(field::CPU)),
        }
        if let (Some(credentials), true) = (layout.credentials, self.parts.uid) {
            let code = &mut self.code;
            code.load(R1, TASK.field(credentials.real_cred));
            code.jump_if(R1, Equal, 0, "no cred"); //              if (task->real_cred)
            code.load(R1, R1.field(credentials.uid));
            code.label("no cred");
            code.store(RECORD.u32(field::UID), R1); //                 record->uid = task->real_cred->uid.val;
        }
    }

    /// The name of the process.
    fn write_leader(&mut self, group_leader: Field) {
        let halves = [0, 1].map(|index| self.layout.comm.element(index, 8));
        let places = [0, 8].map(|place| RECORD.u64(field::END + place));
        self.code.load(R3, TASK.field(group_leader));
        self.code.jump_if(R3, Equal, 0, "no leader"); //           if (task->group_leader)
        for (half, place) in halves.into_iter().zip(places) {
            if let Some(half) = half {
                self.copy_from(R3, half, place); //                    memcpy(record->leader, task->group_leader->comm, 16);
            }
        }
        self.code.jump("led"); //                                  else
        self.code.label("no leader");
        for place in [0, 8] {
            self.clear(RECORD.u64(field::END + place)); //             memset(record->leader, 0, 16);
        }
        self.code.label("led");
    }

    /// What the task waits for, unless it runs or has ended. From here on `R8` = `record->marks`.
    ///
    /// A task is at rest if it is on no CPU, and was at rest all the while if its switches are the same afterwards: they are
    /// counted when it leaves a CPU. Its state is read again once that is noted, for it was first read before.
    fn write_wait(&mut self) {
        self.code.set(R1, R8); //                                  // the state's number
        self.code.set(R8, 0); //                                   marks = 0;
        if let Some(on_cpu) = self.layout.on_cpu {
            let code = &mut self.code;
            code.load(R2, TASK.field(on_cpu));
            code.jump_if(R2, Equal, 0, "off cpu"); //              if (task->on_cpu)
            code.set(R8, mark::ON_CPU); //                             marks = ON_CPU;
            code.label("off cpu");
        }
        self.load_switches(R2, R3);
        let code = &mut self.code;
        code.store(RECORD.u64(field::SWITCHES), R2); //            record->switches = task->nvcsw + task->nivcsw;
        if self.parts.takes_wait() {
            code.jump_if(R8, NotEqual, 0, "written"); //           if (marks & ON_CPU) goto written;
            code.jump_if(R1, Equal, 0, "written"); //              if (index == R) goto written;
            for ended in state::ENDED {
                code.jump_if(R1, Equal, ended, "written"); //      if (index == X || index == Z) goto written;
            }
            self.check_state();
            self.skip_what_is_known();
            self.write_call();
            self.write_stack();
            self.check_rest();
        }
        self.code.label("written");
        self.code.store(RECORD.u8(field::MARKS), R8); //           record->marks = marks;
    }

    /// A state that changed before the switches were noted is not the one that goes with them.
    fn check_state(&mut self) {
        let code = &mut self.code;
        code.load(R2, TASK.field(self.layout.state));
        code.and(R2, 0xffff); //                                   // all the bits there are
        code.load(R3, RECORD.u16(field::RAW_STATE));
        code.jump_if(R2, NotEqual, R3, "moved"); //                if (task->__state != state) goto moved;
    }

    /// A task that was on no CPU since it was last described still waits for the same. To take a stack costs more than all the
    /// rest, and most tasks sleep for long.
    fn skip_what_is_known(&mut self) {
        self.load_seen(R3);
        self.load_token(R2, R1);
        let code = &mut self.code;
        code.load(R1, R3.u64(0));
        code.jump_if(R1, NotEqual, R2, "not known"); //            if (*seen == token) {
        code.set(R8, mark::SAME); //                                   marks = SAME;
        code.jump("written"); //                                       goto written; }
        code.label("not known");
    }

    /// `to` = what was last described of a task with this id, or one that shares its place
    fn load_seen(&mut self, to: Register) {
        let Some(map) = &self.memory.seen else { return };
        let mask = i32::try_from(map.len() / SEEN_SIZE).unwrap_or(1).saturating_sub(1);
        let code = &mut self.code;
        code.load(R1, TASK.field(self.layout.pid));
        code.and(R1, mask);
        code.shift_left(R1, SEEN_SIZE.trailing_zeros().cast_signed());
        code.set_map_value(to, map.descriptor());
        code.add(to, R1); //                                       seen = &seen_map[task->pid % SEEN];
    }

    /// `to` = what tells one sleep of one task from others. Should it ever fail to, what is kept of both is compared in full.
    fn load_token(&mut self, to: Register, scratch: Register) {
        let code = &mut self.code;
        code.load(to, RECORD.u64(field::SWITCHES));
        code.shift_left(to, 32);
        code.load(scratch, RECORD.u64(field::START));
        code.add(to, scratch); //                                  token = (record->switches << 32) + record->start;
    }

    /// The user's registers, which lie on the kernel's stack.
    fn write_call(&mut self) {
        let (Some(registers), true) = (self.layout.registers, self.parts.syscall) else { return };
        /// `PF_KTHREAD`
        const KERNEL_THREAD: i32 = 0x0020_0000;
        let code = &mut self.code;
        code.load(R1, RECORD.u32(field::FLAGS));
        code.jump_if(R1, AnyBit, KERNEL_THREAD, "no call"); //     if (!(task->flags & PF_KTHREAD)) {
        code.set(R1, TASK);
        code.call(Helper::TaskPtRegs); //                              regs = task_pt_regs(task);
        let call_part = self.parts.call();
        let call = |place| RECORD.u64(call_part + place);
        self.copy_from(R0, registers.number, call(field::CALL_NUMBER));
        self.copy_from(R0, registers.sp, call(field::CALL_SP));
        self.copy_from(R0, registers.ip, call(field::CALL_IP));
        let code = &mut self.code;
        code.or(R8, mark::CALL);
        code.load(R1, TASK.field(registers.compat_word));
        code.jump_if(R1, AnyBit, registers.compat_bits, "32-bit"); //  if (!(task->thread_info.status & TS_COMPAT))
        self.copy_args(registers.args); //                                 copy the arguments
        self.code.jump("no call"); //                                  else {
        self.code.label("32-bit");
        self.code.or(R8, mark::COMPAT);
        self.copy_args(registers.compat_args); //                          copy those of 32-bit programs }
        self.code.label("no call"); //                             }
    }

    fn copy_args(&mut self, args: [Field; 6]) {
        for (index, arg) in (0..).zip(args) {
            self.copy_from(R0, arg, RECORD.u64(self.parts.call() + field::CALL_ARGS + 8 * index));
        }
    }

    /// The return addresses on the kernel's stack, the scheduler's own left out by the kernel.
    fn write_stack(&mut self) {
        if self.parts.frames == 0 {
            return;
        }
        let stack = self.parts.stack();
        self.clear(RECORD.u64(stack)); //                          record->stack.bytes = 0;
        let code = &mut self.code;
        code.set(R1, TASK);
        code.set(R2, RECORD);
        code.add(R2, stack + field::STACK_FRAMES);
        code.set(R3, self.parts.frames_size());
        code.set(R4, 0);
        code.call(Helper::GetTaskStack); //                        n = bpf_get_task_stack(task, record->stack.frames, size, 0);
        code.jump_if(R0, Negative, 0, "no stack"); //              if (n >= 0)
        code.store(RECORD.u64(stack), R0); //                          record->stack.bytes = n;
        code.label("no stack");
    }

    /// If the task was at rest all the while, what was taken is true and need not be taken again.
    fn check_rest(&mut self) {
        if let Some(on_cpu) = self.layout.on_cpu {
            self.code.load(R1, TASK.field(on_cpu));
            self.code.jump_if(R1, NotEqual, 0, "moved");
        }
        self.load_switches(R2, R3);
        let code = &mut self.code;
        code.load(R4, RECORD.u64(field::SWITCHES));
        code.jump_if(R4, NotEqual, R2, "moved"); //                if (!task->on_cpu && switches(task) == record->switches) {
        code.or(R8, mark::TAKEN); //                                   marks |= TAKEN;
        self.load_seen(R3);
        self.load_token(R2, R1);
        let code = &mut self.code;
        code.store(R3.u64(0), R2); //                                  *seen = token;
        code.jump("written"); //                                   } else
        code.label("moved");
        code.set(R8, mark::MOVED); //                                  marks = MOVED;
    }

    /// Makes the record count.
    fn commit(&mut self) {
        let code = &mut self.code;
        code.load(R1, CONTROL.u64(control::USED));
        code.add(R1, self.parts.call()); //                        size = sizeof(record->fixed);   // with the leader's name
        if self.parts.takes_wait() {
            code.and(R8, mark::TAKEN);
            code.jump_if(R8, Equal, 0, "short"); //                if (marks & TAKEN)
            code.add(R1, self.parts.size() - self.parts.call()); //           size = sizeof(*record) + record->stack.bytes;
            if self.parts.frames > 0 {
                code.load(R2, RECORD.u64(self.parts.stack()));
                code.add(R1, R2);
            }
            code.label("short");
        }
        code.store(CONTROL.u64(control::USED), R1); //             control->used += size;
    }

    /// `to` = `task->nvcsw + task->nivcsw`
    fn load_switches(&mut self, to: Register, scratch: Register) {
        self.code.load(to, TASK.field(self.layout.nvcsw));
        self.code.load(scratch, TASK.field(self.layout.nivcsw));
        self.code.add(to, scratch);
    }

    /// `to` = the thread's id in the wanted namespace
    fn load_tid(&mut self, to: Register) {
        let place = match (self.layout.ids, self.level) {
            (Some(ids), 1..) => Frame.u32(frame::THREAD + ids.upid_nr.offset.cast_signed()),
            _ => TASK.field(self.layout.pid),
        };
        self.code.load(to, place);
    }

    /// `to` = the process's id in the wanted namespace
    fn load_tgid(&mut self, to: Register) {
        let place = match (self.layout.ids, self.level) {
            (Some(ids), 1..) => Frame.u32(frame::PROCESS + ids.upid_nr.offset.cast_signed()),
            _ => TASK.field(self.layout.tgid),
        };
        self.code.load(to, place);
    }

    /// Notes the address of the namespace whose ids are wanted: the ancestor at that depth of our own.
    fn note_own_namespace(&mut self, ids: Ids) {
        let code = &mut self.code;
        code.call(Helper::GetCurrentTaskBtf); //                   current
        code.load(R3, R0.field(ids.thread_pid)); //                pid = current->thread_pid;
        self.read_number(ids, frame::THREAD); //                   thread = pid->numbers[LEVEL];
        let code = &mut self.code;
        code.load(R1, Frame.u64(frame::THREAD + ids.upid_ns.offset.cast_signed()));
        code.store(CONTROL.u64(control::NAMESPACE), R1); //        control->namespace = thread.ns;
    }

    /// The id of the thread in the wanted namespace; jumps to `next` if it is not visible there.
    fn find_thread_id(&mut self, ids: Ids) {
        let code = &mut self.code;
        code.load(R3, TASK.field(ids.thread_pid)); //              pid = task->thread_pid;
        code.jump_if(R3, Equal, 0, "next"); //                     if (!pid) goto next;   // it is being buried
        code.load(R1, R3.field(ids.level));
        code.set(R2, self.level.cast_signed());
        code.jump_if(R2, Above, R1, "next"); //                    if (LEVEL > pid->level) goto next;
        self.read_number(ids, frame::THREAD); //                   thread = pid->numbers[LEVEL];
        if self.way == Way::OpenCoded {
            let code = &mut self.code;
            code.load(R1, Frame.u64(frame::THREAD + ids.upid_ns.offset.cast_signed()));
            code.load(R2, CONTROL.u64(control::NAMESPACE));
            code.jump_if(R1, NotEqual, R2, "next"); //             if (thread.ns != control->namespace) goto next;
        }
    }

    /// The id of the process in the wanted namespace: there, as its thread is.
    fn find_process_id(&mut self, ids: Ids) {
        let code = &mut self.code;
        code.load(R3, TASK.field(ids.signal));
        code.jump_if(R3, Equal, 0, "next");
        code.load(R3, R3.field(ids.tgid_pid)); //                  pid = task->signal->pids[PIDTYPE_TGID];
        code.jump_if(R3, Equal, 0, "next"); //                     if (!pid) goto next;
        self.read_number(ids, frame::PROCESS); //                  process = pid->numbers[LEVEL];
    }

    /// Copies `pid->numbers[LEVEL]` into the frame, with `pid` in `R3`. By a helper, for the verifier does not know how long
    /// that array is.
    fn read_number(&mut self, ids: Ids, to: i32) {
        let code = &mut self.code;
        code.add(R3, (ids.numbers + self.level * ids.upid_size).cast_signed());
        code.set(R1, Frame);
        code.add(R1, to);
        code.set(R2, ids.upid_size.cast_signed());
        code.call(Helper::ProbeReadKernel);
    }

    /// `*(to) = task->from`
    fn copy(&mut self, to: Place, from: Field) {
        self.copy_from(TASK, from, to);
    }

    /// `*(to) = base->from`, through `R1`
    fn copy_from(&mut self, base: Register, from: Field, to: Place) {
        self.code.load(R1, base.field(from));
        self.code.store(to, R1);
    }

    /// `*(to) = 0`, through `R2`
    fn clear(&mut self, to: Place) {
        self.code.set(R2, 0);
        self.code.store(to, R2);
    }
}

/// One more than the largest id the kernel gives (`PID_MAX_LIMIT`).
pub const PID_LIMIT: u32 = 1 << 22;
