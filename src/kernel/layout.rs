//! What a walk has to know of the running kernel: where fields lie, what functions there are. All of it is read from the
//! kernel's own BTF, so that one program serves every version.

use std::collections::HashMap;

use crate::kernel::bpf::btf::{Btf, Field, Structure, TypeId};
use crate::kernel::record::Parts;

/// The kernel's task, and what hangs on it.
#[derive(Debug, Clone)]
pub struct Layout {
    /// `task_struct.__state`; before Linux 5.14, `state`.
    pub state: Field,
    /// `task_struct.exit_state`
    pub exit_state: Field,
    /// `task_struct.pid`: the thread's id.
    pub pid: Field,
    /// `task_struct.tgid`: the process's id.
    pub tgid: Field,
    /// `task_struct.start_boottime`
    pub start_boottime: Field,
    /// `task_struct.flags`
    pub flags: Field,
    /// `task_struct.comm`
    pub comm: Field,
    /// `task_struct.group_leader`: the first thread of the process.
    pub group_leader: Option<Field>,
    /// `task_struct.nvcsw`
    pub nvcsw: Field,
    /// `task_struct.nivcsw`
    pub nivcsw: Field,
    /// `task_struct.thread_info.cpu`; before Linux 5.16, `task_struct.cpu`. Absent on a kernel for one CPU.
    pub cpu: Option<Field>,
    /// `task_struct.on_cpu`; absent on a kernel for one CPU.
    pub on_cpu: Option<Field>,
    /// The user.
    pub credentials: Option<Credentials>,
    /// The registers with which a task came into the kernel.
    pub registers: Option<Registers>,
    /// Whether programs may ask for a task's stack.
    pub has_stacks: bool,
    /// Ids in PID namespaces.
    pub ids: Option<Ids>,
    /// What an open-coded walk calls.
    pub walk: Option<Walk>,
    /// The function whose name stands for the iterator over tasks.
    pub iterator: Option<TypeId>,
}

/// Where the user is.
#[derive(Debug, Clone, Copy)]
pub struct Credentials {
    /// `task_struct.real_cred`
    pub real_cred: Field,
    /// `cred.uid`
    pub uid: Field,
}

/// The fields of `struct pt_regs` that a system call uses, and how to tell a 32-bit program's.
#[derive(Debug, Clone, Copy)]
pub struct Registers {
    /// The number.
    pub number: Field,
    /// The arguments.
    pub args: [Field; 6],
    /// The arguments of 32-bit programs.
    pub compat_args: [Field; 6],
    /// The stack pointer.
    pub sp: Field,
    /// The program counter.
    pub ip: Field,
    /// A word of `task_struct` …
    pub compat_word: Field,
    /// … and the bits in it that are set while a 32-bit program is in a system call.
    pub compat_bits: i32,
}

/// Where the ids are that a task has in each PID namespace it is visible in.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    /// `task_struct.thread_pid`
    pub thread_pid: Field,
    /// `task_struct.signal`
    pub signal: Field,
    /// `signal_struct.pids[PIDTYPE_TGID]`
    pub tgid_pid: Field,
    /// `pid.level`: the depth of the innermost namespace.
    pub level: Field,
    /// `pid.numbers`: one `struct upid` for each namespace, from the outermost.
    pub numbers: u32,
    /// Size of `struct upid`.
    pub upid_size: u32,
    /// `upid.nr`: the id.
    pub upid_nr: Field,
    /// `upid.ns`: the namespace.
    pub upid_ns: Field,
}

/// Kernel functions that programs may call, and their constants.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// `bpf_rcu_read_lock`
    pub lock: TypeId,
    /// `bpf_rcu_read_unlock`
    pub unlock: TypeId,
    /// `bpf_iter_task_new`
    pub new: TypeId,
    /// `bpf_iter_task_next`
    pub next: TypeId,
    /// `bpf_iter_task_destroy`
    pub destroy: TypeId,
    /// Size of `struct bpf_iter_task`.
    pub iterator_size: u32,
    /// `BPF_TASK_ITER_ALL_THREADS`
    pub all_threads: i32,
}

