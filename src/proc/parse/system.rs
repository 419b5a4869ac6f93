//! Files of the whole host, and the names of directory entries in `/proc`.

use crate::proc::parse::{Malformed, cut, status, trim, unsigned};

/// `/proc/loadavg`, without the averages (proc(5); `loadavg_proc_show` in the kernel's `fs/proc/loadavg.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loadavg {
    /// Threads that are runnable now.
    pub running: u64,
    /// Threads that exist now.
    pub total: u64,
    /// The id that was given out last, to a process or a thread. While it does not change, no task was created.
    pub last_pid: u64,
}

impl Loadavg {
    /// Parses `0.17 0.22 0.12 1/83 4610`, with or without its newline.
    ///
    /// # Errors
    /// [`Malformed`] unless the fourth and fifth words have that form and there is no sixth.
    pub fn parse(line: &[u8]) -> Result<Self, Malformed> {
        Self::from_words(crate::proc::parse::words(trim(line))).ok_or(Malformed)
    }

    fn from_words<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let (running, total) = cut(words.nth(3)?, b'/')?;
        let last_pid = unsigned(words.next()?)?;
        let loadavg = Self { running: unsigned(running)?, total: unsigned(total)?, last_pid };
        words.next().is_none().then_some(loadavg)
    }
}

/// The averages of 1, 5 and 15 minutes in `/proc/loadavg` (proc(5)): threads that run, wait for a CPU or are in state D.
#[must_use]
pub(crate) fn load_averages(line: &[u8]) -> Option<[f64; 3]> {
    let mut words = crate::proc::parse::words(trim(line));
    let mut next = || std::str::from_utf8(words.next()?).ok()?.parse().ok().filter(|average: &f64| average.is_finite());
    Some([next()?, next()?, next()?])
}

/// What `/proc/stat` tells of the load at this instant (proc(5); `show_stat` in the kernel's `fs/proc/stat.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostStat {
    /// CPUs that are online.
    pub(crate) cpus: u64,
    /// Threads on a CPU or waiting for one, the reader of the file among them.
    pub(crate) running: u64,
    /// Threads that wait for I/O.
    pub(crate) blocked: u64,
}

impl HostStat {
    /// Parses the whole file.
    ///
    /// # Errors
    /// [`Malformed`] without a line for one CPU, `procs_running` or `procs_blocked`.
    pub(crate) fn parse(stat: &[u8]) -> Result<Self, Malformed> {
        let (mut cpus, mut running, mut blocked) = (0_u64, None, None);
        for line in stat.split(|c| *c == b'\n') {
            let mut words = crate::proc::parse::words(line);
            match words.next() {
                Some([b'c', b'p', b'u', b'0'..=b'9', ..]) => cpus = cpus.saturating_add(1),
                Some(b"procs_running") => running = words.next().and_then(unsigned),
                Some(b"procs_blocked") => blocked = words.next().and_then(unsigned),
                _ => {}
            }
        }
        let (running, blocked) = running.zip(blocked).ok_or(Malformed)?;
        if cpus == 0 { Err(Malformed) } else { Ok(Self { cpus, running, blocked }) }
    }
}

/// The super-block options of the proc file system mounted at `mount_point`, from `/proc/self/mountinfo` (proc(5)). If several are
/// mounted there, those of the last, which hides the others.
#[must_use]
pub fn proc_mount_options<'a>(mountinfo: &'a [u8], mount_point: &[u8]) -> Option<&'a [u8]> {
    mountinfo.split(|c| *c == b'\n').filter_map(|line| mount_options_of(line, mount_point)).next_back()
}

fn mount_options_of<'a>(line: &'a [u8], mount_point: &[u8]) -> Option<&'a [u8]> {
    if crate::proc::parse::words(line).nth(4)? != mount_point {
        return None;
    }
    // Optional fields of any number end at a lone hyphen; then type, source and the super-block's options.
    let mut words = crate::proc::parse::words(line).skip_while(|word| *word != b"-").skip(1);
    (words.next()? == b"proc").then_some(())?;
    words.nth(1)
}

/// The value of `hidepid` among the options of a proc mount, unless it is off (proc(5); `fs/proc/root.c`).
#[must_use]
pub fn hidepid(options: &[u8]) -> Option<&[u8]> {
    let value = options.split(|c| *c == b',').find_map(|option| option.strip_prefix(b"hidepid="))?;
    (!matches!(value, b"0" | b"off")).then_some(value)
}

/// The group that `hidepid` does not apply to, among the options of a proc mount: root's unless they name another.
#[must_use]
pub(crate) fn proc_gid(options: &[u8]) -> u32 {
    let value = options.split(|c| *c == b',').find_map(|option| option.strip_prefix(b"gid="));
    value.and_then(unsigned).and_then(|gid| u32::try_from(gid).ok()).unwrap_or(0)
}

/// `MemAvailable` of `/proc/meminfo`, in kB; `None` before Linux 3.14.
#[must_use]
pub fn mem_available_kb(meminfo: &[u8]) -> Option<u64> {
    let (number, unit) = cut(status::value(meminfo, b"MemAvailable")?, b' ')?;
    if unit == b"kB" { unsigned(number) } else { None }
}

