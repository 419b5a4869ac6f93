//! A file system of three files that answers requests until it is told to stop answering. It speaks as much of the FUSE
//! protocol as that takes (`include/uapi/linux/fuse.h`, version 7.31).

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

const DEVICE: &str = "/dev/fuse";
/// The name of the file that the holder maps and the execer closes.
pub(crate) const FILE: &str = "file";
/// The name of the file that the locker maps.
pub(crate) const LOCKED_FILE: &str = "locked";
/// The name of the file that is not read before the file system stops to answer.
pub(crate) const UNREAD_FILE: &str = "unread";
/// A name that is looked up when the file system has stopped to answer.
pub(crate) const UNKNOWN_FILE: &str = "unknown";
const FILE_LEN: usize = 4096;

const ROOT_NODE: u64 = 1;
const FILE_NODE: u64 = 2;
const LOCKED_NODE: u64 = 3;
const UNREAD_NODE: u64 = 4;

const FOPEN_KEEP_CACHE: u32 = 1 << 1;

mod opcode {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// `struct fuse_in_header`, as far as it is used.
struct Request<'a> {
    opcode: u32,
    unique: u64,
    node: u64,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(40)?;
        let word = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let double = |at: usize| Some(u64::from_ne_bytes(header.get(at..at + 8)?.try_into().ok()?));
        Some(Self { opcode: word(4)?, unique: double(8)?, node: double(16)?, body })
    }
}

/// Opens the device that the kernel sends requests to.
pub(crate) fn device() -> io::Result<File> {
    File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE)
}

/// Makes a mount of the file system of `device` that is attached to no directory: it can be reached by the returned
/// descriptor alone, and ends when that is closed.
pub(crate) fn mount(device: &File) -> io::Result<OwnedFd> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let device = device.as_raw_fd().to_string();
    for (key, value) in [("fd", device.as_str()), ("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")] {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Answers requests until `is_dead` is set, and from then on reads them without an answer. Returns when `end` can be
/// read or its writer has closed it; then closes the device, and the kernel aborts the requests that wait.
pub(crate) fn serve(mut device: File, is_dead: &AtomicBool, end: &impl AsFd) {
    let mut buffer = vec![0; 1 << 17];
    loop {
        let mut files = [PollFd::new(&device, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
        match poll(&mut files, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let [_, end] = files;
        if !end.revents().is_empty() {
            return;
        }
        let len = match device.read(&mut buffer) {
            Ok(len) => len,
            // The request was withdrawn before it was read.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR | libc::EAGAIN)) => continue,
            Err(_) => return,
        };
        let Some(request) = buffer.get(..len).and_then(Request::parse) else { continue };
        if is_dead.load(Ordering::SeqCst) {
            continue;
        }
        let answer = match request.opcode {
            opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT => continue,
            opcode::INIT => Ok(init()),
            opcode::LOOKUP => node(&request).map(entry).ok_or(libc::ENOENT),
            // How long the attributes are valid, padding, the attributes.
            opcode::GETATTR => Ok([&[0; 16], &attributes(request.node)[..]].concat()),
            // No handle. The kernel keeps the file's cached pages when the file is opened again.
            opcode::OPEN => Ok([&[0; 8], &FOPEN_KEEP_CACHE.to_ne_bytes()[..], &[0; 4]].concat()),
            opcode::READ => Ok(vec![0; FILE_LEN]),
            opcode::RELEASE | opcode::FLUSH => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        };
        let (error, body) = answer.map_or_else(|errno| (-errno, Vec::new()), |body| (0, body));
        let mut reply = Vec::with_capacity(16 + body.len());
        reply.extend_from_slice(&u32::try_from(16 + body.len()).unwrap_or(u32::MAX).to_ne_bytes());
        reply.extend_from_slice(&error.to_ne_bytes());
        reply.extend_from_slice(&request.unique.to_ne_bytes());
        reply.extend_from_slice(&body);
        // Fails if the process that made the request has ended.
        let _ = device.write_all(&reply);
    }
}

/// `struct fuse_init_out`.
fn init() -> Vec<u8> {
    let mut out = Vec::new();
    // Version, read-ahead, flags.
    [7_u32, 31, 4096, 0].into_iter().for_each(|word| out.extend_from_slice(&word.to_ne_bytes()));
    // Most background requests, and from how many on the device counts as congested.
    [16_u16, 12].into_iter().for_each(|half| out.extend_from_slice(&half.to_ne_bytes()));
    // The longest write, the granularity of times.
    [4096_u32, 1].into_iter().for_each(|word| out.extend_from_slice(&word.to_ne_bytes()));
    out.resize(64, 0);
    out
}

/// The node that is looked up.
fn node(request: &Request<'_>) -> Option<u64> {
    let name = request.body.strip_suffix(b"\0").filter(|_| request.node == ROOT_NODE)?;
    let nodes = [(FILE, FILE_NODE), (LOCKED_FILE, LOCKED_NODE), (UNREAD_FILE, UNREAD_NODE)];
    nodes.into_iter().find_map(|(file, node)| (file.as_bytes() == name).then_some(node))
}

/// `struct fuse_entry_out`: a file.
fn entry(node: u64) -> Vec<u8> {
    let mut out = node.to_ne_bytes().to_vec();
    // Generation, and how long the entry and its attributes are valid.
    out.resize(40, 0);
    out.extend_from_slice(&attributes(node));
    out
}

/// `struct fuse_attr`.
fn attributes(node: u64) -> Vec<u8> {
    let (mode, len) = if node == ROOT_NODE { (libc::S_IFDIR | 0o755, 0) } else { (libc::S_IFREG | 0o644, FILE_LEN) };
    let mut out = Vec::new();
    let len = u64::try_from(len).unwrap_or_default();
    // Inode, size, blocks, and three times in seconds.
    [node, len, len / 512, 0, 0, 0].into_iter().for_each(|word| out.extend_from_slice(&word.to_ne_bytes()));
    // Nanoseconds of the three times, mode, links, owner, group, device, block size, flags.
    [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].into_iter().for_each(|word: u32| out.extend_from_slice(&word.to_ne_bytes()));
    out
}
