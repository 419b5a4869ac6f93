//! The file whose descriptor is the first argument of the system call in which the task waits, taken from the task's own table of
//! files; and if it is a socket, its two ends.
//!
//! Not every call has a descriptor as its first argument: whoever reads this has to know the call. Other threads of the process may
//! close files meanwhile. So the program looks at the table once more in the end: if it has the same file still, that was open all
//! the while, and what was read of it is its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::identity;
use super::part::RecordPart;
use crate::kernel::bpf::asm::Register::{R0, R1, R2, R3};
use crate::kernel::bpf::asm::{Code, Helper, Label, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};
use crate::proc::socket::{INET, INET_6, LISTEN, STREAM, UNIX};

/// `u64`: the place in the table, then the file that is there at the end
const PLACE: i32 = 0;
/// `u64`: the file
const FILE: i32 = PLACE + 8;
/// `u64`: a pointer on the way
const POINTER: i32 = FILE + 8;
/// `u64`: the inode's number
const INODE: i32 = POINTER + 8;
/// `u8[16]`: the other end's address
const REMOTE: i32 = INODE + 8;
/// `u8[16]`: this end's address
const LOCAL: i32 = REMOTE + 16;
/// `u32`: the process at the other end of a UNIX socket
const PEER: i32 = LOCAL + 16;
/// `u16`: type and rights (`i_mode`)
const MODE: i32 = PEER + 4;
/// `u16`: `AF_…`
const FAMILY: i32 = MODE + 2;
/// `u16`, lowest byte last: the other end's port
const REMOTE_PORT: i32 = FAMILY + 2;
/// `u16`: this end's port
const LOCAL_PORT: i32 = REMOTE_PORT + 2;
/// `u16`: `SOCK_…`
const TYPE: i32 = LOCAL_PORT + 2;
/// `u16`: `IPPROTO_…`
const PROTOCOL: i32 = TYPE + 2;
/// `u8`: `TCP_…`, which other families use as well
const STATE: i32 = PROTOCOL + 2;
const END: i32 = STATE + 8;

/// `S_IFMT` and `S_IFSOCK`
const FORMAT: i32 = 0o170_000;
const SOCKET: i32 = 0o140_000;

/// An open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFile {
    /// The inode's number.
    pub inode: u64,
    /// Type and rights, as in `st_mode`.
    pub mode: u16,
    /// What it is connected to, if it is a socket.
    pub socket: Option<Socket>,
}

/// A socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// `AF_…`
    pub family: u16,
    /// `SOCK_…`
    pub kind: u16,
    /// `IPPROTO_…`; 0 if it is not known.
    pub protocol: u16,
    /// `TCP_…`, 1 if it is connected and 10 if it listens; of UNIX sockets as well.
    pub state: u8,
    /// Both ends of a socket of the internet: this one and the other. Unspecified if there is none.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Whether a UNIX socket has a name: that on which its process was connected to has, that which it connected seldom.
    pub is_named: bool,
    /// The process that connected a UNIX socket, or that listened where it was connected to, by the host's own ids.
    pub peer_pid: Option<u32>,
    /// Its name, filled up with zeros; all zeros if it has ended.
    pub peer_comm: [u8; 16],
}

impl Socket {
    /// Both ends, if it is a stream of the internet that has another one.
    pub(crate) fn connection(&self) -> Option<(SocketAddr, SocketAddr)> {
        let is_stream = self.kind == STREAM && self.state != LISTEN;
        self.ends.filter(|(_, remote)| is_stream && remote.port() != 0)
    }
}

/// The kernel's fields.
#[derive(Debug, Clone, Copy)]
pub struct FileFields {
    /// The first argument, in `struct pt_regs`.
    argument: StructField,
    files: StructField,
    table: StructField,
    max: StructField,
    files_of_table: StructField,
    inode: StructField,
    number: StructField,
    mode: StructField,
    socket: Socks,
}

