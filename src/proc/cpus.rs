//! How many CPUs the host has, even if psn may not use all of them.

use std::io::Read as _;
use std::time::Duration;

use crate::proc::deadline::within;

/// The kernel's list of CPUs.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// How long reading it may take: another file system may be mounted there, which may never answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// `SYSFS_MAGIC`: on any other file system the file is not the kernel's, but a container's.
const SYSFS: u32 = 0x6265_6572;

/// The number of CPUs that are online; `None` if the kernel does not tell.
#[must_use]
pub fn online() -> Option<u64> {
    within(PATIENCE, read).flatten()
}

fn read() -> Option<u64> {
    let mut file = std::fs::File::open(ONLINE).ok()?;
    if u32::try_from(rustix::fs::fstatfs(&file).ok()?.f_type).ok()? != SYSFS {
        return None;
    }
    let mut text = String::new();
    file.by_ref().take(4096).read_to_string(&mut text).ok()?;
    count(&text)
}

/// `0-3,5` → 5.
fn count(list: &str) -> Option<u64> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted() {
        assert_eq!(count("0-3,5\n"), Some(5));
        assert_eq!(count("0\n"), Some(1));
        assert_eq!(count("0-127,256-383\n"), Some(256));
        for broken in ["", "\n", "3-1", "a", "0-", "0,,1"] {
            assert_eq!(count(broken), None, "{broken:?}");
        }
    }
}
