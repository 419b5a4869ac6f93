//! The sockets of each network namespace, as their tables in `/proc/PID/net` show them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;

use foldhash::fast::RandomState;

use crate::kernel::Socket;
use crate::proc::net::ThreadId;
use crate::proc::parse::net;
use crate::proc::socket::{
    CLOSE, DATAGRAM, ESTABLISHED, INET, INET_6, LISTEN, NETLINK, PACKET, RAW, STREAM, TCP, UDP, UNIX,
};
use crate::proc::{Buffer, ProcRoot, ReadError};

/// `AF_…`, `SOCK_…` and `IPPROTO_…` of the sockets in a table.
struct SocketTable {
    file: &'static str,
    family: u16,
    kind: u16,
    protocol: u16,
}

const TABLES: [SocketTable; 9] = [
    SocketTable { file: "net/tcp", family: INET, kind: STREAM, protocol: TCP },
    SocketTable { file: "net/tcp6", family: INET_6, kind: STREAM, protocol: TCP },
    SocketTable { file: "net/udp", family: INET, kind: DATAGRAM, protocol: UDP },
    SocketTable { file: "net/udp6", family: INET_6, kind: DATAGRAM, protocol: UDP },
    SocketTable { file: "net/unix", family: UNIX, kind: STREAM, protocol: 0 },
    SocketTable { file: "net/raw", family: INET, kind: RAW, protocol: 255 },
    SocketTable { file: "net/raw6", family: INET_6, kind: RAW, protocol: 255 },
    SocketTable { file: "net/netlink", family: NETLINK, kind: RAW, protocol: 0 },
    SocketTable { file: "net/packet", family: PACKET, kind: RAW, protocol: 0 },
];

/// A socket in a table.
#[derive(Debug, Clone, Copy)]
struct SocketEntry {
    inode: u64,
    family: u16,
    kind: u16,
    protocol: u16,
    state: u8,
    ends: Option<(SocketAddr, SocketAddr)>,
    /// Where the name of a UNIX socket is among the names, and how long it is.
    name: (u32, u8),
}

/// The sockets of one network namespace.
#[derive(Debug, Default)]
pub(super) struct NetNamespace {
    /// By inode, ascending.
    entries: Vec<SocketEntry>,
    names: Vec<u8>,
    /// Whether there were more than psn keeps.
    pub(super) is_cut: bool,
    used: u64,
}

/// The sockets of all network namespaces that rows asked for.
#[derive(Debug, Default)]
pub(super) struct NetNamespaces {
    by_id: HashMap<u64, NetNamespace, RandomState>,
    uses: u64,
}

impl NetNamespaces {
    /// The most bytes that the sockets of all namespaces take. One takes some hundred.
    pub(super) const MAX_BYTES: usize = 64 << 20;
    /// The most namespaces.
    const MAX: usize = 1024;

    /// The sockets of a namespace, if its tables were read.
    pub(super) fn known(&mut self, id: u64) -> Option<&NetNamespace> {
        self.uses += 1;
        let namespace = self.by_id.get_mut(&id)?;
        namespace.used = self.uses;
        Some(namespace)
    }

