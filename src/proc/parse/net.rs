//! `/proc/PID/net/{tcp,tcp6,udp,udp6,unix}`: the sockets of a network namespace (proc(5); `get_tcp4_sock` in the kernel's
//! `net/ipv4/tcp_ipv4.c`, `unix_seq_show` in `net/unix/af_unix.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{hex, unsigned};

/// A socket of the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InternetSocket {
    /// This end.
    pub local: SocketAddr,
    /// The other end; unspecified if there is none.
    pub remote: SocketAddr,
    /// `TCP_…`: 1 if it is connected, 7 if it is not, 10 if it listens. The same numbers stand for UDP.
    pub state: u8,
    /// The number in `socket:[…]`; 0 if no program has it open any more.
    pub inode: u64,
}

/// A UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixSocket<'a> {
    /// Whether it listens.
    pub listens: bool,
    /// `SOCK_…`
    pub kind: u16,
    /// Whether it is connected.
    pub is_connected: bool,
    /// The number in `socket:[…]`.
    pub inode: u64,
    /// What it is bound to; the first byte of an abstract name is shown as `@`.
    pub path: Option<&'a [u8]>,
}

/// `__SO_ACCEPTCON` among the flags
const LISTENS: u64 = 1 << 16;

/// `SS_CONNECTED`
const CONNECTED: u64 = 3;

/// A line of one of the four files of the internet; `None` for the head of the list, and for anything else that is no socket.
#[must_use]
pub fn internet(line: &[u8]) -> Option<InternetSocket> {
    let mut fields = line.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty());
    fields.next()?.strip_suffix(b":")?;
    let (local, remote) = (end(fields.next()?)?, end(fields.next()?)?);
    let state = u8::try_from(hex(fields.next()?)?).ok()?;
    // Queues, timer, retransmits, user, timeout.
    let inode = unsigned(fields.nth(5)?)?;
    Some(InternetSocket { local, remote, state, inode })
}

/// A line of `unix`; `None` for the head of the list, and for anything else that is no socket.
#[must_use]
pub fn unix(line: &[u8]) -> Option<UnixSocket<'_>> {
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let text = rest.get(start..)?;
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        rest = text.get(end..)?;
        text.get(..end)
    };
    // Address, references, protocol.
    field()?.strip_suffix(b":")?;
    field()?;
    field()?;
    let flags = hex(field()?)?;
    let kind = u16::try_from(hex(field()?)?).ok()?;
    let is_connected = hex(field()?)? == CONNECTED;
    let inode = unsigned(field()?)?;
    // The path is what follows the one space, whatever is in it.
    let path = rest.strip_prefix(b" ").filter(|path| !path.is_empty());
    Some(UnixSocket { listens: flags & LISTENS != 0, kind, is_connected, inode, path })
}

/// The inode of a line of `netlink` or `packet`: its last field; `None` for the head of the list.
#[must_use]
pub fn last_field(line: &[u8]) -> Option<u64> {
    unsigned(line.trim_ascii_end().rsplit(|byte| *byte == b' ').next()?)
}

/// `0100007F:1F90`: the address as 32-bit words of the machine's own byte order, and the port.
fn end(text: &[u8]) -> Option<SocketAddr> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (address, port) = text.split_at_checked(colon)?;
    let port = u16::try_from(hex(port.strip_prefix(b":")?)?).ok()?;
    let mut words = address.chunks_exact(8);
    let mut word = || Some(u32::try_from(hex(words.next()?)?).ok()?.to_ne_bytes());
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word()?).into(),
        32 => {
            let [a, b, c, d] = [word()?, word()?, word()?, word()?].map(u32::from_be_bytes);
            let bits = u128::from(a) << 96 | u128::from(b) << 64 | u128::from(c) << 32 | u128::from(d);
            Ipv6Addr::from_bits(bits).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn both_ends_are_told() {
        let told = |line: &str| {
            let InternetSocket { local, remote, state, inode } = internet(line.as_bytes()).unwrap();
            format!("{local} {remote} {state} {inode}")
        };
        let tail = "00000000:00000000 00:00000000 00000000     0        0 576 1 0000000058d31a9a 100 0 0 10 0";
        assert_eq!(told(&format!("   0: 00000000:07E8 00000000:0000 0A {tail}")), "0.0.0.0:2024 0.0.0.0:0 10 576");
        assert_eq!(
            told(&format!(" 100: 0100007F:B487 0200000A:9C42 01 {tail}")),
            "127.0.0.1:46215 10.0.0.2:40002 1 576"
        );
        assert_eq!(
            told(&format!(
                "   1: 00000000000000000000000001000000:99A5 B80D0120000000000000000001000000:01BB 01 {tail}"
            )),
            "[::1]:39333 [2001:db8::1]:443 1 576"
        );
        let mapped =
            format!("   1: 0000000000000000FFFF00000100007F:99A5 0000000000000000FFFF00000100007F:01BB 01 {tail}");
        assert_eq!(told(&mapped), "127.0.0.1:39333 127.0.0.1:443 1 576");
    }

    #[test]
    fn paths_of_unix_sockets_may_have_spaces() {
        let told = |line: &str| {
            unix(line.as_bytes()).map(|socket| (socket.listens, socket.inode, socket.path.map(<[u8]>::to_vec)))
        };
        assert_eq!(
            told("00000000d9f4a3b3: 00000002 00000000 00010000 0001 01 24853 /run/a b/x"),
            Some((true, 24853, Some(b"/run/a b/x".to_vec())))
        );
        assert_eq!(told("00000000d9f4a3b3: 00000003 00000000 00000000 0001 03   572"), Some((false, 572, None)));
        assert_eq!(told("0: 00000003 00000000 00000000 0002 01 7 @/x"), Some((false, 7, Some(b"@/x".to_vec()))));
        assert_eq!(told("Num       RefCount Protocol Flags    Type St Inode Path"), None);
    }

    #[test]
    fn heads_and_other_lines_are_no_sockets() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        for line in
            [head, "", "0:", "0: 0100007F:B487", "0: 0100007F 0100007F 01 0 0 0 0 0 0", "0: 01:1 01:1 1 0 0 0 0 0 7"]
        {
            assert_eq!(internet(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line: Vec<u8>, fields in prop::collection::vec("[0-9A-F:]{0,40}", 0..14)) {
            for line in [&line[..], fields.join(" ").as_bytes(), [b"0: ", fields.join(" ").as_bytes()].concat().as_slice()] {
                let _ = (internet(line), unix(line).map(|socket| socket.inode));
            }
        }
    }
}
