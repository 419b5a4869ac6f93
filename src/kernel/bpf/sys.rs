//! Everything of the walk that is not memory-safe by itself: bpf(2), and the memory shared with a program.
//!
//! What a program and its maps hold goes with their descriptors, which are closed on exec and with the process, however it
//! ends. Nothing is pinned.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

/// Commands of bpf(2), by the numbers of `include/uapi/linux/bpf.h`.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
enum Command {
    MapCreate = 0,
    ProgLoad = 5,
    ProgTestRun = 10,
    LinkCreate = 28,
    IterCreate = 33,
}

/// How a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramKind {
    /// Called by its owner, through a system call: `BPF_PROG_TYPE_SYSCALL`.
    Syscall,
    /// Called for each object of a kernel iterator, whose BTF id this is: `BPF_PROG_TYPE_TRACING`.
    Iterator(u32),
}

/// The part of `union bpf_attr` that each command reads. The kernel takes a shorter union than its own for one filled up with
/// zeros. None has padding.
mod attr {
    #[repr(C)]
    #[derive(Default)]
    pub struct MapCreate {
        pub map_type: u32,
        pub key_size: u32,
        pub value_size: u32,
        pub max_entries: u32,
        pub map_flags: u32,
        pub inner_map_fd: u32,
        pub numa_node: u32,
        pub map_name: [u8; 16],
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct ProgLoad {
        pub prog_type: u32,
        pub insn_cnt: u32,
        pub insns: u64,
        pub license: u64,
        pub log_level: u32,
        pub log_size: u32,
        pub log_buf: u64,
        pub kern_version: u32,
        pub prog_flags: u32,
        pub prog_name: [u8; 16],
        pub prog_ifindex: u32,
        pub expected_attach_type: u32,
        pub prog_btf_fd: u32,
        pub func_info_rec_size: u32,
        pub func_info: u64,
        pub func_info_cnt: u32,
        pub line_info_rec_size: u32,
        pub line_info: u64,
        pub line_info_cnt: u32,
        pub attach_btf_id: u32,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct TestRun {
        pub prog_fd: u32,
        pub retval: u32,
        pub data_size_in: u32,
        pub data_size_out: u32,
        pub data_in: u64,
        pub data_out: u64,
        pub repeat: u32,
        pub duration: u32,
        pub ctx_size_in: u32,
        pub ctx_size_out: u32,
        pub ctx_in: u64,
        pub ctx_out: u64,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct LinkCreate {
        pub prog_fd: u32,
        pub target_fd: u32,
        pub attach_type: u32,
        pub flags: u32,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct IterCreate {
        pub link_fd: u32,
        pub flags: u32,
    }
}

/// Calls bpf(2).
///
/// # Safety
/// `T` must be the struct of `attr` for `command`, and every address in it must be valid for what the command does with it.
unsafe fn bpf<T>(command: Command, attr: &mut T) -> io::Result<c_long> {
    let size = size_of::<T>();
    // SAFETY: `attr` is valid for reads and writes of `size` bytes; for what it points to the caller vouches.
    match unsafe { libc::syscall(libc::SYS_bpf, command as c_int, std::ptr::from_mut(attr), size) } {
        result @ 0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a descriptor of what bpf(2) returned.
fn owned(result: c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, closed on exec; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// `psn_` and a name, as the kernel takes it.
fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(b"psn_".iter().chain(name.as_bytes())) {
        *to = *from;
    }
    bytes
}

/// Memory that a program and we both see: an array map of one value.
#[derive(Debug)]
pub struct Shared {
    map: OwnedFd,
    start: NonNull<u64>,
    words: usize,
}

// SAFETY: the mapping is plain memory that this value owns alone.
unsafe impl Send for Shared {}
// SAFETY: through a shared reference it can only be read; see `Shared::words`.
unsafe impl Sync for Shared {}

impl Shared {
    /// `BPF_MAP_TYPE_ARRAY`
    const ARRAY: u32 = 2;
    /// `BPF_F_MMAPABLE`
    const MMAPABLE: u32 = 1 << 10;

    /// At least `bytes` bytes of zeros.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(name: &str, bytes: usize) -> io::Result<Self> {
        let bytes = bytes.next_multiple_of(rustix::param::page_size());
        let mut attr = attr::MapCreate {
            map_type: Self::ARRAY,
            key_size: 4,
            value_size: u32::try_from(bytes).map_err(io::Error::other)?,
            max_entries: 1,
            map_flags: Self::MMAPABLE,
            map_name: object_name(name),
            ..attr::MapCreate::default()
        };
        // SAFETY: the struct is the command's, and holds no addresses.
        let map = owned(unsafe { bpf(Command::MapCreate, &mut attr)? })?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, map.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { map, start, words: bytes / size_of::<u64>() })
    }

    /// The map's descriptor, as the constant of an instruction.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.map.as_raw_fd()
    }

    /// The memory's size in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.words * size_of::<u64>()
    }

    /// The memory.
    #[must_use]
    pub const fn words(&self) -> &[u64] {
        // SAFETY: `start` is the start of a mapping of so many words, which lasts as long as `self`. Nobody but the program that
        // owns `self` has the map, and it runs only within `Program::run` and `Program::step`, which borrow it exclusively.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// The word at an offset in bytes; 0 outside.
    #[must_use]
    pub fn get(&self, place: i32) -> u64 {
        usize::try_from(place / 8).ok().and_then(|word| self.words().get(word)).copied().unwrap_or(0)
    }

    /// Sets the word at an offset in bytes.
    pub fn set(&mut self, place: i32, value: u64) {
        if let Some(word) = usize::try_from(place / 8).ok().and_then(|word| self.words_mut().get_mut(word)) {
            *word = value;
        }
    }

    /// Makes it the same as another, as far as both go.
    pub fn copy_from(&mut self, other: &Self) {
        for (to, from) in self.words_mut().iter_mut().zip(other.words()) {
            *to = *from;
        }
    }

    /// The memory, to be written.
    pub const fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `words`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody holds a reference into it any more. Should this fail it stays until we end.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len()) };
    }
}

