//! `/proc/PID/task/TID/syscall`: where a thread is (proc(5); `proc_pid_syscall` in the kernel's `fs/proc/base.c`).

use crate::proc::parse::{Malformed, Number, split_hex};

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
        matches!(self, Self::Call { number: 0, args: [0, 0, 0, 0, 0, 0], sp: 0, pc: 0 })
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
    let (number, mut rest) = Number::split_from(line)?;
    let number = i64::try_from(number.value()).ok()?;
    let mut register = || {
        let value;
        (value, rest) = split_hex(rest.strip_prefix(b" 0x")?)?;
        Some(value)
    };
    let parsed = if number == -1 {
        SyscallLine::Blocked { sp: register()?, pc: register()? }
    } else {
        let mut args = [0; 6];
        for arg in &mut args {
            *arg = register()?;
        }
        SyscallLine::Call { number, args, sp: register()?, pc: register()? }
    };
    rest.is_empty().then_some(parsed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_call_has_its_arguments_and_registers() {
        let line = b"0 0x3 0x7f45c0c72000 0x20000 0x22 0xffffffff 0x0 0x7ffd2e4ce288 0x7f45c0dee2ad\n";
        let call = SyscallLine::Call {
            number: 0,
            args: [3, 0x7f45_c0c7_2000, 0x2_0000, 0x22, 0xffff_ffff, 0],
            sp: 0x7ffd_2e4c_e288,
            pc: 0x7f45_c0de_e2ad,
        };
        assert_eq!(parse(line), Ok(call));
        assert!(!call.is_all_zero());
    }

    #[test]
    fn other_forms_are_told_apart() {
        assert_eq!(parse(b"running\n"), Ok(SyscallLine::Running));
        assert_eq!(parse(b"running"), Ok(SyscallLine::Running));
        assert_eq!(parse(b"-1 0x7ffd 0x55aa\n"), Ok(SyscallLine::Blocked { sp: 0x7ffd, pc: 0x55aa }));
        assert_eq!(parse(b"-1 0x0 0x0\n"), Ok(SyscallLine::Blocked { sp: 0, pc: 0 }));
    }

    #[test]
    fn a_kernel_thread_shows_zeros_only() {
        assert!(parse(b"0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n").unwrap().is_all_zero());
        assert!(!parse(b"0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x1\n").unwrap().is_all_zero());
        assert!(!parse(b"-1 0x0 0x0").unwrap().is_all_zero());
        assert!(!SyscallLine::Running.is_all_zero());
    }

    #[test]
    fn a_number_that_is_no_call_keeps_its_arguments() {
        let line = parse(b"-38 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2").unwrap();
        assert!(matches!(line, SyscallLine::Call { number: -38, sp: 1, pc: 2, .. }));
    }

    #[test]
    fn anything_else_is_malformed() {
        for line in [
            "",
            "\n",
            "running ",
            "running\n\n",
            "Running",
            "0",
            "-1",
            "-1 0x0",
            "-1 0x0 0x0 0x0",
            "-1 0 0",
            "0 0x0 0x0 0x0 0x0 0x0 0x0 0x0",
            "0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0",
            "0 0x0 0x0 0x0  0x0 0x0 0x0 0x0 0x0",
            "18446744073709551615 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(Malformed), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_call_comes_back(number: i64, args: [u64; 6], sp: u64, pc: u64) {
            prop_assume!(number != -1);
            let mut line = number.to_string();
            for register in args.into_iter().chain([sp, pc]) {
                line.push_str(&format!(" {register:#x}"));
            }
            line.push('\n');
            prop_assert_eq!(parse(line.as_bytes()), Ok(SyscallLine::Call { number, args, sp, pc }));
        }
    }
}
