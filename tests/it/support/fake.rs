//! A fake proc root made of plain files: a test decides on every process, thread and file in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A directory that looks like /proc; removed when dropped.
#[derive(Debug)]
pub struct FakeProc {
    dir: PathBuf,
}

impl FakeProc {
    /// An empty proc root.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // In memory if possible: directories on tmpfs count their links, as those of /proc do.
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("psn-fake-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self { dir }
    }

    /// A proc root with these processes.
    pub fn of(processes: impl IntoIterator<Item = Process>) -> Self {
        let proc = Self::new();
        processes.into_iter().for_each(|process| proc.add(&process));
        proc
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Adds a process, or replaces it.
    pub fn add(&self, process: &Process) {
        Self::add_at(&self.dir, process);
    }

    /// Adds a process to the proc root at `root`, for callers that do not hold the `FakeProc`.
    pub fn add_at(root: &Path, process: &Process) {
        let dir = root.join(process.tgid.to_string());
        write_all(&dir, &process.all_files());
        for thread in &process.threads {
            write_all(&dir.join(format!("task/{}", thread.tid)), &thread.all_files(process));
        }
    }

    /// Adds a thread to an existing process.
    pub fn add_thread(&self, process: &Process, thread: &Thread) {
        write_all(&self.thread_path(process.tgid, thread.tid), &thread.all_files(process));
    }

    /// Overwrites one file of a thread in place, so that readers that keep the file open see the change.
    pub fn rewrite(&self, tgid: u32, tid: u32, file: &str, bytes: &[u8]) {
        fs::write(self.thread_path(tgid, tid).join(file), bytes).unwrap();
    }

    /// Removes a process, as if it had ended.
    pub fn remove(&self, tgid: u32) {
        fs::remove_dir_all(self.dir.join(tgid.to_string())).unwrap();
    }

    /// Removes a thread, as if it had ended.
    pub fn remove_thread(&self, tgid: u32, tid: u32) {
        fs::remove_dir_all(self.thread_path(tgid, tid)).unwrap();
    }

    pub fn thread_path(&self, tgid: u32, tid: u32) -> PathBuf {
        self.dir.join(format!("{tgid}/task/{tid}"))
    }
}

impl Drop for FakeProc {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What a path holds.
#[derive(Debug, Clone)]
pub enum Content {
    Bytes(Vec<u8>),
    /// A symbolic link whose target does not exist, as links of /proc look to a user who may not follow them.
    Link(String),
    /// A symbolic link whose target may be any bytes.
    RawLink(Vec<u8>),
    /// A named pipe: opening it for reading blocks until [`unblock`] is called.
    Fifo,
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

type Files = BTreeMap<String, Option<Content>>;

fn write_all(dir: &Path, files: &Files) {
    fs::create_dir_all(dir).unwrap();
    for (name, content) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content {
            None => continue,
            Some(Content::Bytes(bytes)) => fs::write(&path, bytes).unwrap(),
            Some(Content::Link(target)) => link(target.as_ref(), &path),
            Some(Content::RawLink(target)) => link(OsStr::from_bytes(target), &path),
            Some(Content::Fifo) => {
                mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            }
        }
    }
}

fn link(target: &OsStr, path: &Path) {
    let _ = fs::remove_file(path);
    symlink(target, path).unwrap();
}

/// Unblocks all readers that are opening the pipe at `path`.
pub fn unblock(path: &Path) {
    // Opening a pipe for reading and writing never blocks, and it unblocks the readers.
    drop(fs::File::options().read(true).write(true).open(path));
}

/// A process of a fake proc root: by default each file exists and has plausible content.
#[derive(Debug, Clone)]
pub struct Process {
    pub tgid: u32,
    pub ppid: u32,
    uid: u32,
    pub threads: Vec<Thread>,
    files: Files,
}

impl Process {
    /// A process without threads, a child of init.
    pub fn new(tgid: u32) -> Self {
        Self { tgid, ppid: 1, uid: 0, threads: Vec::new(), files: Files::new() }
    }