/// The memory of a walk: whatever its program may write.
#[derive(Debug)]
pub struct Memory {
    /// What the program is told and what it counts.
    pub control: Shared,
    /// What it found; absent where it only counts.
    pub records: Option<Shared>,
    /// A bit for each process id to look at; absent where all are.
    pub processes: Option<Shared>,
    /// The same for thread ids.
    pub threads: Option<Shared>,
    /// What was last described, by thread id; absent where what tasks wait for is not taken.
    pub seen: Option<Shared>,
}

impl Memory {
    /// No memory but this.
    #[must_use]
    pub const fn with_control(control: Shared) -> Self {
        Self { control, records: None, processes: None, threads: None, seen: None }
    }
}

/// A program that the kernel has verified, and the memory that is its own.
#[derive(Debug)]
pub struct Program {
    program: OwnedFd,
    /// For an iterator: what keeps it and the program together.
    link: Option<OwnedFd>,
    memory: Memory,
}

/// Why a program was not loaded.
#[derive(Debug)]
pub struct LoadError {
    /// The kernel's answer.
    pub error: io::Error,
    /// The verifier's words, if it came to that.
    pub log: String,
}

impl Program {
    /// The licence the kernel is told. Some helpers are there only for programs under one compatible with its own; this one
    /// is, for the programs are ours.
    const LICENCE: &std::ffi::CStr = c"Dual MIT/GPL";
    /// `BPF_PROG_TYPE_TRACING`
    const TRACING: u32 = 26;
    /// `BPF_PROG_TYPE_SYSCALL`
    const SYSCALL: u32 = 31;
    /// `BPF_TRACE_ITER`
    const TRACE_ITER: u32 = 28;
    /// `BPF_F_SLEEPABLE`, which programs for bpf(2) have to be.
    const SLEEPABLE: u32 = 1 << 4;

