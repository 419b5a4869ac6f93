//! `/proc/PID/task/TID/syscall`: where a thread is (proc(5); `proc_pid_syscall` in the kernel's `fs/proc/base.c`).

use super::{Malformed, hex, integer};

/// What the line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyscallLine {
    /// `running`: on a CPU or waiting for one, so it has no registers to show.
    Running,
    /// `-1 sp pc`: blocked, but not in a system call: a page fault, a signal stop. A zombie says `-1 0x0 0x0`.
    Blocked {
        /// The user's stack pointer.
        sp: u64,
        /// The user's program counter.
        pc: u64,
    },
    /// `nr a0 a1 a2 a3 a4 a5 sp pc`: blocked in a system call.
    Call {
        /// The number in the *program's* ABI: an i386 program on an x86-64 kernel shows i386 numbers.
        number: i64,
        /// The arguments as the registers hold them.
        args: [u64; 6],
        /// The user's stack pointer.
        sp: u64,
        /// The user's program counter.
        pc: u64,
    },
}

impl SyscallLine {
    /// Whether every number is 0: what a kernel thread shows, which has made no call at all, and which looks like
    /// `read(0, NULL, 0)` on x86-64. No program has a program counter of 0 in a call.
    #[inline]
    #[must_use]
    pub fn is_all_zero(&self) -> bool {
        matches!(
            self,
            Self::Call {
                number: 0,
                args: [0, 0, 0, 0, 0, 0],
                sp: 0,
                pc: 0
            }
        )
    }
}

/// Parses the line, with or without its newline.
///
/// # Errors
/// [`Malformed`] for anything but one of the three forms of [`SyscallLine`].
#[inline]
pub fn parse(line: &[u8]) -> Result<SyscallLine, Malformed> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line == b"running" {
        return Ok(SyscallLine::Running);
    }
    parse_numbers(line).ok_or(Malformed)
}

#[inline]
fn parse_numbers(line: &[u8]) -> Option<SyscallLine> {
    let mut fields = line.split(|&c| c == b' ');
    let number = i64::try_from(integer(fields.next()?)?).ok()?;
    let mut register = || {
        fields
            .next()
            .filter(|field| field.starts_with(b"0x"))
            .and_then(hex)
    };
    let parsed = if number == -1 {
        SyscallLine::Blocked {
            sp: register()?,
            pc: register()?,
        }
    } else {
        let mut args = [0; 6];
        for arg in &mut args {
            *arg = register()?;
        }
        SyscallLine::Call {
            number,
            args,
            sp: register()?,
            pc: register()?,
        }
    };
    fields.next().is_none().then_some(parsed)
}
