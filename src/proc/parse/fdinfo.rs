//! `/proc/PID/task/TID/fdinfo/N`: what the kernel tells of an open file (proc(5); `seq_show` in the kernel's `fs/proc/fd.c`,
//! `ep_show_fdinfo` in `fs/eventpoll.c`).

use super::{hex, unsigned};

/// A file that an epoll instance watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchedFile {
    /// Its descriptor in the process that added it.
    pub descriptor: u32,
    /// The inode's number; `None` before Linux 5.2.
    pub inode: Option<u64>,
    /// The device of its file system as the kernel numbers it, `major << 20 | minor`; `None` before Linux 5.2.
    pub device: Option<u64>,
}

/// The id of the mount that the file is on: the first field of its line in `mountinfo`.
#[must_use]
pub fn mount_id(text: &[u8]) -> Option<u64> {
    text.split(|byte| *byte == b'\n').find_map(|line| unsigned(line.strip_prefix(b"mnt_id:")?.trim_ascii()))
}

/// The files that an epoll instance watches; none if the file is no such instance.
pub fn watched(text: &[u8]) -> impl Iterator<Item = WatchedFile> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let rest = line.strip_prefix(b"tfd:")?;
        let mut fields = rest.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty());
        let descriptor = u32::try_from(unsigned(fields.next()?)?).ok()?;
        let inode = fields.find_map(|field| hex(field.strip_prefix(b"ino:")?));
        let device = fields.find_map(|field| hex(field.strip_prefix(b"sdev:")?));
        Some(WatchedFile { descriptor, inode, device })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_set_of_an_epoll_instance_is_told() {
        let text = b"pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n\
            tfd:        5 events:       19 data:                5  pos:0 ino:61af sdev:7\n\
            tfd:       12 events: 8000001d data: ffffffffffffffff \n";
        assert_eq!(mount_id(text), Some(15));
        let all: Vec<_> = watched(text).map(|file| (file.descriptor, file.inode, file.device)).collect();
        assert_eq!(all, [(5, Some(0x61af), Some(7)), (12, None, None)]);
        assert_eq!(watched(b"pos:\t0\nflags:\t02\n").count(), 0);
        assert_eq!(mount_id(b"pos:\t0\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: Vec<u8>) {
            let _ = (mount_id(&text), watched(&text).count(), watched(&[b"tfd: ", &text[..]].concat()).count());
        }
    }
}