    /// Has the kernel verify and compile `code`, which was assembled for `memory`.
    ///
    /// # Errors
    /// The kernel's answer, with the verifier's log if it came to that.
    pub fn load(name: &str, kind: ProgramKind, code: &[u64], memory: Memory) -> Result<Self, LoadError> {
        let quiet = |error| LoadError { error, log: String::new() };
        let program = match load(name, kind, code, &mut []) {
            Ok(program) => program,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EINVAL | libc::E2BIG)) => {
                let mut log = vec![0; 16 << 20];
                // The first answer stands: with a full log, the second would be that there is no space.
                let _ = load(name, kind, code, &mut log);
                log.truncate(memchr::memchr(0, &log).unwrap_or(log.len()));
                return Err(LoadError { error, log: String::from_utf8_lossy(&log).into_owned() });
            }
            Err(error) => return Err(quiet(error)),
        };
        let link = match kind {
            ProgramKind::Syscall => None,
            ProgramKind::Iterator(_) => Some(link(&program).map_err(quiet)?),
        };
        Ok(Self { program, link, memory })
    }

    /// The memory.
    #[must_use]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The memory, to be written.
    pub const fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Runs the program once; not for iterators.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn run(&mut self) -> io::Result<()> {
        let mut attr = attr::TestRun { prog_fd: number(&self.program), ..attr::TestRun::default() };
        // SAFETY: the struct is the command's and its addresses are null, with lengths of 0. What the program writes is its own
        // memory, which is borrowed exclusively.
        unsafe { bpf(Command::ProgTestRun, &mut attr)? };
        Ok(())
    }

    /// Starts an iteration; only for iterators.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn iterate(&self) -> io::Result<Iteration> {
        let link = self.link.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mut attr = attr::IterCreate { link_fd: number(link), flags: 0 };
        // SAFETY: the struct is the command's, and holds no addresses.
        Ok(Iteration { file: owned(unsafe { bpf(Command::IterCreate, &mut attr)? })? })
    }

    /// Goes on with an iteration of this program until its end or a pause.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn step(&mut self, iteration: &mut Iteration) -> io::Result<Step> {
        // The program writes nothing to the file: what it has to say is in its memory.
        let mut nothing = [0; 64];
        match rustix::io::read(&iteration.file, &mut nothing) {
            Ok(0) => Ok(Step::Done),
            Ok(_) => Err(io::Error::from(io::ErrorKind::InvalidData)),
            Err(rustix::io::Errno::AGAIN) => Ok(Step::Paused),
            Err(error) => Err(error.into()),
        }
    }
}

fn load(name: &str, kind: ProgramKind, code: &[u64], log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attr = attr::ProgLoad {
        insn_cnt: u32::try_from(code.len()).map_err(io::Error::other)?,
        insns: code.as_ptr().addr() as u64,
        license: Program::LICENCE.as_ptr().addr() as u64,
        log_level: (!log.is_empty()).into(),
        log_size: u32::try_from(log.len()).map_err(io::Error::other)?,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr().addr() as u64 },
        prog_name: object_name(name),
        ..attr::ProgLoad::default()
    };
    match kind {
        ProgramKind::Syscall => {
            attr.prog_type = Program::SYSCALL;
            attr.prog_flags = Program::SLEEPABLE;
        }
        ProgramKind::Iterator(function) => {
            attr.prog_type = Program::TRACING;
            attr.expected_attach_type = Program::TRACE_ITER;
            attr.attach_btf_id = function;
        }
    }
    // SAFETY: the struct is the command's. `insns` and `license` are read and `log_buf` is written, within the lengths given;
    // all three outlive the call.
    owned(unsafe { bpf(Command::ProgLoad, &mut attr)? })
}

fn link(program: &OwnedFd) -> io::Result<OwnedFd> {
    let mut attr =
        attr::LinkCreate { prog_fd: number(program), attach_type: Program::TRACE_ITER, ..attr::LinkCreate::default() };
    // SAFETY: the struct is the command's, and holds no addresses.
    owned(unsafe { bpf(Command::LinkCreate, &mut attr)? })
}

/// A walk of a kernel iterator, which may pause.
#[derive(Debug)]
pub struct Iteration {
    file: OwnedFd,
}

/// Why an iteration came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All objects were visited.
    Done,
    /// The program asked for a pause, or the kernel did after very many objects.
    Paused,
}
