//! The socket in the descriptor argument of a thread's system call.

use std::io::Write as _;
use std::net::SocketAddr;

use super::call::call_with_file;
use super::contents::{Descriptor, FileContents};
use super::thread::Thread;
use crate::ask::column::SocketPart;
use crate::kernel::{OpenFile, Socket};
use crate::proc::parse::star_digits;
use crate::proc::socket::{DATAGRAM, INET, INET_6, LISTEN, NETLINK, PACKET, RAW, STREAM, TCP, UDP, UNIX};
use crate::proc::source::Source;
use crate::row::observation::{Mark, Observation};
use crate::tasks::lookups::{Found, KnownSocket, Peer};

/// The states of a connection by number (`include/net/tcp_states.h`), under the names of ss(8) and netstat(8).
const STATES: [&str; 14] = [
    "-",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
    "BOUND_INACTIVE",
];

/// The file in the descriptor argument, if a walk took it.
pub(super) fn open_file(thread: &Thread<'_>, contents: &FileContents) -> Option<OpenFile> {
    if !matches!(contents.descriptor, Descriptor::Fd(_)) {
        return None;
    }
    match &contents.kept {
        Some(kept) => kept.file,
        None => thread.record?.file(),
    }
}

/// What is told of a socket, by a walk or by a side reader.
pub(super) struct Told<'a> {
    pub(super) socket: Socket,
    /// The name of a UNIX socket, or that of its other end; walks do not tell it.
    name: Option<&'a [u8]>,
    /// Why the process at the other end is not known.
    peer: Mark,
    /// Whether it waits for its server to accept the connection.
    is_unaccepted: bool,
    is_current: bool,
}

impl<'a> Told<'a> {
    /// What a side reader has found out.
    pub(super) fn of(known: &'a KnownSocket) -> Self {
        let KnownSocket { socket, name, peer, is_current } = known;
        Self {
            socket: *socket,
            name: name.as_deref(),
            peer: mark_of(*peer),
            is_unaccepted: *peer == Peer::NotAccepted,
            is_current: *is_current,
        }
    }

    /// Which end of the connection the process `tgid` is.
    pub(super) fn role(&self, tgid: u32) -> Role {
        let is_unnamed_end = self.socket.family == UNIX && !self.socket.is_named;
        match self.socket.peer_pid {
            // The name is that of the other end.
            None if is_unnamed_end && (self.is_unaccepted || self.name.is_some()) => Role::Client,
            _ => role(&self.socket, tgid),
        }
    }
}

/// What is known of the socket in the descriptor argument.
///
/// # Errors
/// The mark for the columns about it.
pub(super) fn told<'a>(thread: &Thread<'_>, contents: &'a FileContents) -> Result<Told<'a>, Mark> {
    call_with_file(thread, contents)?;
    if !matches!(contents.descriptor, Descriptor::Fd(_)) {
        return Err(Mark::None);
    }
    if let Some(file) = open_file(thread, contents) {
        let socket = file.socket.ok_or(Mark::None)?;
        let mut told = Told { socket, name: None, peer: Mark::None, is_unaccepted: false, is_current: true };
        if told.socket.family == UNIX && told.socket.state == LISTEN {
            // The kernel notes the listening process itself, for those that will connect.
            (told.socket.peer_pid, told.socket.peer_comm) = (None, [0; 16]);
        }
        // A side reader adds the process at the other end of a TCP connection.
        match &contents.found {
            Some(Found::Socket(known)) => {
                told.peer = mark_of(known.peer);
                (told.socket.peer_pid, told.socket.peer_comm) = (known.socket.peer_pid, known.socket.peer_comm);
            }
            Some(Found::Unread | Found::Stale) => told.peer = Mark::Unread,
            Some(Found::Failed(error)) => told.peer = (*error).into(),
            Some(Found::Set(_) | Found::Only(_) | Found::Nowhere) | None => {}
        }
        return Ok(told);
    }
    if !contents.bytes(Source::Fd)?.starts_with(b"socket:") {
        return Err(Mark::None);
    }
    match &contents.found {
        Some(Found::Socket(known)) => Ok(Told::of(known)),
        Some(Found::Unread) => Err(Mark::Unread),
        Some(Found::Stale) => Err(Mark::Stale),
        Some(Found::Failed(error)) => Err((*error).into()),
        Some(Found::Set(_) | Found::Only(_) | Found::Nowhere) | None => Err(Mark::Unsupported),
    }
}

