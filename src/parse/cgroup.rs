//! `/proc/PID/task/TID/cgroup`: `hierarchy:controllers:path` a line (cgroups(7); `proc_cgroup_show` in the kernel's
//! `kernel/cgroup/cgroup.c`). The kernel refuses newlines in the names of cgroups, so a path cannot forge a line.

use super::{cut, lines};

/// The path of the cgroup that says the most about the thread.
///
/// That is the v2 path, on the line `0::`. On hosts that still keep their groups in v1 hierarchies it is missing, or `/` for
/// every thread; then it is the longest v1 path, and the first of equals. `None` where no line is in the kernel's format.
#[must_use]
pub fn path(text: &[u8]) -> Option<&[u8]> {
    let mut unified = None;
    let mut longest: Option<&[u8]> = None;
    for (hierarchy, path) in lines(text).filter_map(split_line) {
        if hierarchy == b"0" {
            unified = Some(path);
        } else if longest.is_none_or(|found| path.len() > found.len()) {
            longest = Some(path);
        }
    }
    unified.filter(|path| *path != b"/").or(longest).or(unified)
}

/// `hierarchy:controllers:path` → the hierarchy's number and the path, which may hold more colons.
fn split_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (hierarchy, rest) = cut(line, b':')?;
    let (_, path) = cut(rest, b':')?;
    path.starts_with(b"/").then_some((hierarchy, path))
}

/// The id or name of the innermost container that the cgroup `path` belongs to; `None` outside containers.
///
/// | runtime | component of the path |
/// |---|---|
/// | Docker | `docker/ID`, `docker-ID.scope` |
/// | containerd, Kubernetes | `cri-containerd-ID.scope`, `podUID/ID`, `…:cri-containerd:ID` |
/// | Podman | `libpod-ID.scope`, `libpod-ID` |
/// | CRI-O | `crio-ID.scope`, `crio-ID` |
/// | LXC | `lxc.payload.NAME`, `lxc/NAME` |
/// | systemd-nspawn | `machine.slice/machine-NAME.scope`, `machine.slice/systemd-nspawn@NAME.service` |
///
/// An `ID` is 64 lower-case hexadecimal digits, returned whole; a `NAME` is as the path has it, with systemd's `\x2d` escapes.
/// The monitors of a container (`libpod-conmon-ID.scope`, `lxc.monitor.NAME`) are outside it.
#[must_use]
pub fn container(path: &[u8]) -> Option<&[u8]> {
    let mut components = path.rsplit(|&c| c == b'/').peekable();
    while let Some(component) = components.next() {
        // A cgroup that was removed while a thread lingers in it.
        let component = component.strip_suffix(b" (deleted)").unwrap_or(component);
        let parent = components.peek().copied().unwrap_or_default();
        let found =
            hex_id(component).or_else(|| lxc_name(parent, component)).or_else(|| machine_name(parent, component));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The digits in the id of a container.
const ID_LEN: usize = 64;

/// `ID`, `runtime-ID`, `runtime-ID.scope` or `slice:runtime:ID` → `ID`.
fn hex_id(component: &[u8]) -> Option<&[u8]> {
    let unit = component.strip_suffix(b".scope").unwrap_or(component);
    let (runtime, id) = unit.split_at_checked(unit.len().checked_sub(ID_LEN)?)?;
    let is_hex = id.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let delimited = matches!(runtime, [] | [.., b'-' | b':']);
    (is_hex && delimited && !runtime.ends_with(b"conmon-")).then_some(id)
}

fn lxc_name<'a>(parent: &[u8], component: &'a [u8]) -> Option<&'a [u8]> {
    let name = match component.strip_prefix(b"lxc.payload.") {
        None if parent == b"lxc" || parent == b"lxc.payload" => component,
        name => name?,
    };
    (!name.is_empty()).then_some(name)
}

