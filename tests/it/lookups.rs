//! What is read beside the sampling about a thread's own wait: the path that its system call was given, and the mount of its file.
//! Held against threads whose paths and mounts are known.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use psn_stress::Hang;
use rustix::fs::{CWD, FileType, FlockOperation, MemfdFlags, Mode, OFlags, flock, memfd_create, mknodat, openat};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::child::{Running, command, has_program, is_root, psn, run};
use crate::support::dir::Dir;
use crate::support::json::{self, Json, text};
use crate::support::reader::{PublicCopy, Reader, can_become_anybody};
use crate::support::{skip, wait_until};
use crate::waits::{blocked, look, scans};

/// Named pipes that nobody has open. Threads that open them block until this is dropped.
#[derive(Default)]
struct Pipes(Vec<(OwnedFd, PathBuf)>);

impl Pipes {
    /// Makes a pipe, and starts a thread of this name that opens it by `path`, relative to the directory `at`.
    fn open(&mut self, thread: &str, at: &Path, path: &OsStr) {
        let at = openat(CWD, at, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        mknodat(&at, path, FileType::Fifo, 0o600.into(), 0).unwrap();
        let path = PathBuf::from(path);
        self.0.push((at.try_clone().unwrap(), path.clone()));
        blocked(thread, move || drop(openat(&at, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())));
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        for (at, path) in &self.0 {
            drop(openat(at, path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()));
        }
    }
}

/// A path of exactly this length below `dir`, made of directories that exist; its last name is `name`.
fn long_path(dir: &Path, len: usize, name: &[u8]) -> Vec<u8> {
    let mut path = dir.as_os_str().as_bytes().to_vec();
    while path.len() + 1 + name.len() < len {
        let left = len - path.len() - 2 - name.len();
        path.push(b'/');
        path.extend(std::iter::repeat_n(b'd', if left <= 255 { left } else { 200.min(left - 2) }));
        fs::create_dir(OsStr::from_bytes(&path)).unwrap();
    }
    path.push(b'/');
    path.extend_from_slice(name);
    assert_eq!(path.len(), len);
    path
}

/// The rows of a report, without those that were completed before a reader came to them, as happens on a busy host. There is a row.
#[track_caller]
fn in_time(report: &Json) -> Vec<&Value> {
    let is_late = |row: &Value| row["path"] == "[stale]" || row["mount"] == "[unread]" || row["device"] == "[unread]";
    let rows: Vec<&Value> = report.rows().iter().filter(|row| !is_late(row)).collect();
    assert!(!rows.is_empty(), "{}", report.0);
    rows
}

/// The values of these columns in such rows, joined by ` | `.
#[track_caller]
fn told(report: &Json, columns: &[&str]) -> Vec<String> {
    let joined = |row: &&Value| columns.iter().map(|column| text(&row[*column])).collect::<Vec<_>>().join(" | ");
    let mut told: Vec<String> = in_time(report).iter().map(joined).collect();
    told.sort();
    told
}

#[test]
fn a_path_is_told_as_the_program_gave_it() {
    let dir = Dir::new();
    let mut pipes = Pipes::default();
    let absolute = dir.path("fifo");
    pipes.open("lk-absolute", Path::new("/"), absolute.as_ref());
    fs::create_dir(dir.path("sub")).unwrap();
    pipes.open("lk-relative", &dir.itself().join("sub"), "../relative".as_ref());
    let name = b"new\nline\xff\x1b[31m\"';|\\x41 ";
    pipes.open("lk-hostile", dir.itself(), OsStr::from_bytes(name));
    let long = long_path(dir.itself(), 4095, name);
    pipes.open("lk-long", Path::new("/"), OsStr::from_bytes(&long));
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    blocked("lk-none", move || _ = rustix::io::read(reader, &mut [0; 1]));

    let escaped = r#"new\x0aline\xff\x1b[31m"';|\x41 "#;
    let (start, sub) = (std::str::from_utf8(&long[..long.len() - name.len()]).unwrap(), dir.path("sub"));
    let expected = [
        ("lk-absolute", "openat", "/".to_owned(), absolute),
        ("lk-hostile", "openat", dir.itself().display().to_string(), escaped.to_owned()),
        ("lk-long", "openat", "/".to_owned(), format!("{start}{escaped}")),
        ("lk-none", "read", "pipe:".to_owned(), "-".to_owned()),
        ("lk-relative", "openat", sub, "../relative".to_owned()),
    ];
    for scan in scans() {
        let report = look(scan, "lk-.*", &["-g", "comm2,syscall,filename,path"]);
        for (thread, call, file, path) in &expected {
            let rows: Vec<_> = in_time(&report).into_iter().filter(|row| row["comm2"] == *thread).collect();
            let [row] = rows[..] else { panic!("{scan}: {rows:?}") };
            assert_eq!(text(&row["path"]), *path, "{scan}");
            assert_eq!(row["syscall"], *call, "{scan}: {row}");
            assert!(text(&row["filename"]).starts_with(file.as_str()), "{scan}: {row}");
        }
    }
    drop(writer);
}

#[test]
fn a_path_is_read_once_in_each_wait_and_can_be_asked_for_with_a_condition() {
    let dir = Dir::new();
    let mut pipes = Pipes::default();
    pipes.open("lk-once", Path::new("/"), dir.path("fifo").as_ref());
    for scan in scans() {
        let report = look(scan, "lk-once", &["-g", "path", "--hz", "50"]);
        assert_eq!(told(&report, &["path"]), [dir.path("fifo")], "{scan}");
        assert_eq!(report.health("mem")["ok"], 1, "{scan}: {:?}", report.0["health"]);
        let condition = format!("path = {}", dir.path("fifo"));
        let other = look(scan, "lk-once", &["-g", "comm2", "--where", &condition]);
        assert_eq!(other.rows().len(), 1, "{scan}: {}", other.0);
        let none = look(scan, "lk-once", &["-g", "comm2", "--where", "path = /other"]);
        assert_eq!(none.rows().len(), 0, "{scan}: {}", none.0);
    }
}

#[test]
fn a_thread_that_moves_on_shows_no_path_of_another_wait() {
    let dir = Dir::new();
    let names = [dir.path("one"), dir.path("two")];
    names.iter().for_each(|name| mknodat(CWD, name.as_str(), FileType::Fifo, 0o600.into(), 0).unwrap());
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (there, paths) = (std::sync::Arc::clone(&is_over), names.clone());
    // It opens one pipe after the other from the same memory, and waits about two milliseconds for each.
    let opener = std::thread::Builder::new().name("lk-moves".to_owned()).spawn(move || {
        for path in paths.iter().cycle() {
            if there.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            drop(File::open(path));
        }
    });
    let (there, paths) = (std::sync::Arc::clone(&is_over), names.clone());
    let closer = std::thread::spawn(move || {
        for path in paths.iter().cycle() {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if there.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
            drop(openat(CWD, path.as_str(), flags, Mode::empty()));
        }
    });
    for scan in scans() {
        let report = look(scan, "lk-moves", &["-g", "path", "--hz", "200"]);
        let samples = report.samples(&["path"]);
        let told: u64 = names.iter().filter_map(|name| samples.get(name)).sum();
        assert!(told > 0, "{scan}: {samples:?}");
        let others = samples.keys().filter(|path| !names.contains(path));
        let marks = ["[stale]", "[torn]", "[running]", "[direct]", "-"];
        others.for_each(|other| assert!(marks.contains(&other.as_str()), "{scan}: {samples:?}"));
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    closer.join().unwrap();
    let opener = opener.unwrap();
    wait_until("the thread has ended", || {
        for path in &names {
            drop(openat(CWD, path.as_str(), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()));
        }
        opener.is_finished()
    });
}

/// A thread of this name that waits for the lock of a file that is open as `file` and locked by `holder`, until both are dropped.
fn wait_for_lock(thread: &str, holder: &OwnedFd, file: OwnedFd) {
    flock(holder, FlockOperation::LockExclusive).unwrap();
    blocked(thread, move || _ = flock(file, FlockOperation::LockExclusive));
}

fn created(path: &str) -> [OwnedFd; 2] {
    [(); 2].map(|()| File::options().write(true).create(true).truncate(false).open(path).unwrap().into())
}

/// The longest mount point that `path` lies below, and what is mounted there, as this process sees it.
fn mount_of(path: &str) -> (String, String) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let rest = fields.iter().position(|field| *field == "-").unwrap();
        let (kind, source) = (fields[rest + 1], fields[rest + 2]);
        let has_no_source = ["tmpfs", "overlay", "none", "devtmpfs"].iter().any(|word| [kind, source].contains(word));
        (fields[4].to_owned(), if has_no_source { kind } else { source }.to_owned())
    };
    let holds = |point: &str| Path::new(path).starts_with(point);
    // Of those at one point the last is on top.
    mounts.lines().map(of).filter(|(point, _)| holds(point)).max_by_key(|(point, _)| point.len()).unwrap()
}