    /// Reads the tables of the namespace that a thread is in. `account` is told how each read went, and when one begins or goes on.
    ///
    /// # Errors
    /// The class of the failure, if none could be read.
    pub(super) fn read(
        &mut self,
        root: &ProcRoot,
        id: u64,
        of: ThreadId,
        buffer: &mut Buffer,
        account: &mut dyn FnMut(TableStep),
    ) -> Result<(), ReadError> {
        self.by_id.remove(&id);
        let room = Self::MAX_BYTES.saturating_sub(self.by_id.values().map(NetNamespace::bytes).sum());
        let mut read = NetNamespace::default();
        let mut failure = None;
        for table in &TABLES {
            let result = root.read_sockets(of, table.file, buffer, &mut |line| {
                read.take(table, line);
                account(TableStep::Goes);
                read.is_cut = read.bytes() > room;
                if read.is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            account(TableStep::Ended(result));
            // A kernel without version 6 has no tables of it.
            if let Err(error) = result
                && (error != ReadError::Gone || table.file == "net/tcp")
            {
                failure = failure.or(Some(error));
            }
        }
        read.entries.sort_unstable_by_key(|entry| entry.inode);
        let is_nothing = read.entries.is_empty();
        self.make_room();
        self.uses += 1;
        read.used = self.uses;
        self.by_id.insert(id, read);
        failure.filter(|_| is_nothing).map_or(Ok(()), Err)
    }

    /// Drops what was read of a namespace.
    pub(super) fn drop_one(&mut self, id: u64) {
        self.by_id.remove(&id);
    }

    /// Drops the namespace that was not asked for the longest, if there are too many.
    fn make_room(&mut self) {
        if self.by_id.len() >= Self::MAX
            && let Some(oldest) = self.by_id.iter().min_by_key(|(_, namespace)| namespace.used).map(|(id, _)| *id)
        {
            self.by_id.remove(&oldest);
        }
    }

    /// Drops the namespaces, if together they leave little room for another.
    pub(super) fn drop_if_full(&mut self) {
        if self.by_id.values().map(NetNamespace::bytes).sum::<usize>() > Self::MAX_BYTES / 4 * 3 {
            self.by_id.clear();
        }
    }
}

/// What a reading tells its caller of.
#[derive(Debug, Clone, Copy)]
pub(super) enum TableStep {
    /// It goes on.
    Goes,
    /// A table was read, or could not be.
    Ended(Result<(), ReadError>),
}

impl NetNamespace {
    fn bytes(&self) -> usize {
        self.entries.len() * size_of::<SocketEntry>() + self.names.len()
    }

    fn take(&mut self, table: &SocketTable, line: &[u8]) {
        let SocketTable { family, kind, protocol, .. } = *table;
        let plain = SocketEntry { inode: 0, family, kind, protocol, state: CLOSE, ends: None, name: (0, 0) };
        let entry = match family {
            INET | INET_6 => net::internet(line).map(|socket| SocketEntry {
                inode: socket.inode,
                state: socket.state,
                ends: Some((socket.local, socket.remote)),
                ..plain
            }),
            UNIX => net::unix(line).map(|socket| SocketEntry {
                inode: socket.inode,
                kind: socket.kind,
                state: match (socket.listens, socket.is_connected) {
                    (true, _) => LISTEN,
                    (_, true) => ESTABLISHED,
                    _ => CLOSE,
                },
                name: self.keep_name(socket.path.unwrap_or_default()),
                ..plain
            }),
            _ => net::last_field(line).map(|inode| SocketEntry { inode, ..plain }),
        };
        // Nobody has those open that have no inode.
        self.entries.extend(entry.filter(|entry| entry.inode != 0));
    }

    fn keep_name(&mut self, name: &[u8]) -> (u32, u8) {
        let start = u32::try_from(self.names.len());
        match (start, u8::try_from(name.len())) {
            (Ok(start), Ok(len)) if len > 0 => {
                self.names.extend_from_slice(name);
                (start, len)
            }
            _ => (0, 0),
        }
    }

    /// The socket with this inode, and its name.
    pub(super) fn find(&self, inode: u64) -> Option<(Socket, Option<&[u8]>)> {
        let index = self.entries.binary_search_by_key(&inode, |entry| entry.inode).ok()?;
        let SocketEntry { family, kind, protocol, state, ends, name: (start, len), .. } = *self.entries.get(index)?;
        let start = usize::try_from(start).ok()?;
        let name = self.names.get(start..start + usize::from(len)).filter(|name| !name.is_empty());
        let is_named = name.is_some();
        let socket = Socket { family, kind, protocol, state, ends, is_named, peer_pid: None, peer_comm: [0; 16] };
        Some((socket, name))
    }

    /// The inodes of the sockets at the other ends of these connections, all of TCP, by the ends as seen from here.
    pub(super) fn other_ends(&self, of: &HashSet<(SocketAddr, SocketAddr)>) -> HashMap<(SocketAddr, SocketAddr), u64> {
        let mut found = HashMap::new();
        if of.is_empty() {
            return found;
        }
        for entry in self.entries.iter().filter(|entry| entry.protocol == TCP && entry.state != LISTEN) {
            if let Some((local, remote)) = entry.ends
                && of.contains(&(remote, local))
            {
                found.insert((remote, local), entry.inode);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(file: &str) -> &'static SocketTable {
        TABLES.iter().find(|table| table.file == file).unwrap()
    }

    #[test]
    fn sockets_are_found_by_inode_and_by_their_other_end() {
        let mut namespace = NetNamespace::default();
        let tail = "00000000:00000000 00:00000000 00000000     0        0";
        for (local, remote, state, inode) in [
            ("0100007F:1F90", "00000000:0000", "0A", 7),
            ("0100007F:1F90", "0100007F:B487", "01", 5),
            ("0100007F:B487", "0100007F:1F90", "01", 9),
            ("0100007F:B488", "0100007F:1F90", "06", 0),
        ] {
            namespace.take(table("net/tcp"), format!("   0: {local} {remote} {state} {tail} {inode} 1 0").as_bytes());
        }
        namespace.take(table("net/unix"), b"Num       RefCount Protocol Flags    Type St Inode Path");
        namespace.take(table("net/unix"), b"0000000000000000: 00000002 00000000 00010000 0005 01 6 @/x y");
        namespace.take(
            table("net/netlink"),
            b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode",
        );
        namespace.take(
            table("net/netlink"),
            b"0000000000000000 0   814        00000110 0        0        0     2        0        18309   ",
        );
        namespace.entries.sort_unstable_by_key(|entry| entry.inode);
        let (listener, _) = namespace.find(7).unwrap();
        assert_eq!((listener.state, listener.protocol), (LISTEN, TCP));
        let (seqpacket, name) = namespace.find(6).unwrap();
        assert_eq!((seqpacket.kind, seqpacket.state, name), (5, LISTEN, Some(&b"@/x y"[..])));
        assert_eq!(namespace.find(18309).unwrap().0.family, NETLINK);
        assert!(namespace.find(0).is_none() && namespace.find(8).is_none());
        let (client, server) = (namespace.find(9).unwrap().0.ends.unwrap(), namespace.find(5).unwrap().0.ends.unwrap());
        let found = namespace.other_ends(&HashSet::from([client, server]));
        assert_eq!(found, HashMap::from([(client, 5), (server, 9)]));
    }
}