/// The functions that are looked for.
const FUNCTIONS: [&str; 6] = [
    "bpf_rcu_read_lock",
    "bpf_rcu_read_unlock",
    "bpf_iter_task_new",
    "bpf_iter_task_next",
    "bpf_iter_task_destroy",
    "bpf_iter_task",
];

/// The constants that are looked for; of a helper's, only whether there is one.
const CONSTANTS: [&str; 4] =
    ["BPF_TASK_ITER_ALL_THREADS", "BPF_FUNC_task_pt_regs", "BPF_FUNC_get_task_stack", "BPF_FUNC_get_current_task_btf"];

/// The structures that are looked for.
const STRUCTURES: [&str; 7] = ["task_struct", "pt_regs", "cred", "pid", "upid", "signal_struct", "bpf_iter_task"];

/// Structures by name.
type Structures<'a> = HashMap<&'a str, Structure<'a>>;

impl Layout {
    /// Finds everything in a kernel's BTF.
    ///
    /// # Errors
    /// The first thing missing that no walk can do without.
    pub fn find(btf: &Btf<'_>) -> Result<Self, &'static str> {
        let structures = btf.structures(&STRUCTURES);
        let task = structures.get("task_struct").ok_or("task_struct")?;
        let field = |name: &'static str| task.field(&[name]).ok_or(name);
        let functions = btf.functions(&FUNCTIONS);
        let constants = btf.enumerators(&CONSTANTS);
        Ok(Self {
            state: field("__state").or_else(|_| field("state"))?,
            exit_state: field("exit_state")?,
            pid: field("pid")?,
            tgid: field("tgid")?,
            start_boottime: field("start_boottime")?,
            flags: field("flags")?,
            comm: field("comm")?,
            group_leader: task.field(&["group_leader"]),
            nvcsw: field("nvcsw")?,
            nivcsw: field("nivcsw")?,
            cpu: task.field(&["thread_info", "cpu"]).or_else(|| task.field(&["cpu"])),
            on_cpu: task.field(&["on_cpu"]),
            credentials: Credentials::find(&structures),
            registers: Registers::find(&structures).filter(|_| constants.contains_key("BPF_FUNC_task_pt_regs")),
            has_stacks: constants.contains_key("BPF_FUNC_get_task_stack"),
            ids: Ids::find(&structures).filter(|_| constants.contains_key("BPF_FUNC_get_current_task_btf")),
            walk: Walk::find(&structures, &functions, &constants),
            iterator: functions.get("bpf_iter_task").copied(),
        })
    }
}

impl Layout {
    /// `parts` without what this kernel can not give.
    #[must_use]
    pub fn reduce(&self, parts: Parts) -> Parts {
        Parts {
            uid: parts.uid && self.credentials.is_some(),
            leader: parts.leader && self.group_leader.is_some(),
            syscall: parts.syscall && self.registers.is_some(),
            frames: if self.has_stacks { parts.frames.min(Parts::MAX_FRAMES) } else { 0 },
        }
    }
}

impl Credentials {
    fn find(structures: &Structures<'_>) -> Option<Self> {
        let (task, cred) = (structures.get("task_struct")?, structures.get("cred")?);
        Some(Self { real_cred: task.field(&["real_cred"])?, uid: cred.field(&["uid"])? })
    }
}

impl Registers {
    /// As `arch/x86/include/asm/syscall.h` has it.
    #[cfg(target_arch = "x86_64")]
    fn find(structures: &Structures<'_>) -> Option<Self> {
        /// `TS_COMPAT`
        const COMPAT: i32 = 0x2;
        let (task, registers) = (structures.get("task_struct")?, structures.get("pt_regs")?);
        let fields = |names: [&str; 6]| all(names.map(|name| registers.field(&[name])));
        Some(Self {
            number: registers.field(&["orig_ax"])?,
            args: fields(["di", "si", "dx", "r10", "r8", "r9"])?,
            compat_args: fields(["bx", "cx", "dx", "si", "di", "bp"])?,
            sp: registers.field(&["sp"])?,
            ip: registers.field(&["ip"])?,
            compat_word: task.field(&["thread_info", "status"])?,
            compat_bits: COMPAT,
        })
    }

