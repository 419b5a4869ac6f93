//! A walk that only counts tasks. Benchmarks compare other walks with it, because none can cost less.

use std::io;
use std::path::Path;

use crate::kernel::bpf::sys::{Maps, Program, ProgramKind};
use crate::kernel::builder::{HostInfo, NO_LOOP, load, new_map};
use crate::kernel::control;
use crate::kernel::program;
use crate::kernel::unavailable::Unavailable;
use crate::kernel::{BTF_PATH, Level};
use crate::proc::ProcRoot;

/// A program that walks all tasks and counts them.
#[derive(Debug)]
pub struct BareWalk(Program);

impl BareWalk {
    /// Loads the program.
    ///
    /// # Errors
    /// Why the kernel does not accept it.
    pub fn open(root: &ProcRoot) -> Result<Self, Unavailable> {
        let HostInfo { layout, .. } = HostInfo::survey(root, Path::new(BTF_PATH))?;
        let maps = Maps::with_control(new_map("control", control::SIZE)?);
        let code = program::bare(layout.loop_functions.ok_or(NO_LOOP)?, &maps).map_err(Unavailable::Program)?;
        Ok(Self(load("bare", Level::OpenCoded, ProgramKind::Syscall, &code, maps)?))
    }

    /// Walks all tasks and returns their number, including pid 0.
    ///
    /// # Errors
    /// If the kernel does not run the program.
    pub fn run(&mut self) -> io::Result<u64> {
        self.0.maps_mut().control.set(control::COUNTS, 0);
        self.0.run()?;
        Ok(self.0.maps().control.get(control::COUNTS))
    }
}