/// The mark for a process at the other end that is not known.
const fn mark_of(peer: Peer) -> Mark {
    match peer {
        Peer::None | Peer::NotAccepted | Peer::Known => Mark::None,
        Peer::Unread => Mark::Unread,
        Peer::Unsupported => Mark::Unsupported,
    }
}

/// Appends what is known of the socket.
pub(super) fn extract_socket(part: SocketPart, thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    // The one socket that epoll, poll or select waits for, or that of the descriptor.
    if let Some(Found::Only(known)) = &contents.found {
        return push(part, &Told::of(known), row);
    }
    match told(thread, contents) {
        Ok(told) => push(part, &told, row),
        Err(mark) if contents.descriptor == Descriptor::None => {
            row.push_mark(contents.mark_of_polled().unwrap_or(mark))
        }
        Err(mark) => row.push_mark(mark),
    }
}

fn push(part: SocketPart, told: &Told<'_>, row: &mut Observation) {
    let socket = &told.socket;
    let end = |row: &mut Observation, pick: fn(&(SocketAddr, SocketAddr)) -> SocketAddr| {
        match socket.ends.as_ref().map(pick).filter(|end| end.port() != 0) {
            Some(end) => row.push_text_with(|out| {
                // Writing to a vector can not fail.
                let _ = write!(out, "{end}");
            }),
            None => row.push_mark(Mark::None),
        }
    };
    match part {
        SocketPart::Protocol => row.push_text(protocol(socket).as_bytes()),
        SocketPart::Local => end(row, |(local, _)| *local),
        SocketPart::Remote => end(row, |(_, remote)| *remote),
        SocketPart::RemotePort => match socket.ends.filter(|(_, remote)| remote.port() != 0) {
            Some((_, remote)) => row.push_number(remote.port().into()),
            None => row.push_mark(Mark::None),
        },
        SocketPart::State if !told.is_current => row.push_mark(Mark::Stale),
        SocketPart::State => match STATES.get(usize::from(socket.state)) {
            Some(name) if socket.kind == STREAM => row.push_text(name.as_bytes()),
            _ => row.push_mark(Mark::None),
        },
        SocketPart::PeerPid => match socket.peer_pid {
            Some(pid) => row.push_number(pid.into()),
            None => row.push_mark(told.peer),
        },
        SocketPart::PeerComm => match peer_comm(socket) {
            [] => row.push_mark(told.peer),
            name => row.push_text(name),
        },
    }
}

fn peer_comm(socket: &Socket) -> &[u8] {
    socket.peer_comm.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn protocol(socket: &Socket) -> &'static str {
    const INTERNET: [u16; 2] = [INET, INET_6];
    match (socket.family, socket.kind) {
        (UNIX, _) => "unix",
        (NETLINK, _) => "netlink",
        (PACKET, _) => "packet",
        (40, _) => "vsock",
        (family, kind) if INTERNET.contains(&family) => match (socket.protocol, kind) {
            (TCP, _) | (0, STREAM) => "tcp",
            (UDP, _) | (0, DATAGRAM) => "udp",
            (132, _) => "sctp",
            (262, _) => "mptcp",
            _ => "raw",
        },
        _ => "other",
    }
}