#[test]
fn mount_and_device_are_those_of_the_file() {
    let dir = Dir::new();
    let here = dir.path("lock");
    let memory = format!("/dev/shm/psn-it-{}", std::process::id());
    let shared = Path::new("/dev/shm").is_dir();
    let mut held = Vec::new();
    let [one, other] = created(&here);
    wait_for_lock("lm-here", &one, other);
    held.push(one);
    if shared {
        let [one, other] = created(&memory);
        fs::remove_file(&memory).unwrap();
        wait_for_lock("lm-shm", &one, other);
        held.push(one);
    }
    let memfd = memfd_create("psn-it", MemfdFlags::CLOEXEC).unwrap();
    let again = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memfd))).unwrap();
    wait_for_lock("lm-memfd", &memfd, again.into());
    held.push(memfd);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    blocked("lm-pipe", move || _ = rustix::io::read(reader, &mut [0; 1]));
    let mut pipes = Pipes::default();
    pipes.open("lm-dirfd", dir.itself(), "fifo".as_ref());

    let (point, device) = mount_of(&here);
    let mut expected = vec![
        format!("lm-dirfd | {point} | {device}"),
        format!("lm-here | {point} | {device}"),
        "lm-memfd | - | -".to_owned(),
        "lm-pipe | - | -".to_owned(),
    ];
    if shared {
        let (point, device) = mount_of(&memory);
        expected.push(format!("lm-shm | {point} | {device}"));
    } else {
        skip("there is no /dev/shm");
    }
    for scan in scans() {
        let report = look(scan, "lm-.*", &["-g", "comm2,mount,device"]);
        assert_eq!(told(&report, &["comm2", "mount", "device"]), expected, "{scan}");
    }
    held.iter().for_each(|file| flock(file, FlockOperation::Unlock).unwrap());
    drop((writer, held));
}

