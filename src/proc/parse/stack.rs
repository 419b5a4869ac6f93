//! `/proc/PID/task/TID/stack`: the kernel's stack, innermost frame first (proc(5); `proc_pid_stack` in the kernel's
//! `fs/proc/base.c`).
//!
//! A frame is `[<0>] function+0x1b/0x40 [module]`; kernels before 4.15 have the address for the `0`, and before 5.2 a last
//! `[<ffffffffffffffff>] 0xffffffffffffffff`.

use crate::proc::parse::{cut, cut_last};

/// The functions on the stack, innermost first, without offsets and modules. Suffixes that the compiler gave (`.isra.0`) are
/// part of the kernel's name and kept. An address without a symbol stays an address; the end mark of old kernels is left out.
pub fn frames(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    FrameLines { rest: text }.filter_map(function)
}

/// `[<0>] function+0x1b/0x40 [module]` → `function`.
#[inline]
fn function(line: &[u8]) -> Option<&[u8]> {
    let (address, symbol) = cut(line, b' ')?;
    if !(address.starts_with(b"[<") && address.ends_with(b">]")) {
        return None;
    }
    let end = memchr::memchr2(b'+', b' ', symbol).unwrap_or(symbol.len());
    symbol.get(..end).filter(|name| !matches!(*name, b"" | b"0xffffffffffffffff" | b"0xffffffff"))
}

/// The lines of a stack, from either end; some may be empty.
struct FrameLines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for FrameLines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = cut(self.rest, b'\n').unwrap_or((self.rest, &[]));
        self.rest = rest;
        Some(line)
    }
}

impl DoubleEndedIterator for FrameLines<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (rest, line) = cut_last(self.rest, b'\n').unwrap_or((&[], self.rest));
        self.rest = rest;
        Some(line)
    }
}

/// Whether `name` is an entry frame, with which every stack starts: the way from user space into a system call, or the first
/// steps of a new thread. Such frames do not tell what the thread does. x86-64 with its 32-bit entries, aarch64 and riscv64, kernels 2.6.32 on.
#[must_use]
pub fn is_entry_frame(name: &[u8]) -> bool {
    ENTRY_FRAMES.binary_search(&base_name(name)).is_ok()
}

/// Whether `name` is a function that the kernel itself skips when it looks for `wchan`.
///
/// `in_sched_functions` (`kernel/sched/core.c`) passes over what is marked `__sched` (the scheduler, sleeping locks, completions,
/// `wait_on_bit`, timed sleeps) or sits with the spin locks. Most kernels drop these from `stack` as well; some architectures and
/// older ones leave a few, and on those the first frame would name how a thread sleeps and never what it waits for. Functions
/// around a wait that carry no such mark (`futex_do_wait`, `poll_schedule_timeout`, `folio_wait_bit_common`) do name the cause
/// and are kept, so that the answer is the one `wchan` gives. The switch itself (`__switch_to`) is marked on some kernels only.
#[must_use]
pub fn is_scheduler_frame(name: &[u8]) -> bool {
    SCHEDULER_FRAMES.binary_search(&base_name(name)).is_ok()
}

/// By which entry a thread came into an x86-64 kernel. It tells in which ABI its system calls are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The entry of 64-bit programs, including x32.
    Native,
    /// An entry of 32-bit programs, which 64-bit programs may use too (`int $0x80`).
    Compat,
}

/// The entry that a stack shows, on x86-64 kernels.
#[must_use]
pub fn entry(text: &[u8]) -> Option<Entry> {
    frames(text).rev().find_map(|name| {
        let name = base_name(name);
        if name.starts_with(b"__x64_sys_") || NATIVE_ENTRIES.contains(&name) {
            Some(Entry::Native)
        } else if name.starts_with(b"__ia32_") || COMPAT_ENTRIES.contains(&name) {
            Some(Entry::Compat)
        } else {
            None
        }
    })
}

/// `entry_SYSCALL_64` and what it calls, kernels 2.6.32 on.
const NATIVE_ENTRIES: &[&[u8]] = &[
    b"do_syscall_64",
    b"do_syscall_x64",
    b"entry_SYSCALL_64",
    b"entry_SYSCALL_64_after_hwframe",
    b"entry_SYSCALL_64_fastpath",
    b"system_call_fastpath",
    b"tracesys",
];

