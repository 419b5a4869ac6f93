//! The other end of a UNIX socket, as the kernel tells it by netlink (sock_diag(7)). It tells of psn's own network namespace only.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// The other end of a connected UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherEnd {
    /// The socket with this inode.
    Inode(u64),
    /// A socket that no process has yet: the server has not accepted the connection. Or one that no process has any more.
    Nobodys,
}

/// Asks the kernel.
#[derive(Debug)]
pub(crate) struct UnixDiag(OwnedFd);

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`
const REQUEST: u16 = 1;
/// `AF_UNIX`
const UNIX: u8 = 1;
/// `UDIAG_SHOW_PEER`
const SHOW_PEER: u32 = 4;
/// `UNIX_DIAG_PEER`
const PEER: u16 = 2;
/// The bytes of `struct nlmsghdr` and of `struct unix_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = 16;

impl UnixDiag {
    /// Opens a socket to the kernel; `None` if it has none of this kind, or not for psn.
    pub(crate) fn open() -> Option<Self> {
        let protocol = Some(netlink::SOCK_DIAG);
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)
            .ok()
            .map(Self)
    }

    /// What this socket is connected to; `None` if it is not, or if the kernel does not tell. The kernel answers while it takes the
    /// request, so this does not wait.
    pub(crate) fn peer(&self, inode: u64) -> Option<OtherEnd> {
        // The kernel keeps the number in 32 bits here.
        let inode = u32::try_from(inode).ok()?;
        rustix::net::send(&self.0, &request(inode), SendFlags::DONTWAIT).ok()?;
        let mut answer = [0; 4096];
        loop {
            let (length, _) = rustix::net::recv(&self.0, &mut answer, RecvFlags::DONTWAIT).ok()?;
            // What is left over of an earlier request is passed over.
            if let Some((of, peer)) = parse(answer.get(..length)?) {
                if of == inode {
                    return peer;
                }
            } else if sequence(&answer) == Some(inode) {
                return None;
            }
        }
    }
}

/// `struct nlmsghdr` and `struct unix_diag_req`. The inode is the message's number too.
fn request(inode: u32) -> [u8; 40] {
    let mut bytes = [0; 40];
    let words = [
        40_u32.to_ne_bytes(),
        join(BY_FAMILY.to_ne_bytes(), REQUEST.to_ne_bytes()),
        inode.to_ne_bytes(),
        [0; 4],
        [UNIX, 0, 0, 0],
        // In any state.
        u32::MAX.to_ne_bytes(),
        inode.to_ne_bytes(),
        SHOW_PEER.to_ne_bytes(),
        // Whatever its cookie.
        u32::MAX.to_ne_bytes(),
        u32::MAX.to_ne_bytes(),
    ];
    for (to, from) in bytes.iter_mut().zip(words.as_flattened()) {
        *to = *from;
    }
    bytes
}

const fn join([a, b]: [u8; 2], [c, d]: [u8; 2]) -> [u8; 4] {
    [a, b, c, d]
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

fn sequence(answer: &[u8]) -> Option<u32> {
    u32_at(answer, 8)
}

/// The inode that an answer is about, and the other end; `None` if it is an error.
fn parse(answer: &[u8]) -> Option<(u32, Option<OtherEnd>)> {
    if u16_at(answer, 4)? != BY_FAMILY {
        return None;
    }
    let inode = u32_at(answer, HEADER + 4)?;
    let mut at = HEADER + MESSAGE;
    // Attributes: length, type, value, filled up to four bytes.
    while let Some((length, kind)) = u16_at(answer, at).zip(u16_at(answer, at + 2)) {
        if kind == PEER {
            let end = |inode| if inode == 0 { OtherEnd::Nobodys } else { OtherEnd::Inode(u64::from(inode)) };
            return Some((inode, u32_at(answer, at + 4).map(end)));
        }
        if length < 4 {
            break;
        }
        at += usize::from(length).next_multiple_of(4);
    }
    Some((inode, None))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_told() {
        let Some(diag) = UnixDiag::open() else { return println!("skipped: this kernel has no sock_diag") };
        let inode = |socket: &UnixStream| rustix::fs::fstat(socket.as_fd()).unwrap().st_ino;
        let (one, other) = UnixStream::pair().unwrap();
        if diag.peer(inode(&one)).is_none() {
            return println!("skipped: this kernel has no unix_diag");
        }
        let end = |socket| Some(OtherEnd::Inode(inode(socket)));
        assert_eq!(diag.peer(inode(&one)), end(&other));
        assert_eq!(diag.peer(inode(&other)), end(&one));
        let path = std::env::temp_dir().join(format!("psn-diag-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        assert_eq!(diag.peer(inode(&client)), Some(OtherEnd::Nobodys), "it has not been accepted");
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(diag.peer(inode(&client)), end(&accepted));
        std::fs::remove_file(path).unwrap();
        assert_eq!(diag.peer(rustix::fs::fstat(&listener).unwrap().st_ino), None);
        assert_eq!((diag.peer(1), diag.peer(u64::MAX)), (None, None));
        assert_eq!(diag.peer(inode(&one)), end(&other));
    }

    #[test]
    fn short_answers_and_attributes_without_end_are_no_peers() {
        for length in 0..64 {
            let mut answer = vec![0; length];
            if let Some(kind) = answer.get_mut(4..6) {
                kind.copy_from_slice(&BY_FAMILY.to_ne_bytes());
            }
            assert_eq!(parse(&answer).and_then(|(_, peer)| peer), None, "{length}");
        }
    }
}