/// Starts a shell in a mount namespace of its own, in which `script` runs with `dir` as `$0`. Prints a message and returns `None` if
/// that is not possible here.
fn start_apart(script: &str, dir: &str) -> Option<Running> {
    if !is_root() || !has_program("unshare") {
        skip("a mount of one's own needs root and unshare (util-linux)");
        return None;
    }
    let mut apart = command("unshare");
    let script = format!("mount -t tmpfs -o size=1m psn-it \"$0\" || exit 99; echo ready; {script}");
    apart.args(["--mount", "--propagation", "private", "sh", "-c", &script, dir]);
    let running = Running::start(&mut apart);
    let deadline = Instant::now() + Duration::from_secs(60);
    while running.said() != "ready\n" {
        if Instant::now() > deadline || fs::read_to_string(format!("/proc/{}/stat", running.pid())).is_err() {
            skip("nothing can be mounted in a namespace of one's own here");
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(running)
}

/// Waits until the process runs `program` and sleeps.
fn wait_until_it_sleeps(process: &Running, program: &str) {
    let start = format!("{} ({program}) S ", process.pid());
    wait_until(&format!("{program} sleeps"), || {
        fs::read_to_string(format!("/proc/{}/stat", process.pid())).is_ok_and(|stat| stat.starts_with(&start))
    });
    std::thread::sleep(Duration::from_millis(20));
}

fn of_process(scan: &str, pid: u32, columns: &str) -> Json {
    json::sample(&["-p", &pid.to_string(), "-a", "--scan", scan, "-d", "0.4", "-g", columns])
}

#[test]
fn in_another_mount_namespace_its_own_mounts_and_paths_are_told() {
    let dir = Dir::new();
    let mounted = dir.path("apart");
    fs::create_dir(&mounted).unwrap();
    if !has_program("flock") {
        return skip("flock (util-linux) is missing");
    }
    let locks = "exec 9>\"$0/lock\" && flock 9 && exec flock \"$0/lock\" true";
    let Some(locker) = start_apart(locks, &mounted) else { return };
    wait_until_it_sleeps(&locker, "flock");
    let opens = "mkfifo \"$0/fifo\" && exec cat \"$0/fifo\"";
    let Some(opener) = start_apart(opens, &mounted) else { return };
    wait_until_it_sleeps(&opener, "cat");
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&mounted));
    for scan in scans() {
        let report = of_process(scan, locker.pid(), "syscall,filename,mount,device");
        let expected = [format!("{mounted}/lock | {mounted} | tmpfs")];
        assert_eq!(told(&report, &["filename", "mount", "device"]), expected, "{scan}");
        let report = of_process(scan, opener.pid(), "path");
        assert_eq!(told(&report, &["path"]), [format!("{mounted}/fifo")], "{scan}");
    }
}

