//! The files that an epoll instance watches, of a task that waits in epoll_wait(2): how many are sockets, pipes and others.
//!
//! They are in a tree. Its first three levels are looked at, seven files: event loops of that size are those in which it matters
//! what they watch.

use super::file;
use super::identity;
use super::part::RecordPart;
use crate::kernel::bpf::asm::Register::{Frame, R0, R1, R2, R3};
use crate::kernel::bpf::asm::{Code, Helper, Label, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// `u64`: place in the table of files, then a pointer on the way
const POINTER: i32 = 0;
/// `u64`: the file, then what its private data points to
const FILE: i32 = POINTER + 8;
/// `u64`: not 0 if there are more files
const MORE: i32 = FILE + 8;
/// `u16[8]`: the types of the files, 0 where there is none, then whether the task waits for such files at all
const MODES: i32 = MORE + 8;
const IS_KNOWN: i32 = MODES + 14;
const END: i32 = MODES + 16;

/// Nodes that are looked at.
const NODES: i32 = 7;
/// Where in the frame the pointers to the nodes are: below what the walk itself has there.
const TREE: i32 = -136;
/// Stands for a file that has no type, which is so of timers and events.
const FOUND: i32 = 1;

/// `S_IFMT`, `S_IFSOCK` and `S_IFIFO`
const FORMAT: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;
const FIFO: u16 = 0o010_000;

/// What an epoll instance watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpollSet {
    /// Sockets.
    pub sockets: u8,
    /// Pipes.
    pub pipes: u8,
    /// Other files, such as timers and events.
    pub others: u8,
    /// Whether there are more, which were not looked at.
    pub has_more: bool,
}

/// The kernel's fields.
#[derive(Debug, Clone, Copy)]
pub struct EpollFields {
    file: file::FileFields,
    /// The number of the system call, in `struct pt_regs`.
    number: StructField,
    /// `file.private_data`
    instance: StructField,
    /// `eventpoll.rbr.rb_root.rb_node`
    root: StructField,
    left: StructField,
    right: StructField,
    /// From a node to the pointer to its file: `epitem.ffd.file` less `epitem.rbn`.
    watched: i32,
}

/// The numbers of `epoll_wait`, `epoll_pwait` and `epoll_pwait2`.
#[cfg(target_arch = "x86_64")]
const CALLS: [i32; 3] = [232, 281, 441];
/// The numbers of `epoll_pwait` and `epoll_pwait2`.
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [i32; 2] = [22, 441];

/// Where to go on if there is no node.
const NO_NODE: [Label; NODES as usize] = [
    "epoll: no node 0",
    "epoll: no node 1",
    "epoll: no node 2",
    "epoll: no node 3",
    "epoll: no node 4",
    "epoll: no node 5",
    "epoll: no node 6",
];

impl EpollFields {
    /// Looks at a node.
    fn write_node(&self, code: &mut Code, at: i32, index: i32, none: Label) {
        let node = TREE + 8 * index;
        code.load(R3, Frame.u64(node));
        code.jump_if(R3, When::Equal, 0, none); //                             if (node[i]) {
        for (side, child) in [(self.left, 2 * index + 1), (self.right, 2 * index + 2)] {
            code.load(R3, Frame.u64(node));
            file::fetch(code, at + POINTER, 8, side.offset); //                    child = node[i]->rb_left;
            code.load(R1, RECORD.u64(at + POINTER));
            if child < NODES {
                code.store(Frame.u64(TREE + 8 * child), R1); //                    node[2 * i + 1] = child;
            } else {
                code.load(R2, RECORD.u64(at + MORE));
                code.or(R2, R1);
                code.store(RECORD.u64(at + MORE), R2); //                          more |= child;
            }
        }
        code.load(R3, Frame.u64(node));
        code.add(R3, self.watched);
        file::fetch(code, at + FILE, 8, 0); //                                     file = node[i]->file;
        self.file.write_mode(code, at + FILE, at + POINTER, at + MODES + 2 * index);
        code.load(R1, RECORD.u16(at + MODES + 2 * index));
        code.or(R1, FOUND);
        code.store(RECORD.u16(at + MODES + 2 * index), R1); //                     modes[i] = file->f_inode->i_mode | FOUND; }
        code.label(none);
    }
}

impl RecordPart for EpollFields {
    type Value = Option<EpollSet>;

    const NAMES: TypeNames = TypeNames { structures: &["eventpoll", "epitem", "rb_node"], ..TypeNames::NONE };
    const SIZE: i32 = END;

    fn find(types: &Types<'_>) -> Option<Self> {
        let node = types.field("epitem", &["rbn"])?.offset;
        let watched = types.field("epitem", &["ffd", "file"])?.offset;
        Some(Self {
            file: file::FileFields::find(types)?,
            number: types.field("pt_regs", &[if cfg!(target_arch = "x86_64") { "orig_ax" } else { "syscallno" }])?,
            instance: types.field("file", &["private_data"])?,
            root: types.field("eventpoll", &["rbr", "rb_root", "rb_node"])?,
            left: types.field("rb_node", &["rb_left"])?,
            right: types.field("rb_node", &["rb_right"])?,
            watched: watched.cast_signed().checked_sub(node.cast_signed())?,
        })
    }

    fn write(&self, code: &mut Code, at: i32) {
        file::clear(code, at, END);
        identity::jump_if_kernel_thread(code, "epoll: none");
        code.set(R1, TASK);
        code.call(Helper::TaskPtRegs);
        code.load(R1, R0.field(self.number)); //                               number = task_pt_regs(task)->orig_ax;
        for call in CALLS {
            code.jump_if(R1, When::Equal, call, "epoll: in it"); //            if (number is none of CALLS) goto none;
        }
        code.jump("epoll: none");
        code.label("epoll: in it");
        self.file.write_file(code, at + POINTER, at + FILE, "epoll: none"); // file = …;
        code.load(R3, RECORD.u64(at + FILE));
        file::fetch(code, at + FILE, 8, self.instance.offset); //              instance = file->private_data;
        code.load(R3, RECORD.u64(at + FILE));
        file::fetch(code, at + POINTER, 8, self.root.offset);
        code.set(R2, 0);
        for node in 1..NODES {
            code.store(Frame.u64(TREE + 8 * node), R2);
        }
        code.load(R1, RECORD.u64(at + POINTER));
        code.store(Frame.u64(TREE), R1); //                                    node[0] = instance->rbr.rb_root.rb_node;
        for (index, none) in (0..).zip(NO_NODE) {
            self.write_node(code, at, index, none);
        }
        code.set(R1, 1);
        code.store(RECORD.u16(at + IS_KNOWN), R1);
        code.label("epoll: none");
    }

    fn read(record: RecordWords<'_>, at: i32) -> Option<EpollSet> {
        if record.u16(at + IS_KNOWN) == 0 {
            return None;
        }
        let mut set = EpollSet { sockets: 0, pipes: 0, others: 0, has_more: record.u64(at + MORE) != 0 };
        for mode in (at + MODES..at + IS_KNOWN).step_by(2).map(|place| record.u16(place)) {
            match mode & FORMAT {
                _ if mode == 0 => {}
                SOCKET => set.sockets += 1,
                FIFO => set.pipes += 1,
                _ => set.others += 1,
            }
        }
        Some(set)
    }
}