    /// A process with one thread.
    pub fn single(tgid: u32, comm: &str, state: char) -> Self {
        Self::new(tgid).thread(Thread::new(tgid).comm(comm).state(state))
    }

    pub fn ppid(mut self, ppid: u32) -> Self {
        self.ppid = ppid;
        self
    }

    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = uid;
        self
    }

    pub fn thread(mut self, thread: Thread) -> Self {
        self.threads.push(thread);
        self
    }

    pub fn threads(mut self, threads: impl IntoIterator<Item = Thread>) -> Self {
        self.threads.extend(threads);
        self
    }

    /// Sets a file of the process itself (`comm`, `cmdline`, `exe`, `smaps`, `status`).
    pub fn file(mut self, name: &str, content: impl Into<Content>) -> Self {
        self.files.insert(name.to_owned(), Some(content.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.files.insert(name.to_owned(), None);
        self
    }

    fn all_files(&self) -> Files {
        let leader = self.threads.iter().find(|thread| thread.tid == self.tgid);
        let comm = leader.map_or(&b"leader"[..], |leader| &leader.comm);
        let mut line = comm.to_vec();
        line.push(b'\n');
        let mut files = Files::new();
        let mut put = |name: &str, content: Content| files.insert(name.to_owned(), Some(content));
        put("comm", line.into());
        put("cmdline", "/usr/bin/program\0--flag\0two words\0".into());
        put("exe", Content::Link("/usr/bin/program".to_owned()));
        put("smaps", SMAPS.into());
        put("status", status(self.tgid, self, comm, leader.map_or('S', |leader| leader.state)).into());
        files.extend(self.files.clone());
        files
    }
}

/// A thread of a fake proc root.
#[derive(Debug, Clone)]
pub struct Thread {
    pub tid: u32,
    comm: Vec<u8>,
    state: char,
    numbers: BTreeMap<usize, String>,
    last_field: usize,
    files: Files,
}

impl Thread {
    /// A sleeping thread.
    pub fn new(tid: u32) -> Self {
        Self { tid, comm: b"fake".to_vec(), state: 'S', numbers: BTreeMap::new(), last_field: 52, files: Files::new() }
    }

    pub fn comm(mut self, comm: impl AsRef<[u8]>) -> Self {
        self.comm = comm.as_ref().to_vec();
        self
    }

    pub fn state(mut self, state: char) -> Self {
        self.state = state;
        self
    }

    /// Sets field number `field` of `stat`, counted as in proc(5).
    pub fn stat(mut self, field: usize, value: impl ToString) -> Self {
        self.numbers.insert(field, value.to_string());
        self
    }

    /// Cuts `stat` after field `last`, as older kernels do.
    pub fn last_stat_field(mut self, last: usize) -> Self {
        self.last_field = last;
        self
    }

    pub fn file(mut self, name: &str, content: impl Into<Content>) -> Self {
        self.files.insert(name.to_owned(), Some(content.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.files.insert(name.to_owned(), None);
        self
    }

    /// The line of `stat`.
    pub fn stat_line(&self, ppid: u32) -> Vec<u8> {
        let mut line = format!("{} (", self.tid).into_bytes();
        line.extend_from_slice(&self.comm);
        line.extend_from_slice(format!(") {}", self.state).as_bytes());
        for field in 4..=self.last_field {
            let number = match (self.numbers.get(&field), field) {
                (Some(number), _) => number.clone(),
                (None, 4) => ppid.to_string(),
                (None, 20) => "1".to_owned(),
                (None, 22) => (5000 + self.tid).to_string(),
                // An address of program text: the kernel shows 1 to readers that may not know it.
                (None, 26) => "4194304".to_owned(),
                // The stack pointer of a 64-bit program.
                (None, 28) => "140722000000000".to_owned(),
                (None, _) => "0".to_owned(),
            };
            line.extend_from_slice(format!(" {number}").as_bytes());
        }
        line.push(b'\n');
        line
    }

    fn all_files(&self, process: &Process) -> Files {
        let mut files = Files::new();
        let mut put = |name: &str, content: Content| files.insert(name.to_owned(), Some(content));
        put("stat", self.stat_line(process.ppid).into());
        put("schedstat", "1000 200 3\n".into());
        put("syscall", syscall_line(FUTEX, &[0x7f00_0000_1000, 0x80]).into());
        put("wchan", "futex_do_wait".into());
        put(
            "io",
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n".into(),
        );
        put("stack", "[<0>] futex_do_wait+0x38/0x60\n[<0>] do_futex+0x11/0x22\n[<0>] do_syscall_64+0x1/0x2\n".into());
        put("status", status(self.tid, process, &self.comm, self.state).into());
        put("cgroup", "0::/system.slice/fake.service\n".into());
        put("ns/pid", Content::Link("pid:[4026531836]".to_owned()));
        files.extend(self.files.clone());
        files
    }
}

fn status(tid: u32, process: &Process, comm: &[u8], state: char) -> Vec<u8> {
    let mut text = b"Name:\t".to_vec();
    for byte in comm {
        match byte {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\\' => text.extend_from_slice(b"\\\\"),
            byte => text.push(*byte),
        }
    }
    let Process { tgid, ppid, uid, threads, .. } = process;
    text.extend_from_slice(
        format!(
            "\nUmask:\t0022\nState:\t{state} (fake)\nTgid:\t{tgid}\nNgid:\t0\nPid:\t{tid}\nPPid:\t{ppid}\nTracerPid:\t0\n\
             Uid:\t{uid}\t0\t0\t0\nGid:\t0\t0\t0\t0\nThreads:\t{}\nvoluntary_ctxt_switches:\t1\n\
             nonvoluntary_ctxt_switches:\t2\n",
            threads.len()
        )
        .as_bytes(),
    );
    text
}

/// A line of `syscall`; arguments that are not given are 0.
pub fn syscall_line(number: i64, args: &[u64]) -> String {
    let mut line = number.to_string();
    for index in 0..6 {
        line.push_str(&format!(" {:#x}", args.get(index).copied().unwrap_or(0)));
    }
    line.push_str(" 0x7ffc00001000 0x7f0000002000\n");
    line
}

const X86: bool = cfg!(target_arch = "x86_64");

/// Numbers of system calls on the machine that runs the tests: those of x86-64, or those that all newer architectures share.
pub const FUTEX: i64 = if X86 { 202 } else { 98 };
pub const FSYNC: i64 = if X86 { 74 } else { 82 };
pub const OPENAT: i64 = if X86 { 257 } else { 56 };
pub const WAIT4: i64 = if X86 { 61 } else { 260 };

/// One mapping as Linux 6.x prints it.
pub const SMAPS: &str = "\
7f0000000000-7f0000021000 rw-p 00001000 fe:00 1234                       /usr/lib/libfake 1.so
Size:                132 kB
KernelPageSize:        4 kB
MMUPageSize:           8 kB
Rss:                  12 kB
Pss:                  11 kB
Pss_Dirty:             9 kB
Shared_Clean:         21 kB
Shared_Dirty:         22 kB
Private_Clean:        23 kB
Private_Dirty:        24 kB
Referenced:           25 kB
Anonymous:            26 kB
KSM:                   1 kB
LazyFree:              2 kB
AnonHugePages:        27 kB
ShmemPmdMapped:       28 kB
FilePmdMapped:         3 kB
Shared_Hugetlb:       29 kB
Private_Hugetlb:      30 kB
Swap:                 31 kB
SwapPss:              32 kB
Locked:               33 kB
THPeligible:           0
VmFlags: rd wr mr mw me ac sd 
";
