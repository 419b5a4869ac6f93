//! `/proc/PID/mountinfo`: the mounts that a process sees (proc(5); `show_mountinfo` in the kernel's `fs/proc_namespace.c`).

use std::borrow::Cow;

use super::unsigned;

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountLine<'a> {
    /// Its id, as in `fdinfo`.
    pub id: u64,
    /// Major and minor number of the device, as the kernel shows them.
    pub numbers: &'a [u8],
    /// Where it is mounted.
    pub point: Cow<'a, [u8]>,
    /// The kind of file system, with what follows the first dot of `fuse.sshfs`.
    pub kind: Cow<'a, [u8]>,
    /// What is mounted: a device, `server:/export`, or a word that the file system has chosen.
    pub source: Cow<'a, [u8]>,
}

/// Kinds of file systems whose source is a word without meaning: whoever mounts them may write anything.
const WITHOUT_SOURCE: [&str; 26] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

impl MountLine<'_> {
    /// What the file system lies on, to group by: its source (`/dev/sda1`, `server:/export`), or its kind if it has none (`tmpfs`).
    #[must_use]
    pub fn device(&self) -> &[u8] {
        let has_none = WITHOUT_SOURCE.iter().any(|kind| kind.as_bytes() == &*self.kind);
        if has_none || self.source.is_empty() || &*self.source == b"none" { &self.kind } else { &self.source }
    }
}

/// A line of the file; `None` for anything else.
#[must_use]
pub fn mount(line: &[u8]) -> Option<MountLine<'_>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = unsigned(fields.next()?)?;
    // The mount it is mounted on; then the device, and what of the file system is mounted.
    let numbers = fields.nth(1)?;
    let point = fields.nth(1)?;
    // Options, and any number of others up to a dash.
    fields.find(|field| *field == b"-")?;
    let (kind, source) = (fields.next()?, fields.next()?);
    Some(MountLine { id, numbers, point: unescaped(point), kind: unescaped(kind), source: unescaped(source) })
}

/// A field without the kernel's escapes: `\040` for a space, and so on (`mangle` in `fs/proc_namespace.c`).
fn unescaped(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [byte, tail @ ..] = rest {
        let digits = if *byte == b'\\' { tail.first_chunk::<3>() } else { None };
        match digits.and_then(octal) {
            Some(escaped) => {
                out.push(escaped);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    let value = digits.iter().try_fold(0_u32, |value, digit| Some(value << 3 | char::from(*digit).to_digit(8)?))?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mount_is_told_with_its_device() {
        let told = |line: &str| {
            let mount = mount(line.as_bytes()).unwrap();
            let texts = [mount.numbers, &mount.point, &mount.kind, &mount.source]
                .map(|text| String::from_utf8_lossy(text).into_owned());
            format!("{} {}", mount.id, texts.join(" | "))
        };
        assert_eq!(
            told("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"),
            "36 98:0 | /mnt2 | ext3 | /dev/root"
        );
        assert_eq!(told("36 35 98:0 / /a\\040b\\134 rw - nfs4 srv:/x\\011y rw"), "36 98:0 | /a b\\ | nfs4 | srv:/x\ty");
        assert_eq!(
            told("1 0 0:9 / / rw shared:1 master:2 propagate_from:3 - fuse.sshfs me@host: rw"),
            "1 0:9 | / | fuse.sshfs | me@host:"
        );
    }

    #[test]
    fn a_device_is_the_source_or_else_the_kind() {
        let device = |rest: &str| {
            let line = format!("36 35 98:0 / /mnt rw - {rest} rw");
            String::from_utf8(mount(line.as_bytes()).unwrap().device().to_vec()).unwrap()
        };
        assert_eq!(device("ext4 /dev/nvme0n1p2"), "/dev/nvme0n1p2");
        assert_eq!(device("nfs4 10.0.0.9:/export"), "10.0.0.9:/export");
        assert_eq!(device("zfs rpool"), "rpool");
        assert_eq!(device("tmpfs shm"), "tmpfs");
        assert_eq!(device("overlay whatever"), "overlay");
        assert_eq!(device("fuse none"), "fuse");
        assert_eq!(device("9p "), "9p");
        assert!(WITHOUT_SOURCE.is_sorted());
    }

    #[test]
    fn what_is_cut_off_is_no_mount() {
        for line in
            ["", "36", "36 35 98:0 / /mnt rw", "36 35 98:0 / /mnt rw - ext3", "x 35 98:0 / /mnt rw - ext3 /dev/root rw"]
        {
            assert_eq!(mount(line.as_bytes()), None, "{line}");
        }
        assert_eq!(unescaped(b"a\\04"), Cow::<[u8]>::Owned(b"a\\04".to_vec()));
        assert_eq!(unescaped(b"a\\777"), Cow::<[u8]>::Owned(b"a\\777".to_vec()));
    }

    proptest! {
        #[test]
        fn no_line_panics(line: Vec<u8>) {
            let _ = mount(&line);
            let _ = unescaped(&line);
        }
    }
}
