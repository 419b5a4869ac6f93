//! A walk that only counts, for benchmarks: the least that any walk costs.

use std::io;
use std::path::Path;

use crate::kernel::bpf::sys::{Memory, Program, ProgramKind};
use crate::kernel::control;
use crate::kernel::program;
use crate::kernel::recipe::{Ground, NO_LOOP, load, new_shared};
use crate::kernel::unavailable::Unavailable;
use crate::kernel::{BTF_PATH, Level};
use crate::proc::ProcRoot;

/// A program that walks the tasks and counts them.
#[derive(Debug)]
pub struct BareWalk(Program);

impl BareWalk {
    /// Loads the program.
    ///
    /// # Errors
    /// Why the kernel does not accept it.
    pub fn open(root: &ProcRoot) -> Result<Self, Unavailable> {
        let Ground { layout, .. } = Ground::survey(root, Path::new(BTF_PATH))?;
        let memory = Memory::with_control(new_shared("control", control::SIZE)?);
        let code = program::bare(layout.walk.ok_or(NO_LOOP)?, &memory).map_err(Unavailable::Program)?;
        Ok(Self(load("bare", Level::OpenCoded, ProgramKind::Syscall, &code, memory)?))
    }

    /// Walks over all tasks and returns their number, pid 0 included.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn run(&mut self) -> io::Result<u64> {
        self.0.memory_mut().control.set(control::COUNTS, 0);
        self.0.run()?;
        Ok(self.0.memory().control.get(control::COUNTS))
    }
}
