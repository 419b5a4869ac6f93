//! Questions about descriptors, and answers.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::kernel::Socket;
use crate::proc::ReadError;
use crate::proc::net::ThreadId;
use crate::tasks::facts::RunCount;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A socket, by the number of its inode; and its ends, if a walk has told them.
    Socket { inode: u64, ends: Option<(SocketAddr, SocketAddr)> },
    /// The epoll instance behind this descriptor.
    Epoll { fd: u32 },
    /// The files that poll(2) or select(2) waits for.
    Polled(Polled),
}

/// The arguments of poll(2) or select(2), and of their like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Where the entries are, and how many.
    Poll { address: u64, count: u64 },
    /// The highest descriptor and one, and where the bits of each set are; 0 for none.
    Select { count: u64, sets: [u64; 3] },
}

/// Of which sockets the process at the other end is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerWanted {
    /// Of none.
    No,
    /// Of UNIX sockets.
    Unix,
    /// Of all.
    All,
}

/// What a row wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescriptorQuestion {
    pub(crate) of: ThreadId,
    /// How often the thread had run at the time of the row; `None` if it is not known.
    pub(crate) runs: Option<RunCount>,
    pub(crate) subject: Subject,
    pub(crate) peer: PeerWanted,
}

/// Whether the process at the other end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// There is none on this host that psn has found, or it was not asked for.
    None,
    /// The server has not accepted this connection of a UNIX socket, so no process has the other end yet.
    NotAccepted,
    /// It is in the socket.
    Known,
    /// It is being searched for.
    Unread,
    /// The kernel does not tell: another network namespace, or no sock_diag.
    Unsupported,
}

/// What is known of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownSocket {
    pub(crate) socket: Socket,
    /// The name of a UNIX socket, or that of its other end.
    pub(crate) name: Option<Box<[u8]>>,
    pub(crate) peer: Peer,
    /// Whether its state is that at the time of the row.
    pub(crate) is_current: bool,
}

/// How many files a thread waits for, by an epoll instance or in poll(2) or select(2), by kind. Timers are timerfds, events eventfds and signalfds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KnownSet {
    pub(crate) sockets: u32,
    pub(crate) pipes: u32,
    pub(crate) timers: u32,
    pub(crate) events: u32,
    pub(crate) others: u32,
    /// Whether there are more, which were not counted.
    pub(crate) has_more: bool,
}

impl KnownSet {
    /// No more files of a set are counted.
    pub(crate) const MAX_FILES: u32 = 4096;
    /// Of a set of poll(2) or select(2) no more.
    pub(crate) const MAX_POLLED: u32 = 64;

    /// How many files were counted.
    pub(crate) const fn files(&self) -> u32 {
        self.sockets + self.pipes + self.timers + self.events + self.others
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Socket(Arc<KnownSocket>),
    Set(KnownSet),
    /// A set of one socket and nothing else.
    Only(Arc<KnownSocket>),
    /// It was not read yet.
    Unread,
    /// What was read may not belong to the row.
    Stale,
    /// It is in none of the tables.
    Nowhere,
    /// Reading failed.
    Failed(ReadError),
}

impl Found {
    /// Whether there is nothing more to find out about the same wait.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Socket(socket) | Self::Only(socket) => socket.is_current && socket.peer != Peer::Unread,
            Self::Set(_) | Self::Nowhere | Self::Failed(_) => true,
            Self::Unread | Self::Stale => false,
        }
    }
}
