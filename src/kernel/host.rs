//! Checks of the host: psn's capabilities and namespaces, and limits on BPF programs.

use std::time::Duration;

use crate::proc::host::within;
use crate::proc::parse::status;
use crate::proc::parse::system::{Loadavg, ns_id};
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot};

use crate::kernel::unavailable::Unavailable;

// The initial namespaces of the host have fixed numbers (`include/linux/proc_ns.h`).
const INIT_USER_NS: u64 = 0xefff_fffd;
const INIT_PID_NS: u64 = 0xefff_fffc;

/// The longest time to wait for a file of sysfs.
pub(crate) const SYSFS_PATIENCE: Duration = Duration::from_secs(1);

/// The capabilities that are needed to load and run a walk. `CAP_SYS_ADMIN` includes both.
const CAPABILITIES: [(u32, &str); 2] = [(39, "CAP_BPF"), (38, "CAP_PERFMON")];
const SYS_ADMIN: u32 = 21;

/// How psn's PID namespace is related to the one whose ids the proc root shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Whether psn is in the initial PID namespace of the host.
    pub(crate) is_init: bool,
    /// How many levels the proc root's namespace is above psn's.
    pub(crate) levels_up: u32,
}

impl Namespaces {
    /// The depth of the proc root's namespace, if psn's has the depth `own`.
    #[must_use]
    pub(crate) const fn level(self, own: u32) -> Option<u32> {
        own.checked_sub(self.levels_up)
    }
}

/// Checks that psn has the rights for a walk, and that the proc root shows psn.
///
/// # Errors
/// Why there can be no walk.
pub(crate) fn check(root: &ProcRoot) -> Result<Namespaces, Unavailable> {
    if !root.is_proc() {
        return Err(Unavailable::NotProc(root.path().to_owned()));
    }
    const NOT_THERE: &str = "the proc root belongs to a PID namespace in which psn itself is not visible";
    let own = root.own_pid().ok_or(Unavailable::PidNamespace(NOT_THERE))?;
    let mut buffer = Buffer::default();
    let text = root.read_process(own, Source::Status, "status", &mut buffer);
    let text = text.map_err(|_| Unavailable::PidNamespace(NOT_THERE))?;
    check_capabilities(text)?;
    let namespace = |file| {
        let link = root.read_process_link(own, Source::PidNs, file).ok()?;
        ns_id(&link)
    };
    if namespace("ns/user").is_some_and(|id| id != INIT_USER_NS) {
        return Err(Unavailable::UserNamespace);
    }
    // The line `NSpid` has one id for each namespace from the proc root's down to psn's.
    let ids = status::value(text, b"NSpid")
        .map_or(1, |ids| ids.split(u8::is_ascii_whitespace).filter(|id| !id.is_empty()).count());
    let levels_up = u32::try_from(ids.saturating_sub(1)).unwrap_or(u32::MAX);
    Ok(Namespaces { is_init: namespace("ns/pid").is_none_or(|id| id == INIT_PID_NS), levels_up })
}

fn check_capabilities(status: &[u8]) -> Result<(), Unavailable> {
    let set = status::value(status, b"CapEff").and_then(|hex| std::str::from_utf8(hex).ok());
    let set = set.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |number: u32| set >> number & 1 == 1;
    let missing: Vec<_> = CAPABILITIES.into_iter().filter(|(number, _)| !has(*number)).map(|(_, name)| name).collect();
    if missing.is_empty() || has(SYS_ADMIN) { Ok(()) } else { Err(Unavailable::Capability { missing }) }
}

/// The approximate number of tasks on the host; 0 if it is not known.
#[must_use]
pub(crate) fn count_tasks(root: &ProcRoot) -> u64 {
    let mut buffer = Buffer::default();
    let line = root.read_host(c"loadavg", &mut buffer).ok();
    line.and_then(|line| Loadavg::parse(line).ok()).map_or(0, |loadavg| loadavg.total)
}

/// The offset of the boot clock in psn's time namespace, in nanoseconds. /proc adds it to the start times that it shows.
#[must_use]
pub(crate) fn boottime_offset_ns(root: &ProcRoot) -> i64 {
    let Some(own) = root.own_pid() else { return 0 };
    let mut buffer = Buffer::default();
    let text = root.read_process(own, Source::Status, "timens_offsets", &mut buffer);
    text.ok().and_then(parse_boottime_offset).unwrap_or(0)
}

/// The offset in the line `boottime SECONDS NANOSECONDS`.
fn parse_boottime_offset(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("boottime"))?;
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<i64>);
    let (seconds, ns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(ns)
}

/// Whether this kernel counts the memory of BPF maps as locked memory. Kernels before Linux 5.11 do.
#[must_use]
pub(crate) fn accounts_locked_memory() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    parse_release(&release).is_some_and(|release| release < (5, 11))
}

/// `5.10.0-8-amd64` → 5, 10
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Raises the limit on locked memory as far as possible, on kernels where it applies to BPF maps.
pub(crate) fn raise_locked_memory() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if accounts_locked_memory() {
        let limit = getrlimit(Resource::Memlock);
        let unlimited = Rlimit { current: None, maximum: None };
        if setrlimit(Resource::Memlock, unlimited).is_err() {
            // If the limit is still too low, creating a map fails.
            let _ = setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, ..limit });
        }
    }
}

/// Whether the kernel is in lockdown mode `confidentiality`, in which BPF programs may not read kernel memory.
#[must_use]
pub(crate) fn is_locked_down() -> bool {
    let text = within(SYSFS_PATIENCE, || std::fs::read("/sys/kernel/security/lockdown"));
    text.is_some_and(|text| text.is_ok_and(|text| memchr::memmem::find(&text, b"[confidentiality]").is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clocks_offset_may_be_negative() {
        assert_eq!(
            parse_boottime_offset(b"monotonic           0         0\nboottime            -3        5\n"),
            Some(-2_999_999_995)
        );
        assert_eq!(parse_boottime_offset(b""), None);
        assert_eq!(parse_boottime_offset(b"boottime x\n"), None);
    }

    #[test]
    fn a_release_starts_with_two_numbers() {
        assert_eq!(parse_release("5.10.0-8-amd64"), Some((5, 10)));
        assert_eq!(parse_release("6.18-rc1"), Some((6, 18)));
        assert_eq!(parse_release("x"), None);
    }

    #[test]
    fn either_capability_is_named_if_it_is_missing() {
        let missing = |set: u64| match check_capabilities(format!("CapEff:\t{set:016x}\n").as_bytes()) {
            Err(Unavailable::Capability { missing }) => missing,
            other => other.map(|()| Vec::new()).unwrap(),
        };
        assert_eq!(missing(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(1 << 39), ["CAP_PERFMON"]);
        assert_eq!(missing(1 << 38), ["CAP_BPF"]);
        assert_eq!(missing(1 << 39 | 1 << 38), [""; 0]);
        assert_eq!(missing(1 << 21), [""; 0]);
    }
}