/// `entry_INT80_compat`, `entry_SYSENTER_compat`, `entry_SYSCALL_compat` and what they call, kernels 2.6.32 on.
const COMPAT_ENTRIES: &[&[u8]] = &[
    b"__do_fast_syscall_32",
    b"asm_int80_emulation",
    b"cstar_dispatch",
    b"cstar_do_call",
    b"do_SYSENTER_32",
    b"do_fast_syscall_32",
    b"do_int80_emulation",
    b"do_int80_syscall_32",
    b"do_syscall_32_irqs_on",
    b"entry_INT80_32",
    b"entry_INT80_compat",
    b"entry_SYSCALL_compat",
    b"entry_SYSCALL_compat_after_hwframe",
    b"entry_SYSENTER_compat",
    b"entry_SYSENTER_compat_after_hwframe",
    b"ia32_do_call",
    b"ia32_sysret",
    b"ia32_tracesys",
    b"int80_emulation",
    b"sysenter_dispatch",
    b"sysenter_do_call",
    b"sysenter_tracesys",
];

/// The function in which the thread sleeps: the innermost one that is not part of the scheduler. `None` if there is none.
///
/// A substitute for `wchan`, which is `0` if the kernel has no symbol for it or the reader may not see it.
#[must_use]
pub fn wait_channel(text: &[u8]) -> Option<&[u8]> {
    frames(text).find(|name| !is_scheduler_frame(name))
}

/// Appends the stack as one line, outermost first: `vfs_read()->pipe_read()`, without entry frames; `-` when nothing is left.
pub fn render(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = frames(text).rev().filter(|name| !is_entry_frame(name));
    let Some(outermost) = rest.next() else {
        out.push(b'-');
        return;
    };
    push_call(outermost, out);
    for name in rest {
        out.extend_from_slice(b"->");
        push_call(name, out);
    }
}

fn push_call(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b"()");
}

/// `name` without what the compiler appended: `.isra.0`, `.constprop.0`, `.part.0`, `.llvm.123`.
#[inline]
fn base_name(name: &[u8]) -> &[u8] {
    cut(name, b'.').map_or(name, |(base, _)| base)
}

/// Sorted by bytes.
const ENTRY_FRAMES: &[&[u8]] = &[
    b"__do_fast_syscall_32",
    b"__invoke_syscall",
    b"__sys_trace_return",
    b"asm_int80_emulation",
    b"check_syscall_nr",
    b"child_rip",
    b"cstar_dispatch",
    b"cstar_do_call",
    b"do_SYSENTER_32",
    b"do_el0_svc",
    b"do_el0_svc_compat",
    b"do_fast_syscall_32",
    b"do_int80_emulation",
    b"do_int80_syscall_32",
    b"do_syscall_32_irqs_on",
    b"do_syscall_64",
    b"do_syscall_x64",
    b"do_trap_ecall_u",
    b"el0_svc",
    b"el0_svc_common",
    b"el0_svc_compat",
    b"el0_svc_compat_handler",
    b"el0_svc_handler",
    b"el0_svc_naked",
    b"el0_sync",
    b"el0_sync_compat",
    b"el0_sync_compat_handler",
    b"el0_sync_handler",
    b"el0t_32_sync",
    b"el0t_32_sync_handler",
    b"el0t_64_sync",
    b"el0t_64_sync_handler",
    b"entry_INT80_32",
    b"entry_INT80_compat",
    b"entry_SYSCALL_64",
    b"entry_SYSCALL_64_after_hwframe",
    b"entry_SYSCALL_64_after_swapgs",
    b"entry_SYSCALL_64_fastpath",
    b"entry_SYSCALL_64_safe_stack",
    b"entry_SYSCALL_compat",
    b"entry_SYSCALL_compat_after_hwframe",
    b"entry_SYSCALL_compat_safe_stack",
    b"entry_SYSENTER_32",
    b"entry_SYSENTER_compat",
    b"entry_SYSENTER_compat_after_hwframe",
    b"handle_exception",
    b"handle_syscall",
    b"ia32_do_call",
    b"ia32_sys_call",
    b"ia32_syscall",
    b"int80_emulation",
    b"int_ret_from_sys_call",
    b"invoke_syscall",
    b"kernel_thread_helper",
    b"ret_from_exception",
    b"ret_from_fork",
    b"ret_from_fork_asm",
    b"ret_from_fork_kernel",
    b"ret_from_fork_kernel_asm",
    b"ret_from_fork_user",
    b"ret_from_fork_user_asm",
    b"ret_from_kernel_thread",
    b"ret_from_sys_call",
    b"ret_from_syscall",
    b"return_from_SYSCALL_64",
    b"syscall_return_via_sysret",
    b"sysenter_dispatch",
    b"sysenter_do_call",
    b"system_call_after_swapgs",
    b"system_call_fastpath",
    b"tracesys",
    b"x64_sys_call",
];