/// Appends the connection: `tcp 10.0.0.5:41822->10.0.0.9:5432`, `listen tcp 0.0.0.0:80`, `unix @/run/x->pid 812 (postgres)`. As a
/// summary, the port that is one of many is a `*`.
pub(super) fn write_connection(told: &Told<'_>, is_summary: bool, out: &mut Vec<u8>) {
    let socket = &told.socket;
    if socket.state == LISTEN && socket.kind == STREAM {
        out.extend_from_slice(b"listen ");
    }
    out.extend_from_slice(protocol(socket).as_bytes());
    if let Some((local, remote)) = &socket.ends {
        let [here, there] = [local, remote].map(|end| is_summary && is_one_of_many(*end, *local, *remote));
        write_end(local, here, b' ', out);
        if remote.port() != 0 {
            out.extend_from_slice(b"->");
            write_end(remote, there, b'>', out);
        }
        return;
    }
    if let Some(name) = told.name {
        out.push(b' ');
        if is_summary { star_digits(name, out) } else { out.extend_from_slice(name) }
    }
    if let Some(pid) = socket.peer_pid {
        let _ = if is_summary { write!(out, "->pid *") } else { write!(out, "->pid {pid}") };
        let name = peer_comm(socket);
        if !name.is_empty() {
            out.extend_from_slice(b" (");
            out.extend_from_slice(name);
            out.push(b')');
        }
    }
}

fn write_end(end: &SocketAddr, is_starred: bool, before: u8, out: &mut Vec<u8>) {
    if before == b' ' {
        out.push(b' ');
    }
    // Writing to a vector can not fail.
    let _ = match (is_starred, end) {
        (false, end) => write!(out, "{end}"),
        (true, SocketAddr::V4(end)) => write!(out, "{}:*", end.ip()),
        (true, SocketAddr::V6(end)) => write!(out, "[{}]:*", end.ip()),
    };
}

/// The first port that the kernel gives to clients (`net.ipv4.ip_local_port_range`, unless it was changed).
const FIRST_EPHEMERAL: u16 = 32_768;

/// Whether this end of a connection has a port that the kernel gave it. Of two such, it is this one if the other is a service's.
fn is_one_of_many(end: SocketAddr, local: SocketAddr, remote: SocketAddr) -> bool {
    let other = if end == local { remote } else { local };
    end.port() >= FIRST_EPHEMERAL && other.port() != 0 && (other.port() < FIRST_EPHEMERAL || end == local)
}

/// Which end of the connection the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It was connected to, or takes messages from anybody.
    Server,
    /// It connected.
    Client,
    /// It cannot be told.
    Unknown,
}

/// Which end the process `tgid` is, by the ports: who connects gets one from the kernel. Of UNIX sockets, by who has a name.
fn role(socket: &Socket, tgid: u32) -> Role {
    /// `IPPROTO_ICMP` and `IPPROTO_ICMPV6`
    const ECHOES: [u16; 2] = [1, 58];
    const FROM_KERNEL: [u16; 2] = [NETLINK, PACKET];
    let is_ephemeral = |end: &SocketAddr| end.port() >= FIRST_EPHEMERAL;
    match &socket.ends {
        // What answers to pings come by.
        Some(_) if socket.kind == RAW || ECHOES.contains(&socket.protocol) => Role::Unknown,
        // A port that the kernel gave it: who sent messages by it may wait for answers.
        Some((local, remote)) if remote.port() == 0 && is_ephemeral(local) => Role::Unknown,
        Some((_, remote)) if remote.port() == 0 => Role::Server,
        Some((local, remote)) => match [local, remote].map(is_ephemeral) {
            [false, true] => Role::Server,
            [true, false] => Role::Client,
            _ => Role::Unknown,
        },
        None if socket.family == UNIX && socket.is_named => Role::Server,
        // A pair that the process made itself has neither.
        None if socket.family == UNIX && socket.peer_pid == Some(tgid) => Role::Unknown,
        None if socket.family == UNIX && socket.peer_pid.is_some() => Role::Client,
        None if FROM_KERNEL.contains(&socket.family) => Role::Server,
        None => Role::Unknown,
    }
}
