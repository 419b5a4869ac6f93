//! `/proc/PID/task/TID/cgroup`: `hierarchy:controllers:path` a line (cgroups(7); `proc_cgroup_show` in the kernel's
//! `kernel/cgroup/cgroup.c`). The kernel refuses newlines in the names of cgroups, so a path cannot forge a line.

use crate::proc::parse::{cut, lines};

/// The path of the most specific cgroup of the thread.
///
/// That is the v2 path, on the line `0::`. On hosts that still use v1 hierarchies it is missing, or `/` for every thread; then it
/// is the longest v1 path, and the first of several equally long ones. `None` if no line is in the kernel's format.
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

/// The container that a thread is in, by all lines of its `cgroup`; see [`container`].
///
/// On hosts with both versions a runtime may use either one, and leave the thread in a cgroup of the host in the other. The v2
/// path is tried first.
#[must_use]
pub(crate) fn container_of(text: &[u8]) -> Option<&[u8]> {
    let paths = |is_unified: bool| {
        let of_kind = move |(hierarchy, path): (&[u8], _)| ((hierarchy == b"0") == is_unified).then_some(path);
        lines(text).filter_map(split_line).filter_map(of_kind)
    };
    paths(true).chain(paths(false)).find_map(container)
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
/// | Amazon ECS, Fargate | `ecs/TASK/ID`, `ecs/TASK/TASK-NUMBER` |
/// | Cloud Foundry, Mesos | `garden/UUID`, `mesos/UUID` |
/// | LXC, Incus | `lxc.payload.NAME`, `lxc/NAME` |
/// | systemd-nspawn | `machine.slice/machine-NAME.scope`, `machine.slice/systemd-nspawn@NAME.service` |
///
/// An `ID` is 64 lower-case hexadecimal digits, a `TASK` 32, returned whole; a `NAME` is as the path has it, with systemd's
/// `\x2d` escapes.
/// The monitors of a container (`libpod-conmon-ID.scope`, `lxc.monitor.NAME`) are outside it.
#[must_use]
pub fn container(path: &[u8]) -> Option<&[u8]> {
    let is_ecs = path.split(|&c| c == b'/').any(|component| component == b"ecs");
    let mut components = path.rsplit(|&c| c == b'/').peekable();
    while let Some(component) = components.next() {
        // A cgroup that was removed while a thread lingers in it.
        let component = component.strip_suffix(b" (deleted)").unwrap_or(component);
        let parent = components.peek().copied().unwrap_or_default();
        let found = hex_id(component)
            .or_else(|| task_id(component).filter(|_| is_ecs))
            .or_else(|| Some(component).filter(|id| matches!(parent, b"garden" | b"mesos") && is_uuid(id)))
            .or_else(|| lxc_name(parent, component))
            .or_else(|| machine_name(parent, component));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The digits in the id of a container.
const ID_LEN: usize = 64;

const fn is_hex(c: u8) -> bool {
    matches!(c, b'0'..=b'9' | b'a'..=b'f')
}

/// `TASK-NUMBER`: how Fargate names the containers of a task.
fn task_id(component: &[u8]) -> Option<&[u8]> {
    const TASK_LEN: usize = 32;
    let (task, number) = component.split_at_checked(TASK_LEN)?;
    let number = number.strip_prefix(b"-")?;
    let is_task = task.iter().copied().all(is_hex) && !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    is_task.then_some(component)
}

/// `8-4-4-4-12` hexadecimal digits.
fn is_uuid(component: &[u8]) -> bool {
    let parts = component.split(|&c| c == b'-').map(|part| part.iter().copied().all(is_hex).then_some(part.len()));
    parts.eq([8, 4, 4, 4, 12].map(Some))
}

/// `ID`, `runtime-ID`, `runtime-ID.scope` or `slice:runtime:ID` → `ID`.
fn hex_id(component: &[u8]) -> Option<&[u8]> {
    let unit = component.strip_suffix(b".scope").unwrap_or(component);
    let (runtime, id) = unit.split_at_checked(unit.len().checked_sub(ID_LEN)?)?;
    let is_hex = id.iter().copied().all(is_hex);
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
    fn containers_of_any_hierarchy_are_found() {
        let found = |text: &str| {
            let text = text.replace("OTHER", OTHER).replace("ID", ID);
            container_of(text.as_bytes()).map(|id| String::from_utf8_lossy(id).into_owned())
        };
        for text in [
            "0::/docker/ID\n",
            "5:memory:/docker/ID\n1:name=systemd:/\n0::/system.slice/docker.service\n",
            "12:pids:/user.slice\n3:cpu,cpuacct:/docker/ID\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n0::/\n",
            "2:cpu:/kubepods/podx/ID\n0::/system.slice/containerd.service\n",
            "9:cpu:/a/very/long/path/of/the/host/that/is/no/container/at/all/but/longer/than/any/other/in/the/file\n8:pids:/docker/ID\n",
            "4:cpu:/docker/OTHER\n0::/system.slice/docker-ID.scope\n",
        ] {
            assert_eq!(found(text).as_deref(), Some(ID), "{text}");
        }
        assert_eq!(found("5:memory:/lxc/web-1\n0::/\n").as_deref(), Some("web-1"));
        assert_eq!(found("5:memory:/user.slice\n0::/user.slice\n"), None);
        assert_eq!(found("garbage"), None);
    }

    #[test]
    fn tasks_of_ecs_and_others_are_containers() {
        let task = "34dc0b5e626f2c5c4c5170e34b10e765";
        let container = format!("{task}-1234567890");
        check(&format!("/ecs/{task}/{container}"), Some(&container));
        check(&format!("/ecs/cluster/{task}/{container}"), Some(&container));
        check(&format!("/ecs/{task}/{container}/init"), Some(&container));
        check(&format!("/ecs/{task}/ID"), Some(ID));
        check("/ecs/a0b1c2d3-0000-1111-2222-333344445555/ID", Some(ID));
        check(&format!("/system.slice/{container}"), None);
        check(&format!("/ecs/{task}"), None);
        check(&format!("/ecs/{task}/{task}-"), None);
        check(&format!("/ecs/{task}/{task}-12a"), None);
        check("/garden/a0b1c2d3-0000-1111-2222-333344445555", Some("a0b1c2d3-0000-1111-2222-333344445555"));
        check("/mesos/a0b1c2d3-0000-1111-2222-333344445555", Some("a0b1c2d3-0000-1111-2222-333344445555"));
        check("/user/a0b1c2d3-0000-1111-2222-333344445555", None);
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