/// What `__sched_text_start..__sched_text_end` holds that can sleep, over the versions and configurations of the kernel, with
/// the functions that switch. Spin locks are left out, for nobody sleeps in one (those of PREEMPT_RT, which sleep, are here).
/// Sorted by bytes.
const SCHEDULER_FRAMES: &[&[u8]] = &[
    b"__cond_resched",
    b"__cond_resched_lock",
    b"__cond_resched_rwlock_read",
    b"__cond_resched_rwlock_write",
    b"__down",
    b"__down_common",
    b"__down_interruptible",
    b"__down_killable",
    b"__down_read",
    b"__down_read_common",
    b"__down_timeout",
    b"__down_write",
    b"__down_write_common",
    b"__ldsem_down_read_nested",
    b"__ldsem_down_write_nested",
    b"__mutex_lock",
    b"__mutex_lock_common",
    b"__mutex_lock_interruptible_slowpath",
    b"__mutex_lock_killable_slowpath",
    b"__mutex_lock_slowpath",
    b"__percpu_down_read",
    b"__rt_mutex_slowlock",
    b"__rt_mutex_slowlock_locked",
    b"__rwbase_read_lock",
    b"__schedule",
    b"__schedule_loop",
    b"__switch_to",
    b"__switch_to_asm",
    b"__wait_for_common",
    b"__wait_on_bit",
    b"__wait_on_bit_lock",
    b"__ww_mutex_lock",
    b"__ww_mutex_lock_interruptible_slowpath",
    b"__ww_mutex_lock_slowpath",
    b"bit_wait",
    b"bit_wait_io",
    b"bit_wait_io_timeout",
    b"bit_wait_timeout",
    b"context_switch",
    b"cpu_switch_to",
    b"do_nanosleep",
    b"do_wait_for_common",
    b"down",
    b"down_interruptible",
    b"down_killable",
    b"down_read",
    b"down_read_interruptible",
    b"down_read_killable",
    b"down_timeout",
    b"down_write",
    b"down_write_killable",
    b"finish_task_switch",
    b"hrtimer_nanosleep_restart",
    b"io_schedule",
    b"io_schedule_timeout",
    b"ldsem_down_read",
    b"ldsem_down_write",
    b"mutex_lock",
    b"mutex_lock_interruptible",
    b"mutex_lock_interruptible_nested",
    b"mutex_lock_io",
    b"mutex_lock_io_nested",
    b"mutex_lock_killable",
    b"mutex_lock_killable_nested",
    b"mutex_lock_nested",
    b"out_of_line_wait_on_bit",
    b"out_of_line_wait_on_bit_lock",
    b"out_of_line_wait_on_bit_timeout",
    b"percpu_down_write",
    b"preempt_schedule",
    b"preempt_schedule_common",
    b"preempt_schedule_irq",
    b"preempt_schedule_notrace",
    b"rt_mutex_lock",
    b"rt_mutex_lock_interruptible",
    b"rt_mutex_lock_killable",
    b"rt_mutex_lock_nested",
    b"rt_mutex_slowlock",
    b"rt_mutex_slowlock_block",
    b"rt_mutex_wait_proxy_lock",
    b"rt_read_lock",
    b"rt_spin_lock",
    b"rt_spin_lock_slowlock",
    b"rt_spin_lock_slowlock_locked",
    b"rt_write_lock",
    b"rtlock_slowlock",
    b"rtlock_slowlock_locked",
    b"rwbase_write_lock",
    b"rwsem_down_failed_common",
    b"rwsem_down_read_failed",
    b"rwsem_down_read_failed_killable",
    b"rwsem_down_read_slowpath",
    b"rwsem_down_write_failed",
    b"rwsem_down_write_failed_killable",
    b"rwsem_down_write_slowpath",
    b"schedule",
    b"schedule_hrtimeout",
    b"schedule_hrtimeout_range",
    b"schedule_hrtimeout_range_clock",
    b"schedule_idle",
    b"schedule_preempt_disabled",
    b"schedule_rtlock",
    b"schedule_timeout",
    b"schedule_timeout_idle",
    b"schedule_timeout_interruptible",
    b"schedule_timeout_killable",
    b"schedule_timeout_uninterruptible",
    b"schedule_user",
    b"sleep_on_common",
    b"usleep_range",
    b"usleep_range_state",
    b"wait_for_common",
    b"wait_for_common_io",
    b"wait_for_completion",
    b"wait_for_completion_interruptible",
    b"wait_for_completion_interruptible_timeout",
    b"wait_for_completion_io",
    b"wait_for_completion_io_timeout",
    b"wait_for_completion_killable",
    b"wait_for_completion_killable_timeout",
    b"wait_for_completion_state",
    b"wait_for_completion_timeout",
    b"ww_mutex_lock",
    b"ww_mutex_lock_interruptible",
    b"yield",
    b"yield_to",
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    const PIPE_READ: &[u8] =
        b"[<0>] anon_pipe_read+0x366/0x410\n[<0>] vfs_read+0x32c/0x360\n[<0>] ksys_read+0xba/0xe0\n\
        [<0>] do_syscall_64+0x71/0x280\n[<0>] entry_SYSCALL_64_after_hwframe+0x76/0x7e\n";
    const KTHREADD: &[u8] =
        b"[<0>] kthreadd+0x2f0/0x310\n[<0>] ret_from_fork+0x151/0x170\n[<0>] ret_from_fork_asm+0x1a/0x30\n";
    /// As Linux 3.10 prints it.
    const OLD: &[u8] =
        b"[<ffffffff810f5a26>] futex_wait_queue_me+0xc6/0x130\n[<ffffffff810f670b>] futex_wait+0x17b/0x280\n\
        [<ffffffff816b4fc9>] system_call_fastpath+0x16/0x1b\n[<ffffffffffffffff>] 0xffffffffffffffff\n";
    /// As aarch64 prints it, with frames that x86-64 leaves out.
    const ARM: &[u8] = b"[<0>] __switch_to+0xf0/0x150\n[<0>] schedule+0x38/0xe0\n[<0>] io_schedule+0x48/0x70\n\
        [<0>] folio_wait_bit_common+0x14c/0x328\n[<0>] xfs_read.isra.0+0x10/0x20 [xfs]\n[<0>] __arm64_sys_read+0x24/0x40\n\
        [<0>] invoke_syscall+0x50/0x120\n[<0>] el0_svc_common.constprop.0+0x48/0xf0\n[<0>] do_el0_svc+0x24/0x38\n\
        [<0>] el0_svc+0x3c/0x110\n[<0>] el0t_64_sync_handler+0x120/0x130\n[<0>] el0t_64_sync+0x190/0x198\n";

    fn rendered(text: &[u8]) -> String {
        let mut out = Vec::new();
        render(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn names(text: &[u8]) -> Vec<String> {
        frames(text).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn the_way_into_the_kernel_is_told_by_the_outermost_frames() {
        let native = "[<0>] hrtimer_nanosleep+0x1/0x2\n[<0>] __x64_sys_nanosleep+0x1/0x2\n[<0>] do_syscall_64+0x1/0x2\n\
                      [<0>] entry_SYSCALL_64_after_hwframe+0x1/0x2\n";
        assert_eq!(entry(native.as_bytes()), Some(Entry::Native));
        let int80 = "[<0>] hrtimer_nanosleep+0x1/0x2\n[<0>] __ia32_sys_nanosleep_time32+0x1/0x2\n\
                     [<0>] do_int80_emulation+0x1/0x2\n[<0>] asm_int80_emulation+0x1/0x2\n";
        assert_eq!(entry(int80.as_bytes()), Some(Entry::Compat));
        let old = "[<ffffffff810a1234>] hrtimer_nanosleep+0x1/0x2\n[<ffffffff8176c6e5>] ia32_do_call+0x13/0x13\n\
                   [<ffffffffffffffff>] 0xffffffffffffffff\n";
        assert_eq!(entry(old.as_bytes()), Some(Entry::Compat));
        let fred =
            "[<0>] pipe_read+0x1/0x2\n[<0>] do_int80_emulation+0x1/0x2\n[<0>] asm_fred_entrypoint_user+0x1/0x2\n";
        assert_eq!(entry(fred.as_bytes()), Some(Entry::Compat));
        let worker = "[<0>] io_wq_worker+0x1/0x2\n[<0>] ret_from_fork_asm+0x1/0x2\n";
        assert_eq!(entry(worker.as_bytes()), None);
        assert_eq!(entry(b""), None);
    }

    #[test]
    fn frames_are_function_names() {
        let expected = ["anon_pipe_read", "vfs_read", "ksys_read", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"];
        assert_eq!(names(PIPE_READ), expected);
        assert_eq!(names(OLD), ["futex_wait_queue_me", "futex_wait", "system_call_fastpath"]);
        assert_eq!(names(ARM)[3..6], ["folio_wait_bit_common", "xfs_read.isra.0", "__arm64_sys_read"]);
        assert_eq!(names(b"[<0>] 0xffffffffc0123456\n"), ["0xffffffffc0123456"]);
    }

    #[test]
    fn lines_that_are_no_frames_are_left_out() {
        assert_eq!(names(b""), [""; 0]);
        assert_eq!(names(b"\n\nx+0x1/0x2\n[<0>]\n[<0>] \n[<0>] +0x1/0x2\n[<0> x\n[<"), [""; 0]);
        assert_eq!(names(b"[<0>] no_end"), ["no_end"]);
    }

    #[test]
    fn a_stack_is_rendered_outermost_first_without_its_entry() {
        assert_eq!(rendered(PIPE_READ), "ksys_read()->vfs_read()->anon_pipe_read()");
        assert_eq!(rendered(KTHREADD), "kthreadd()");
        assert_eq!(rendered(OLD), "futex_wait()->futex_wait_queue_me()");
        assert_eq!(
            rendered(ARM),
            "__arm64_sys_read()->xfs_read.isra.0()->folio_wait_bit_common()->io_schedule()->schedule()->__switch_to()"
        );
    }

    #[test]
    fn an_empty_stack_is_a_dash() {
        assert_eq!(rendered(b""), "-");
        assert_eq!(rendered(b"[<0>] do_syscall_64+0x71/0x280\n"), "-");
        assert_eq!(rendered(b"[<ffffffffffffffff>] 0xffffffffffffffff\n"), "-");
    }

    #[test]
    fn the_wait_channel_is_the_innermost_cause() {
        assert_eq!(wait_channel(PIPE_READ), Some(b"anon_pipe_read".as_slice()));
        assert_eq!(wait_channel(ARM), Some(b"folio_wait_bit_common".as_slice()));
        assert_eq!(wait_channel(OLD), Some(b"futex_wait_queue_me".as_slice()));
        assert_eq!(wait_channel(b"[<0>] schedule+0x1/0x2\n"), None);
        assert_eq!(wait_channel(b""), None);
    }

    #[test]
    fn suffixes_of_the_compiler_do_not_hide_the_scheduler() {
        assert!(is_scheduler_frame(b"__mutex_lock.constprop.0"));
        assert!(is_scheduler_frame(b"rt_mutex_slowlock.isra.0"));
        assert!(!is_scheduler_frame(b"poll_schedule_timeout.constprop.0"));
        assert!(is_entry_frame(b"el0_svc_common.constprop.0"));
    }

    #[test]
    fn functions_that_only_resemble_the_scheduler_name_a_cause() {
        for name in
            ["scheduler_tick", "mutex_lock_double", "down_the_road", "futex_wait", "kthread", "__x64_sys_read", "", "."]
        {
            assert!(!is_scheduler_frame(name.as_bytes()), "{name}");
            assert!(!is_entry_frame(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn tables_are_sorted() {
        assert!(ENTRY_FRAMES.is_sorted_by(|a, b| a < b));
        assert!(SCHEDULER_FRAMES.is_sorted_by(|a, b| a < b));
    }
}