/// The fields of sockets.
#[derive(Debug, Clone, Copy)]
struct Socks {
    /// `file.private_data`
    socket: StructField,
    kind: StructField,
    sock: StructField,
    family: StructField,
    state: StructField,
    protocol: Option<StructField>,
    remote_port: StructField,
    local_port: StructField,
    remote: StructField,
    local: StructField,
    remote_6: Option<StructField>,
    local_6: Option<StructField>,
    peer: Option<StructField>,
    /// `unix_sock.addr`
    name: Option<StructField>,
    /// `pid.numbers[0].nr`
    peer_number: u32,
    /// `pid.tasks[PIDTYPE_PID].first`, and from there to `task_struct.comm`.
    peer_name: Option<(u32, i32)>,
}

impl Socks {
    fn find(types: &Types<'_>) -> Option<Self> {
        let common = |name| types.field("sock", &["__sk_common", name]);
        // The array's length is not known, but where it begins.
        let numbers = types.structure("pid").and_then(|pid| pid.member(&["numbers"]));
        let number = numbers.zip(types.field("upid", &["nr"]));
        let start = |structure: &str, name| Some(types.structure(structure)?.member(&[name])?.bit_offset / 8);
        let links = start("task_struct", "pid_links").zip(start("task_struct", "comm"));
        let peer_name = start("pid", "tasks").zip(links);
        Some(Self {
            socket: types.field("file", &["private_data"])?,
            kind: types.field("socket", &["type"])?,
            sock: types.field("socket", &["sk"])?,
            family: common("skc_family")?,
            state: common("skc_state")?,
            protocol: types.field("sock", &["sk_protocol"]),
            remote_port: common("skc_dport")?,
            local_port: common("skc_num")?,
            remote: common("skc_daddr")?,
            local: common("skc_rcv_saddr")?,
            remote_6: common("skc_v6_daddr"),
            local_6: common("skc_v6_rcv_saddr"),
            name: types.field("unix_sock", &["addr"]),
            peer: types.field("sock", &["sk_peer_pid"]).filter(|_| number.is_some()),
            peer_name: peer_name
                .map(|(tasks, (links, comm))| (tasks, comm.cast_signed().wrapping_sub(links.cast_signed()))),
            peer_number: number.map_or(0, |(numbers, nr)| numbers.bit_offset / 8 + nr.offset),
        })
    }
}

/// Clears the words of a part that not every path fills, through `R2`.
pub(super) fn clear(code: &mut Code, at: i32, size: i32) {
    code.set(R2, 0);
    for word in (at..at + size).step_by(8) {
        code.store(RECORD.u64(word), R2);
    }
}

/// `*(record + to) = *(R3 + field)`, as many bytes; whatever `R3` is. Zeros if there is nothing.
pub(super) fn fetch(code: &mut Code, to: i32, size: i32, offset: u32) {
    code.add(R3, offset.cast_signed());
    code.set(R1, RECORD);
    code.add(R1, to);
    code.set(R2, size);
    code.call(Helper::ProbeReadKernel);
}

/// The same from where the pointer at `from` points to.
fn follow(code: &mut Code, from: i32, to: i32, size: i32, offset: u32) {
    code.load(R3, RECORD.u64(from));
    fetch(code, to, size, offset);
}

impl FileFields {
    /// Finds the file of the first argument, and its place in the table of files; jumps to `none` if it has none. Both are
    /// offsets in the record.
    pub(super) fn write_file(&self, code: &mut Code, place: i32, file: i32, none: Label) {
        code.set(R1, TASK);
        code.call(Helper::TaskPtRegs); //                                      fd = task_pt_regs(task)->di;
        code.load(R3, R0.field(self.argument));
        code.load(R1, TASK.field(self.files));
        code.jump_if(R1, When::Equal, 0, none); //                             if (!task->files) goto none;
        code.load(R1, R1.field(self.table)); //                                table = task->files->fdt;
        code.load(R2, R1.field(self.max));
        code.jump_if(R3, When::Above, R2, none); //                            if (fd >= table->max_fds) goto none;
        code.jump_if(R3, When::Equal, R2, none);
        code.load(R1, R1.field(self.files_of_table));
        code.shift_left(R3, 3);
        code.add(R3, R1);
        code.store(RECORD.u64(place), R3); //                                  place = &table->fd[fd];
        fetch(code, file, 8, 0); //                                            file = *place;
    }