#[test]
fn recordings_of_every_format_tell_the_same() {
    let dir = Dir::new();
    let mut pipes = Pipes::default();
    pipes.open("lk-record", dir.itself(), OsStr::from_bytes(b"a\nb\xff,\"c"));
    let long = long_path(dir.itself(), 4095, b"x");
    pipes.open("lk-record-long", Path::new("/"), OsStr::from_bytes(&long));
    let [one, other] = created(&dir.path("lock"));
    wait_for_lock("lk-record-lock", &one, other);
    let own = std::process::id().to_string();
    for scan in scans() {
        for name in ["r.db", "r.csv", "r/"] {
            let file = dir.path(&format!("{scan}-{name}"));
            let question = ["-a", "-g", "comm2,path,mount,device", "--where", "comm2 ~ ^lk-record", "--format", "json"];
            let live = run(&[&["-p", &own, "--scan", scan, "-d", "0.3", "-o", &file][..], &question].concat());
            let report = json::parse(&live);
            let (point, _) = mount_of(&dir.path("lock"));
            let expected = [
                format!("lk-record | a\\x0ab\\xff,\"c | {point}"),
                format!("lk-record-lock | - | {point}"),
                format!("lk-record-long | {} | {}", String::from_utf8_lossy(&long), mount_of("/").0),
            ];
            assert_eq!(told(&report, &["comm2", "path", "mount"]), expected, "{file}");
            let replayed = run(&[&["-i", &file][..], &question].concat());
            assert_eq!(replayed.stdout, live.stdout, "{file}");
        }
    }
    flock(&one, FlockOperation::Unlock).unwrap();
}

