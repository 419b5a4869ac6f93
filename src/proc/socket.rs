//! The kernel's numbers for sockets, as its tables, its type description and sock_diag use them.

/// `AF_UNIX`
pub(crate) const UNIX: u16 = 1;
/// `AF_INET`
pub(crate) const INET: u16 = 2;
/// `AF_INET6`
pub(crate) const INET_6: u16 = 10;
/// `AF_NETLINK`
pub(crate) const NETLINK: u16 = 16;
/// `AF_PACKET`
pub(crate) const PACKET: u16 = 17;

/// `SOCK_STREAM`
pub(crate) const STREAM: u16 = 1;
/// `SOCK_DGRAM`
pub(crate) const DATAGRAM: u16 = 2;
/// `SOCK_RAW`
pub(crate) const RAW: u16 = 3;
/// `SOCK_SEQPACKET`
pub(crate) const SEQUENCED: u16 = 5;

/// `IPPROTO_TCP`
pub(crate) const TCP: u16 = 6;
/// `IPPROTO_UDP`
pub(crate) const UDP: u16 = 17;

/// `TCP_ESTABLISHED`; the states are those of other families as well.
pub(crate) const ESTABLISHED: u8 = 1;
/// `TCP_CLOSE`
pub(crate) const CLOSE: u8 = 7;
/// `TCP_LISTEN`
pub(crate) const LISTEN: u8 = 10;
