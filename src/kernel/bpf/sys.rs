//! bpf(2), and the maps that psn shares with a program. All unsafe code of the walk is in this file.
//!
//! The kernel frees a program and its maps when their descriptors are closed. That happens on exec and when the process ends,
//! even if it is killed. Nothing is pinned.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use crate::kernel::bpf::attr;

/// Commands of bpf(2), with the numbers of `include/uapi/linux/bpf.h`.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
enum BpfCommand {
    MapCreate = 0,
    ProgLoad = 5,
    ProgTestRun = 10,
    LinkCreate = 28,
    IterCreate = 33,
}

/// How a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgramKind {
    /// By a system call of psn: `BPF_PROG_TYPE_SYSCALL`.
    Syscall,
    /// By a kernel iterator with this BTF id, which calls it for each object: `BPF_PROG_TYPE_TRACING`.
    Iterator(u32),
}

/// Calls bpf(2).
///
/// # Safety
/// `T` must be the struct of `attr` for `command`, and every address in it must be valid for what the command does with it.
unsafe fn bpf<T>(command: BpfCommand, attr: &mut T) -> io::Result<c_long> {
    let size = size_of::<T>();
    // SAFETY: `attr` is valid for reads and writes of `size` bytes; the caller vouches for the addresses in it.
    match unsafe { libc::syscall(libc::SYS_bpf, command as c_int, std::ptr::from_mut(attr), size) } {
        result @ 0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes ownership of the descriptor that bpf(2) returned.
fn owned(result: c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for psn, closed on exec; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// The name of a kernel object: `psn_` and `name`, padded with zeros.
fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(b"psn_".iter().chain(name.as_bytes())) {
        *to = *from;
    }
    bytes
}

/// Memory that psn shares with a program: an array map with one value, which is mapped into psn.
#[derive(Debug)]
pub(crate) struct SharedMap {
    map: OwnedFd,
    start: NonNull<u64>,
    words: usize,
}

// SAFETY: the mapping is plain memory that this value owns alone.
unsafe impl Send for SharedMap {}
// SAFETY: a shared reference only allows reads; see `SharedMap::words`.
unsafe impl Sync for SharedMap {}

impl SharedMap {
    /// `BPF_MAP_TYPE_ARRAY`
    const ARRAY: u32 = 2;
    /// `BPF_F_MMAPABLE`
    const MMAPABLE: u32 = 1 << 10;

    /// Creates a map of at least `bytes` bytes, filled with zeros.
    ///
    /// # Errors
    /// The error of the system call.
    pub(crate) fn new(name: &str, bytes: usize) -> io::Result<Self> {
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
        let map = owned(unsafe { bpf(BpfCommand::MapCreate, &mut attr)? })?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, map.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { map, start, words: bytes / size_of::<u64>() })
    }

    /// The descriptor of the map, which instructions use to refer to it.
    #[must_use]
    pub(crate) fn descriptor(&self) -> i32 {
        self.map.as_raw_fd()
    }

    /// The size in bytes.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.words * size_of::<u64>()
    }

    /// The content.
    #[must_use]
    pub(crate) const fn words(&self) -> &[u64] {
        // SAFETY: `start` is the start of a mapping of so many words, which lasts as long as `self`. Nobody but the program that
        // owns `self` has the map, and it runs only within `Program::run` and `Program::step`, which borrow it exclusively.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// The word at an offset in bytes; 0 past the end.
    #[must_use]
    pub(crate) fn get(&self, place: i32) -> u64 {
        usize::try_from(place / 8).ok().and_then(|word| self.words().get(word)).copied().unwrap_or(0)
    }

    /// Sets the word at an offset in bytes.
    pub(crate) fn set(&mut self, place: i32, value: u64) {
        if let Some(word) = usize::try_from(place / 8).ok().and_then(|word| self.words_mut().get_mut(word)) {
            *word = value;
        }
    }

    /// Copies the words of another map, as many as both have.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        for (to, from) in self.words_mut().iter_mut().zip(other.words()) {
            *to = *from;
        }
    }

    /// The content, for writing.
    pub(crate) const fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `words`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.words) }
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to `self`, and there are no references into it any more. If this fails, the mapping stays
        // until psn ends.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len()) };
    }
}

