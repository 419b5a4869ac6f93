//! `/proc/PID/task/TID/stack`: the kernel's stack, innermost frame first (proc(5); `proc_pid_stack` in the kernel's
//! `fs/proc/base.c`).
//!
//! A frame is `[<0>] function+0x1b/0x40 [module]`; kernels before 4.15 have the address for the `0`, and before 5.2 a last
//! `[<ffffffffffffffff>] 0xffffffffffffffff`.

/// The functions on the stack, innermost first, without offsets and modules. Suffixes that the compiler gave (`.isra.0`) are
/// part of the kernel's name and kept. An address without a symbol stays an address; the end mark of old kernels is left out.
pub fn frames(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split(|&c| c == b'\n').filter_map(function)
}

/// `[<0>] function+0x1b/0x40 [module]` → `function`.
#[inline]
fn function(line: &[u8]) -> Option<&[u8]> {
    let address = line.strip_prefix(b"[<")?;
    let end = memchr::memmem::find(address, b">] ")?;
    let symbol = address.get(end.saturating_add(3)..)?;
    let name = symbol.split(|c| matches!(c, b'+' | b' ')).next()?;
    (!name.is_empty() && name != b"0xffffffffffffffff" && name != b"0xffffffff").then_some(name)
}

/// Whether `name` is how every stack starts: the way from user space to a system call, or a new thread's first steps. Such
/// frames say nothing of what the thread does. x86-64 with its 32-bit entries, aarch64 and riscv64, kernels 2.6.32 on.
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

/// What the thread sleeps in: the innermost function that is not the scheduler's. `None` where there is none.
///
/// A substitute for `wchan`, which reads `0` where the kernel has no symbol for it or the reader may not know.
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
    super::cut(name, b'.').map_or(name, |(base, _)| base)
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