fn machine_name<'a>(parent: &[u8], component: &'a [u8]) -> Option<&'a [u8]> {
    if parent != b"machine.slice" {
        return None;
    }
    let scope = component.strip_prefix(b"machine-").and_then(|unit| unit.strip_suffix(b".scope"));
    let service = || component.strip_prefix(b"systemd-nspawn@")?.strip_suffix(b".service");
    scope.or_else(service).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4fe3bb200489d71428a82ddf32d053994fe3bb200489d71428a82ddf32d05399";
    const OTHER: &str = "00000000000000000000000000000000000000000000000000000000deadbeef";

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        let path = path.replace("OTHER", OTHER).replace("ID", ID);
        assert_eq!(container(path.as_bytes()), expected.map(str::as_bytes), "{path}");
    }

    #[test]
    fn the_unified_path_is_preferred() {
        assert_eq!(path(b"0::/user.slice/user-0.slice\n"), Some(b"/user.slice/user-0.slice".as_slice()));
        assert_eq!(path(b"9:memory:/a/very/long/path\n0::/b\n"), Some(b"/b".as_slice()));
        assert_eq!(path(b"0::/with:colons (deleted)\n"), Some(b"/with:colons (deleted)".as_slice()));
        assert_eq!(path(b"0::/\n"), Some(b"/".as_slice()));
    }

    #[test]
    fn a_v1_path_stands_in_for_a_bare_unified_one() {
        let text = b"9:name=systemd:/\n8:pids:/\n4:memory:/process_api/2fe3bb\n1:cpu:/\n0::/\n";
        assert_eq!(path(text), Some(b"/process_api/2fe3bb".as_slice()));
        assert_eq!(path(b"2:cpu,cpuacct:/a\n1:name=systemd:/b\n"), Some(b"/a".as_slice()));
        assert_eq!(path(b"2:cpu:/\n0::/\n"), Some(b"/".as_slice()));
    }

    #[test]
    fn lines_of_another_format_are_no_paths() {
        for text in ["", "\n", "0", "0:", "0::", "0:/x", "0::relative\n"] {
            assert_eq!(path(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn containers_are_found_under_each_runtime() {
        check("/docker/ID", Some(ID));
        check("/system.slice/docker-ID.scope", Some(ID));
        check("/system.slice/docker-ID.scope/init.scope", Some(ID));
        check(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a2b.slice/cri-containerd-ID.scope",
            Some(ID),
        );
        check("/kubepods/besteffort/pod1a2b-33/ID", Some(ID));
        check("/system.slice/containerd.service/kubepods-burstable-pod1a2b.slice:cri-containerd:ID", Some(ID));
        check("/machine.slice/libpod-ID.scope/container", Some(ID));
        check("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", Some(ID));
        check("/kubepods.slice/kubepods-pod1.slice/crio-ID.scope", Some(ID));
        check("/lxc.payload.web-1/system.slice/nginx.service", Some("web-1"));
        check("/lxc/web-1", Some("web-1"));
        check("/machine.slice/machine-arch\\x2dbox.scope/payload", Some("arch\\x2dbox"));
        check("/machine.slice/systemd-nspawn@debian.service/payload", Some("debian"));
        check("/docker/ID (deleted)", Some(ID));
    }

    #[test]
    fn the_innermost_container_wins() {
        check("/docker/OTHER/docker/ID", Some(ID));
        check("/lxc.payload.web/docker/ID", Some(ID));
        check("/kubepods/podx/OTHER/system.slice/docker-ID.scope", Some(ID));
    }

    #[test]
    fn monitors_and_plain_services_are_no_containers() {
        check("/machine.slice/libpod-conmon-ID.scope", None);
        check("/kubepods.slice/crio-conmon-ID.scope", None);
        check("/lxc.monitor.web-1", None);
        check("/lxc", None);
        check("/lxc/", None);
        check("/lxc.payload.", None);
        check("/", None);
        check("", None);
        check("/user.slice/user-1000.slice/session-3.scope", None);
        check("/system.slice/machine-x.scope", None);
        check("/machine.slice/machine-.scope", None);
        check("/docker/xID", None);
        check("/docker/4FE3bb200489d71428a82ddf32d053994fe3bb200489d71428a82ddf32d05399", None);
        check("/docker/4fe3bb200489", None);
    }
}