    /// Writes type and rights of a file; all are offsets in the record.
    pub(super) fn write_mode(&self, code: &mut Code, file: i32, pointer: i32, mode: i32) {
        follow(code, file, pointer, 8, self.inode.offset);
        follow(code, pointer, mode, 2, self.mode.offset);
    }

    fn write_socket(&self, code: &mut Code, at: i32) {
        let socks = self.socket;
        follow(code, at + FILE, at + POINTER, 8, socks.socket.offset); //      socket = file->private_data;
        follow(code, at + POINTER, at + TYPE, 2, socks.kind.offset);
        follow(code, at + POINTER, at + POINTER, 8, socks.sock.offset); //     sk = socket->sk;
        for (to, field) in [
            (FAMILY, socks.family),
            (REMOTE_PORT, socks.remote_port),
            (LOCAL_PORT, socks.local_port),
            (STATE, socks.state),
        ] {
            follow(code, at + POINTER, at + to, field.size.cast_signed().min(2), field.offset);
        }
        if let Some(protocol) = socks.protocol {
            follow(code, at + POINTER, at + PROTOCOL, protocol.size.cast_signed().min(2), protocol.offset);
        }
        if let Some(peer) = socks.peer {
            code.load(R1, RECORD.u16(at + FAMILY));
            code.jump_if(R1, When::NotEqual, i32::from(UNIX), "file: internet"); //       if (sk->family == AF_UNIX) {
            if let Some(name) = socks.name {
                follow(code, at + POINTER, at + REMOTE, 8, name.offset); //        name = sk->addr;
            }
            follow(code, at + POINTER, at + POINTER, 8, peer.offset); //           pid = sk->sk_peer_pid;
            follow(code, at + POINTER, at + PEER, 4, socks.peer_number); //        peer = pid->numbers[0].nr;
            if let Some((tasks, name)) = socks.peer_name {
                follow(code, at + POINTER, at + POINTER, 8, tasks); //                 peer = pid_task(pid, PIDTYPE_PID);
                code.load(R3, RECORD.u64(at + POINTER));
                code.jump_if(R3, When::Equal, 0, "file: check");
                code.add(R3, name);
                fetch(code, at + LOCAL, 16, 0); //                                     name = peer->comm;
            }
            code.jump("file: check"); //                                       } else {
            code.label("file: internet");
        }
        let addresses_6 = socks.remote_6.zip(socks.local_6);
        let (remote, local) = addresses_6.unwrap_or((socks.remote, socks.local));
        if addresses_6.is_some() {
            code.load(R1, RECORD.u16(at + FAMILY));
            code.jump_if(R1, When::Equal, i32::from(INET), "file: version 4");
            for (to, field) in [(REMOTE, remote), (LOCAL, local)] {
                follow(code, at + POINTER, at + to, 16, field.offset);
            }
            code.jump("file: check");
            code.label("file: version 4");
        }
        for (to, field) in [(REMOTE, socks.remote), (LOCAL, socks.local)] {
            follow(code, at + POINTER, at + to, 4, field.offset); //               addresses … }
        }
    }
}

impl RecordPart for FileFields {
    type Value = Option<OpenFile>;

    const NAMES: TypeNames = TypeNames {
        structures: &[
            "pt_regs",
            "files_struct",
            "fdtable",
            "file",
            "inode",
            "socket",
            "sock",
            "unix_sock",
            "pid",
            "upid",
        ],
        constants: &["BPF_FUNC_task_pt_regs"],
        ..TypeNames::NONE
    };
    const SIZE: i32 = END;