#[test]
fn another_user_is_denied_and_told_what_it_takes() {
    if !can_become_anybody() {
        return;
    }
    const NOBODY: Reader = Reader::Nobody(&[]);
    let dir = Dir::with_mode(0o755);
    let fifo = dir.path("fifo");
    mknodat(CWD, fifo.as_str(), FileType::Fifo, 0o666.into(), 0).unwrap();
    rustix::fs::chmod(fifo.as_str(), 0o666.into()).unwrap();
    let copy = PublicCopy::new();
    let theirs = Running::start(command("cat").arg(&fifo));
    let own = NOBODY.start("cat", |cat| cat.arg(&fifo));
    wait_until_it_sleeps(&theirs, "cat");
    wait_until_it_sleeps(&own, "cat");
    let pids = format!("{},{}", theirs.pid(), own.pid());
    let mut psn = NOBODY.command(&copy.path());
    psn.args(["-p", &pids, "-a", "-d", "0.4", "-g", "pid,path,mount,device", "--format", "json"]);
    let report = json::parse(&Running::start(&mut psn).end());
    let mut expected = [
        format!("{} | [denied] | [denied] | [denied]", theirs.pid()),
        format!("{} | {fifo} | [cwd] | [cwd]", own.pid()),
    ];
    expected.sort();
    assert_eq!(told(&report, &["pid", "path", "mount", "device"]), expected, "{}", report.0);
    assert_eq!(report.0["coverage"]["denied"]["mem"], report.completed(), "{}", report.0["coverage"]);
    let mut psn = NOBODY.command(&copy.path());
    psn.args(["-p", &pids, "-a", "-d", "0.2", "-g", "path"]);
    let ended = Running::start(&mut psn).end();
    assert!(ended.stdout.contains("CAP_SYS_PTRACE") || ended.stdout.contains("root"), "{ended:?}");
}

/// bindfs, mounted on a directory over another one, which does not answer while it is stopped.
struct Stopped {
    server: Running,
    point: String,
}