    /// As `arch/arm64/include/asm/syscall.h` has it.
    #[cfg(target_arch = "aarch64")]
    fn find(structures: &Structures<'_>) -> Option<Self> {
        /// `_TIF_32BIT`
        const COMPAT: i32 = 1 << 22;
        let (task, registers) = (structures.get("task_struct")?, structures.get("pt_regs")?);
        let general = registers.field(&["regs"])?;
        let register = |index| general.element(index, 8);
        let first = registers.field(&["orig_x0"]);
        let args = all([first, register(1), register(2), register(3), register(4), register(5)])?;
        Some(Self {
            number: registers.field(&["syscallno"])?,
            args,
            compat_args: args,
            sp: registers.field(&["sp"])?,
            ip: registers.field(&["pc"])?,
            compat_word: task.field(&["thread_info", "flags"])?,
            compat_bits: COMPAT,
        })
    }

    /// Other machines' registers are read through /proc.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn find(_: &Structures<'_>) -> Option<Self> {
        None
    }
}

impl Ids {
    fn find(structures: &Structures<'_>) -> Option<Self> {
        /// `PIDTYPE_TGID`
        const TGID: u32 = 1;
        let (task, signal) = (structures.get("task_struct")?, structures.get("signal_struct")?);
        let (pid, upid) = (structures.get("pid")?, structures.get("upid")?);
        Some(Self {
            thread_pid: task.field(&["thread_pid"])?,
            signal: task.field(&["signal"])?,
            tgid_pid: signal.field(&["pids"])?.element(TGID, 8)?,
            level: pid.field(&["level"])?,
            // An array of no stated length, and so of no size.
            numbers: pid.member(&["numbers"])?.bit_offset / 8,
            // As much as the program has room for.
            upid_size: Some(upid.size()).filter(|size| *size <= 16)?,
            upid_nr: upid.field(&["nr"])?,
            upid_ns: upid.field(&["ns"])?,
        })
    }
}

impl Walk {
    fn find(
        structures: &Structures<'_>,
        functions: &HashMap<&str, TypeId>,
        constants: &HashMap<&str, i64>,
    ) -> Option<Self> {
        let function = |name| functions.get(name).copied();
        Some(Self {
            lock: function("bpf_rcu_read_lock")?,
            unlock: function("bpf_rcu_read_unlock")?,
            new: function("bpf_iter_task_new")?,
            next: function("bpf_iter_task_next")?,
            destroy: function("bpf_iter_task_destroy")?,
            iterator_size: structures.get("bpf_iter_task")?.size(),
            all_threads: i32::try_from(*constants.get("BPF_TASK_ITER_ALL_THREADS")?).ok()?,
        })
    }
}

/// All or nothing.
fn all<const N: usize>(fields: [Option<Field>; N]) -> Option<[Field; N]> {
    let mut found = [Field { offset: 0, size: 0 }; N];
    for (to, from) in found.iter_mut().zip(fields) {
        *to = from?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_own_description_is_found_whole() {
        let bytes = include_bytes!("../../tests/fuzz/corpus/btf/kernel");
        let layout = Layout::find(&Btf::parse(bytes).unwrap()).unwrap();
        assert_eq!((layout.state.offset, layout.exit_state.offset, layout.comm.size), (24, 56, 16));
        let walk = layout.walk.unwrap();
        assert_eq!((walk.iterator_size, walk.all_threads), (24, 1));
        assert_eq!(layout.ids.unwrap().numbers, 96);
        assert!(layout.has_stacks && layout.credentials.is_some() && layout.iterator.is_some());
        #[cfg(target_arch = "x86_64")]
        assert_eq!(layout.registers.unwrap().number.offset, 120);
    }

    #[test]
    fn what_is_missing_is_named() {
        let bytes = include_bytes!("../../tests/fuzz/corpus/btf/odd");
        assert_eq!(Layout::find(&Btf::parse(bytes).unwrap()).unwrap_err(), "exit_state");
    }
}