    fn find(types: &Types<'_>) -> Option<Self> {
        types.constant("BPF_FUNC_task_pt_regs")?;
        Some(Self {
            argument: first_argument(types)?,
            files: types.task(&["files"])?,
            table: types.field("files_struct", &["fdt"])?,
            max: types.field("fdtable", &["max_fds"])?,
            files_of_table: types.field("fdtable", &["fd"])?,
            inode: types.field("file", &["f_inode"])?,
            number: types.field("inode", &["i_ino"])?,
            mode: types.field("inode", &["i_mode"])?,
            socket: Socks::find(types)?,
        })
    }

    fn write(&self, code: &mut Code, at: i32) {
        clear(code, at, END);
        identity::jump_if_kernel_thread(code, "file: none");
        self.write_file(code, at + PLACE, at + FILE, "file: none"); //         place = …; file = *place;
        follow(code, at + FILE, at + POINTER, 8, self.inode.offset);
        follow(code, at + POINTER, at + INODE, 8, self.number.offset); //      inode = file->f_inode->i_ino;
        self.write_mode(code, at + FILE, at + POINTER, at + MODE); //          mode = file->f_inode->i_mode;
        code.load(R1, RECORD.u16(at + MODE));
        code.and(R1, FORMAT);
        code.jump_if(R1, When::NotEqual, SOCKET, "file: check"); //            if ((mode & S_IFMT) == S_IFSOCK) {
        self.write_socket(code, at); //                                            … }
        code.label("file: check");
        follow(code, at + PLACE, at + PLACE, 8, 0); //                         // the same as at first?
        code.label("file: none");
    }

    fn read(record: RecordWords<'_>, at: i32) -> Option<OpenFile> {
        let file = record.u64(at + FILE);
        if file == 0 || file != record.u64(at + PLACE) {
            return None;
        }
        let mode = record.u16(at + MODE);
        let is_socket = i32::from(mode) & FORMAT == SOCKET;
        Some(OpenFile { inode: record.u64(at + INODE), mode, socket: is_socket.then(|| read_socket(record, at)) })
    }
}

fn read_socket(record: RecordWords<'_>, at: i32) -> Socket {
    let family = record.u16(at + FAMILY);
    let port = u16::from_be_bytes(record.u16(at + REMOTE_PORT).to_ne_bytes());
    let end = |place, port| Some(SocketAddr::new(address(record, family, at + place)?, port));
    let ends = end(LOCAL, record.u16(at + LOCAL_PORT)).zip(end(REMOTE, port));
    let peer_pid = Some(record.u32(at + PEER)).filter(|pid| family == UNIX && *pid != 0);
    Socket {
        family,
        kind: record.u16(at + TYPE),
        protocol: record.u16(at + PROTOCOL),
        state: record.u8(at + STATE),
        ends,
        is_named: family == UNIX && record.u64(at + REMOTE) != 0,
        peer_comm: if peer_pid.is_some() { record.name(at + LOCAL) } else { [0; 16] },
        peer_pid,
    }
}

/// An address of the internet; one of version 4 in the clothes of version 6 is shown as what it is.
fn address(record: RecordWords<'_>, family: u16, at: i32) -> Option<IpAddr> {
    let halves = [record.u64(at).to_ne_bytes(), record.u64(at + 8).to_ne_bytes()];
    let [[a, b, c, d, ..], _] = halves;
    match family {
        INET => Some(Ipv4Addr::new(a, b, c, d).into()),
        INET_6 => {
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(halves.as_flattened()) {
                *to = *from;
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// The first argument of a system call.
fn first_argument(types: &Types<'_>) -> Option<StructField> {
    if cfg!(target_arch = "x86_64") {
        types.field("pt_regs", &["di"])
    } else if cfg!(target_arch = "aarch64") {
        types.field("pt_regs", &["orig_x0"])
    } else {
        None
    }
}