/// The maps of a program: all memory that it can write.
#[derive(Debug)]
pub(crate) struct Maps {
    /// psn's instructions to the program, and the program's counts.
    pub(crate) control: SharedMap,
    /// The records; `None` for a program that only counts.
    pub(crate) records: Option<SharedMap>,
    /// A bit for each process id, set if the process passes; `None` if all pass.
    pub(crate) processes: Option<SharedMap>,
    /// A bit for each thread id, set if the thread passes; `None` if all pass.
    pub(crate) threads: Option<SharedMap>,
    /// By thread id, the token of the wait that was last described; `None` if records have no waits.
    pub(crate) seen: Option<SharedMap>,
}

impl Maps {
    /// The maps of a program that only has a control map.
    #[must_use]
    pub(crate) const fn with_control(control: SharedMap) -> Self {
        Self { control, records: None, processes: None, threads: None, seen: None }
    }
}

/// A program in the kernel, and its maps, which no other program has.
#[derive(Debug)]
pub(crate) struct Program {
    program: OwnedFd,
    /// The link between an iterator and the program; `None` for a program of another kind.
    link: Option<OwnedFd>,
    maps: Maps,
}

/// Why a program was not loaded.
#[derive(Debug)]
pub(crate) struct LoadError {
    /// The error of the system call.
    pub(crate) error: io::Error,
    /// The log of the verifier; empty if it did not run.
    pub(crate) log: String,
}

impl Program {
    /// The licence of psn's programs. The kernel lets only programs with a licence compatible with its own call some helpers.
    const LICENCE: &std::ffi::CStr = c"Dual MIT/GPL";
    /// `BPF_PROG_TYPE_TRACING`
    const TRACING: u32 = 26;
    /// `BPF_PROG_TYPE_SYSCALL`
    const SYSCALL: u32 = 31;
    /// `BPF_TRACE_ITER`
    const TRACE_ITER: u32 = 28;
    /// `BPF_F_SLEEPABLE`, which the kernel requires for programs of type `SYSCALL`.
    const SLEEPABLE: u32 = 1 << 4;

    /// Loads `code`, which was assembled for `maps`. The kernel verifies and compiles it.
    ///
    /// # Errors
    /// The error of the system call, with the log of the verifier if it ran.
    pub(crate) fn load(name: &str, kind: ProgramKind, code: &[u64], maps: Maps) -> Result<Self, LoadError> {
        let quiet = |error| LoadError { error, log: String::new() };
        let program = match load(name, kind, code, &mut []) {
            Ok(program) => program,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EINVAL | libc::E2BIG)) => {
                let mut log = vec![0; 16 << 20];
                // Report the first error. The second can be that the log is full.
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
        Ok(Self { program, link, maps })
    }

    /// The maps of the program.
    #[must_use]
    pub(crate) const fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The maps of the program, for writing.
    pub(crate) const fn maps_mut(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// Runs a program of the kind [`ProgramKind::Syscall`] once.
    ///
    /// # Errors
    /// The error of the system call.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut attr = attr::TestRun { prog_fd: number(&self.program), ..attr::TestRun::default() };
        // SAFETY: the struct is the command's and its addresses are null, with lengths of 0. What the program writes is its own
        // memory, which is borrowed exclusively.
        unsafe { bpf(BpfCommand::ProgTestRun, &mut attr)? };
        Ok(())
    }

    /// Starts an iteration. Only for iterators.
    ///
    /// # Errors
    /// The error of the system call.
    pub(crate) fn iterate(&self) -> io::Result<Iteration> {
        let link = self.link.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mut attr = attr::IterCreate { link_fd: number(link), flags: 0 };
        // SAFETY: the struct is the command's, and holds no addresses.
        Ok(Iteration { file: owned(unsafe { bpf(BpfCommand::IterCreate, &mut attr)? })? })
    }

    /// Continues an iteration of this program until it ends or pauses.
    ///
    /// # Errors
    /// The error of the system call.
    pub(crate) fn step(&mut self, iteration: &mut Iteration) -> io::Result<Step> {
        // The program writes nothing to the file: its records are in its maps.
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
    owned(unsafe { bpf(BpfCommand::ProgLoad, &mut attr)? })
}

fn link(program: &OwnedFd) -> io::Result<OwnedFd> {
    let mut attr =
        attr::LinkCreate { prog_fd: number(program), attach_type: Program::TRACE_ITER, ..attr::LinkCreate::default() };
    // SAFETY: the struct is the command's, and holds no addresses.
    owned(unsafe { bpf(BpfCommand::LinkCreate, &mut attr)? })
}

/// An iteration of a kernel iterator, which can pause.
#[derive(Debug)]
pub(crate) struct Iteration {
    file: OwnedFd,
}

/// Why an iteration stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The program was called for all objects.
    Done,
    /// The program requested a pause, or the kernel paused after very many objects.
    Paused,
}