/// The inode number in the target of a link under `/proc/PID/ns`, such as `pid:[4026531836]` (namespaces(7)): two threads with
/// the same number are in the same namespace.
#[must_use]
pub fn ns_id(link: &[u8]) -> Option<u64> {
    let (kind, id) = cut(link, b':')?;
    if kind.is_empty() {
        return None;
    }
    unsigned(id.strip_prefix(b"[")?.strip_suffix(b"]")?)
}

/// The process or thread id that a directory entry of `/proc` or `task` is named for; `None` for every other entry.
///
/// Ids are printed without a sign or leading zeros, and 0 is none (`proc_pid_readdir` in the kernel's `fs/proc/base.c`).
#[inline]
#[must_use]
pub fn pid_name(name: &[u8]) -> Option<u32> {
    match name {
        [b'1'..=b'9', ..] => u32::try_from(unsigned(name)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_proc_mount_are_those_of_the_topmost() {
        let mountinfo = b"22 1 0:21 / /sys rw shared:7 - sysfs sysfs rw\n\
            23 1 0:22 / /proc rw,nosuid shared:5 master:1 - proc proc rw\n\
            24 23 0:23 / /proc rw,nosuid - proc proc rw,gid=4,hidepid=invisible,subset=pid\n\
            25 1 0:24 / /proc2 rw - tmpfs tmpfs rw\n";
        let options = proc_mount_options(mountinfo, b"/proc").unwrap();
        assert_eq!(hidepid(options), Some(&b"invisible"[..]));
        assert_eq!((proc_gid(options), proc_gid(b"rw"), proc_gid(b"rw,gid=x")), (4, 0, 0));
        assert_eq!(proc_mount_options(mountinfo, b"/proc2"), None);
        assert_eq!(proc_mount_options(b"", b"/proc"), None);
        assert_eq!(hidepid(b"rw"), None);
        assert_eq!(hidepid(b"rw,hidepid=off"), None);
        assert_eq!(hidepid(b"rw,hidepid=2"), Some(&b"2"[..]));
    }

    #[test]
    fn loadavg_counts_threads() {
        let expected = Loadavg { running: 1, total: 83, last_pid: 4610 };
        assert_eq!(Loadavg::parse(b"0.17 0.22 0.12 1/83 4610\n"), Ok(expected));
        for line in ["", "0.17 0.22 0.12", "0 0 0 1/2", "0 0 0 1 2", "0 0 0 1/x 2", "0 0 0 1/2 3 4", "0 0 0 /2 3"] {
            assert_eq!(Loadavg::parse(line.as_bytes()), Err(Malformed), "{line:?}");
        }
    }

    #[test]
    fn the_load_of_the_host_is_read() {
        assert_eq!(load_averages(b"0.17 12.00 103.12 1/83 4610\n"), Some([0.17, 12.0, 103.12]));
        for line in ["", "0.17 0.22", "0.17 0.22 x 1/83 4610", "0.17 0.22 inf 1/83 4610"] {
            assert_eq!(load_averages(line.as_bytes()), None, "{line:?}");
        }
        let stat = b"cpu  1 2 3\ncpu0 1 2 3\ncpu11 1 2 3\nintr 1 0\nprocs_running 3\nprocs_blocked 14\nsoftirq 1 0\n";
        assert_eq!(HostStat::parse(stat), Ok(HostStat { cpus: 2, running: 3, blocked: 14 }));
        for stat in
            ["", "cpu 1\nprocs_running 3\nprocs_blocked 1\n", "cpu0 1\nprocs_running 3\n", "cpu0 1\nprocs_running x\n"]
        {
            assert_eq!(HostStat::parse(stat.as_bytes()), Err(Malformed), "{stat:?}");
        }
    }

    #[test]
    fn available_memory_is_in_kb() {
        let meminfo = b"MemTotal:       24684096 kB\nMemFree:        24340268 kB\nMemAvailable:   24370528 kB\n";
        assert_eq!(mem_available_kb(meminfo), Some(24_370_528));
        assert_eq!(mem_available_kb(b"MemTotal: 1 kB\n"), None);
        assert_eq!(mem_available_kb(b"MemAvailable: 1 MB\n"), None);
        assert_eq!(mem_available_kb(b"MemAvailable:\n"), None);
    }

    #[test]
    fn a_namespace_is_its_inode() {
        assert_eq!(ns_id(b"pid:[4026531836]"), Some(4_026_531_836));
        assert_eq!(ns_id(b"mnt:[4026531832]"), Some(4_026_531_832));
        for link in ["", "pid:", "pid:[]", "pid:[x]", "pid:[1", ":[1]", "pid:[1] ", "/proc/1/ns/pid"] {
            assert_eq!(ns_id(link.as_bytes()), None, "{link:?}");
        }
    }

    #[test]
    fn only_ids_name_processes() {
        assert_eq!(pid_name(b"1"), Some(1));
        assert_eq!(pid_name(b"4194304"), Some(4_194_304));
        assert_eq!(pid_name(b"4294967295"), Some(u32::MAX));
        for name in
            ["", "0", "01", "+1", "-1", "1a", " 1", "4294967296", "99999999999999999999", "self", ".", "..", "\u{661}"]
        {
            assert_eq!(pid_name(name.as_bytes()), None, "{name:?}");
        }
    }
}