impl Stopped {
    fn mount(dir: &Dir) -> Option<Self> {
        let (source, point) = (dir.path("source"), dir.path("point"));
        [&source, &point].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        fs::write(format!("{source}/file"), "text").unwrap();
        if !is_root() || !has_program("bindfs") || !Path::new("/dev/fuse").exists() {
            skip("a FUSE mount that hangs needs root, bindfs and /dev/fuse");
            return None;
        }
        let server = Running::start(command("bindfs").args(["-f", "--no-allow-other", &source, &point]));
        let this = Self { server, point };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::exists(format!("{}/file", this.point)).is_ok_and(|is_there| is_there) {
            if Instant::now() > deadline {
                skip("bindfs cannot mount here");
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(this)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.server.signal(Signal::CONT);
        let _ = Command::new("umount").args(["-l", &self.point]).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_file_system_whose_server_is_stopped_is_named() {
    let dir = Dir::new();
    let Some(mount) = Stopped::mount(&dir) else { return };
    let path = format!("{}/file", mount.point);
    let lock = |ready: &str| format!("exec 9<\"$0\"; : > {ready}; read wait; exec flock 9");
    let ready = dir.path("ready");
    let mut holder = Running::start(command("sh").args(["-c", &lock(&ready), &path]).stdin(Stdio::piped()));
    wait_until("the file is open", || fs::exists(&ready).unwrap());
    mount.server.signal(Signal::STOP);
    let opener = Running::start(command("cat").arg(format!("{}/another", mount.point)));
    wait_until("cat hangs", || {
        fs::read_to_string(format!("/proc/{}/syscall", opener.pid())).is_ok_and(|call| call.contains("0xffffff9c"))
    });
    drop(holder.stdin());
    for scan in scans() {
        let started = Instant::now();
        let report = of_process(scan, opener.pid(), "path,syscall");
        assert_eq!(told(&report, &["path"]), [format!("{}/another", mount.point)], "{scan}");
        assert!(started.elapsed() < Duration::from_secs(20), "{scan}: {:?}", started.elapsed());
    }
    drop(mount);
}

/// The samples of each path of a process, and the report.
fn paths_of(report: &Json, pid: u32) -> Vec<(String, u64)> {
    let rows = report.rows().iter().filter(|row| row["pid"] == pid);
    rows.map(|row| (text(&row["path"]), row["samples"].as_u64().unwrap())).collect()
}

/// Processes that hang, and one that opens a named pipe. Prints a message and returns `None` if that is not possible here.
fn hang(fifo: &str) -> Option<(Hang, Running)> {
    let hang = match Hang::start() {
        Ok(hang) => hang,
        Err(error) => {
            skip(&format!("no FUSE file system can be mounted here: {error}"));
            return None;
        }
    };
    mknodat(CWD, fifo, FileType::Fifo, 0o600.into(), 0).unwrap();
    let bystander = Running::start(command("cat").arg(fifo));
    wait_until_it_sleeps(&bystander, "cat");
    Some((hang, bystander))
}

/// The report on two processes, of a run that must end although reads of one of them are never answered.
fn look_at_both(scan: &str, one: u32, other: u32) -> Json {
    let pids = format!("{one},{other}");
    let args = ["-p", &pids, "-a", "--scan", scan, "-d", "2", "--hz", "20", "-g", "pid,path", "--format", "json"];
    let started = Instant::now();
    let report = json::parse(&Running::start(&mut psn(&args)).end());
    assert!(started.elapsed() < Duration::from_secs(20), "{scan}: {:?}", started.elapsed());
    assert_eq!(report.0["ticks"]["abandoned"], 0, "{scan}: {}", report.0["ticks"]);
    report
}

#[test]
fn a_path_that_is_not_in_memory_is_not_fetched() {
    let dir = Dir::new();
    let fifo = dir.path("fifo");
    let Some((Hang { caller, .. }, bystander)) = &hang(&fifo) else { return };
    wait_until("the call waits for its path", || {
        fs::read_to_string(format!("/proc/{caller}/syscall")).is_ok_and(|call| call.contains("0xffffff9c"))
    });
    for scan in scans() {
        let report = look_at_both(scan, *caller, bystander.pid());
        let mut expected = [format!("{caller} | [unread]"), format!("{} | {fifo}", bystander.pid())];
        expected.sort();
        assert_eq!(told(&report, &["pid", "path"]), expected, "{scan}");
        assert_eq!(report.health("mem")["timed_out"], 0, "{scan}: {}", report.0["health"]);
    }
}

#[test]
fn a_path_whose_memory_is_locked_costs_no_tick_and_its_process_is_named() {
    let dir = Dir::new();
    let fifo = dir.path("fifo");
    let Some((Hang { locker, .. }, bystander)) = &hang(&fifo) else { return };
    wait_until("the memory is locked", || {
        fs::read_to_string(format!("/proc/{locker}/stat")).is_ok_and(|stat| stat.contains(") D "))
    });
    for scan in scans() {
        let report = look_at_both(scan, *locker, bystander.pid());
        let ticks = report.completed();
        // The first thread waits in no call that takes a path.
        let told: Vec<_> = paths_of(&report, *locker).into_iter().filter(|(path, _)| path != "-").collect();
        assert_eq!(told.iter().map(|(_, samples)| samples).sum::<u64>(), ticks, "{scan}: {told:?}");
        assert!(told.iter().all(|(path, _)| ["[blocked]", "[stale]"].contains(&path.as_str())), "{scan}: {told:?}");
        assert!(told.iter().any(|(path, _)| path == "[blocked]"), "{scan}: {told:?}");
        let others = paths_of(&report, bystander.pid());
        let known = others.iter().find(|(path, _)| *path == fifo).map_or(0, |(_, samples)| *samples);
        // While one reader is stuck, the other one reads this path.
        assert!(known >= ticks / 2, "{scan}: {others:?}");
        assert_eq!(report.health("mem")["timed_out"], 1, "{scan}: {}", report.0["health"]);
        let says = |warning: &Value| warning.as_str().unwrap().contains(&format!("process {locker} "));
        assert!(report.0["warnings"].as_array().unwrap().iter().any(says), "{scan}: {}", report.0["warnings"]);
    }
}
