//! Sockets and epoll instances that threads wait on, held against those that the tests themselves have made.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};

use rustix::event::{PollFd, PollFlags, epoll};

use crate::support::child::{Running, command, has_program, is_root};
use crate::support::dir::Dir;
use crate::support::json::{self, Json};
use crate::support::reader::{PublicCopy, Reader, can_become_anybody};
use crate::support::{skip, wait_until};
use crate::waits::{blocked, look, scans};

const COLUMNS: &str = "comm2,filename,proto,local,remote,remote_port,conn_state,peer_pid";

/// What a report shows of these columns, but for rows that came before psn knew it all.
fn told(report: &Json, columns: &str) -> Vec<String> {
    let columns: Vec<&str> = columns.split(',').collect();
    let keys = report.samples(&columns).into_keys();
    // Where a connection is not known in time, `filename` is what the link says.
    let before = [
        "[unread]",
        "[stale]",
        "socket:[",
        "anon_inode:[eventpoll]",
        "maybe: socket",
        "more than 7 files",
        "epoll: 1 socket |",
    ];
    keys.filter(|key| !before.iter().any(|text| key.contains(text))).collect()
}

/// This process, as a peer is shown.
fn own() -> (u32, String) {
    (std::process::id(), std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned())
}

/// A connection of this process with itself. Both ends and the listener are waited on, by threads named `NAME-client`, `NAME-server`
/// and `NAME-accept`. The addresses of the client and of the server.
fn connection(name: &str, to: &str) -> (SocketAddr, SocketAddr) {
    let ((client, server, listener), (here, there)) = pair(to);
    read_in(&format!("{name}-client"), client);
    read_in(&format!("{name}-server"), server);
    blocked(&format!("{name}-accept"), move || drop(listener.accept()));
    (here, there)
}

/// A client, its server and the listener; the addresses of the client and of the server.
fn pair(to: &str) -> ((TcpStream, TcpStream, TcpListener), (SocketAddr, SocketAddr)) {
    let listener = TcpListener::bind(to).unwrap();
    let there = listener.local_addr().unwrap();
    let client = TcpStream::connect(there).unwrap();
    let (server, here) = listener.accept().unwrap();
    ((client, server, listener), (here, there))
}

/// Reads in a thread of this name. Both ends have a copy that is kept, so that no end is closed.
fn read_in(name: &str, mut from: impl Read + Send + 'static) {
    blocked(name, move || drop(from.read(&mut [0])));
}

#[test]
fn the_ends_of_tcp_connections_are_told_and_who_has_the_other_one() {
    let (pid, _) = own();
    for (name, to) in [("tcp4", "127.0.0.1:0"), ("tcp6", "[::1]:0")] {
        if TcpListener::bind(to).is_err() {
            skip("this machine has no IPv6");
            continue;
        }
        let (here, there) = connection(name, to);
        let any = format!("{name}-.*");
        for scan in scans() {
            let expected = [
                format!("{name}-accept | listen tcp {there} | tcp | {there} | - | - | LISTEN | -"),
                format!(
                    "{name}-client | tcp {here}->{there} | tcp | {here} | {there} | {} | ESTABLISHED | {pid}",
                    there.port()
                ),
                format!(
                    "{name}-server | tcp {there}->{here} | tcp | {there} | {here} | {} | ESTABLISHED | {pid}",
                    here.port()
                ),
            ];
            assert_eq!(told(&look(scan, &any, &["-g", COLUMNS]), COLUMNS), expected, "{scan}");
            let sums = told(&look(scan, &any, &["-g", "comm2,filenamesum"]), "comm2,filenamesum");
            assert!(sums[1].starts_with(&format!("{name}-client | tcp ")) && sums[1].contains(":*->"), "{sums:?}");
        }
    }
}

#[test]
fn unix_sockets_are_told_by_their_names_and_by_the_process_at_the_other_end() {
    let (pid, comm) = own();
    let dir = Dir::new();
    let path = dir.path("a socket");
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (server, _) = listener.accept().unwrap();
    let name = format!("psn-it-{pid}");
    let datagram = UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(&name).unwrap()).unwrap();
    let (one, _other) = UnixStream::pair().unwrap();
    blocked("ux-accept", move || drop(listener.accept()));
    read_in("ux-client", client);
    read_in("ux-server", server);
    blocked("ux-datagram", move || drop(datagram.recv(&mut [0])));
    read_in("ux-pair", one);
    let columns = "comm2,filename,proto,local,conn_state,peer_pid,peer_comm";
    for scan in scans() {
        // Only the tables of /proc have names.
        let named = |name: &str| if *scan == "proc" { format!(" {name}") } else { String::new() };
        let peer = format!("->pid {pid} ({comm}) | unix | - | ESTABLISHED | {pid} | {comm}");
        let expected = [
            format!("ux-accept | listen unix{} | unix | - | LISTEN | - | -", named(&path)),
            format!("ux-client | unix{}{peer}", named(&path)),
            format!("ux-datagram | unix{} | unix | - | - | - | -", named(&format!("@{name}"))),
            format!("ux-pair | unix{peer}"),
            format!("ux-server | unix{}{peer}", named(&path)),
        ];
        assert_eq!(told(&look(scan, "ux-.*", &["-g", columns]), columns), expected, "{scan}");
    }
}

#[test]
fn who_waits_for_a_server_that_does_not_accept_waits_for_a_server() {
    let dir = Dir::new();
    let path = dir.path("s");
    let _listener = UnixListener::bind(&path).unwrap();
    read_in("unaccepted", UnixStream::connect(&path).unwrap());
    // To a walk both ends are this process, as those of a pair are.
    let report = look("proc", "unaccepted", &["-g", "comm2,idle"]);
    assert_eq!(told(&report, "comm2,idle"), ["unaccepted | no: server"]);
}

#[test]
fn udp_sockets_are_told_with_and_without_another_end() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (any, here) = (socket.local_addr().unwrap(), connected.local_addr().unwrap());
    connected.connect(any).unwrap();
    blocked("udp-any", move || drop(socket.recv(&mut [0])));
    blocked("udp-one", move || drop(connected.recv(&mut [0])));
    for scan in scans() {
        let expected = [
            format!("udp-any | udp {any} | udp | {any} | - | - | - | -"),
            format!("udp-one | udp {here}->{any} | udp | {here} | {any} | {} | - | -", any.port()),
        ];
        assert_eq!(told(&look(scan, "udp-.*", &["-g", COLUMNS]), COLUMNS), expected, "{scan}");
    }
}

#[test]
fn idle_tells_servers_from_clients() {
    // Who connects gets a port of 32,768 or above from the kernel.
    let service = (2_000..32_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let client = TcpStream::connect(service.local_addr().unwrap()).unwrap();
    let (server, _) = service.accept().unwrap();
    read_in("idle-client", client);
    read_in("idle-server", server);
    blocked("idle-accept", move || drop(service.accept()));
    for scan in scans() {
        let expected = ["idle-accept | yes: connections", "idle-client | no: server", "idle-server | yes: client"];
        assert_eq!(told(&look(scan, "idle-.*", &["-g", "comm2,idle"]), "comm2,idle"), expected, "{scan}");
    }
}

#[test]
fn an_epoll_instance_shows_what_it_watches() {
    let (sockets, pipe): (Vec<_>, _) =
        ((0..6).map(|_| UnixStream::pair().unwrap()).collect(), std::io::pipe().unwrap());
    let watched: Vec<OwnedFd> =
        sockets.into_iter().flat_map(|(one, other)| [OwnedFd::from(one), OwnedFd::from(other)]).collect();
    let files = || watched.iter().map(AsFd::as_fd);
    let (timer, event) = (timer(), rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap());
    let ((one, server, _listener), there) = pair("127.0.0.1:0");
    let one = OwnedFd::from(one);
    let instances = [
        ("ep-few", epoll_of(files().take(2).chain([pipe.0.as_fd()]))),
        ("ep-many", epoll_of(files().chain([timer.as_fd(), event.as_fd()]))),
        ("ep-nothing", epoll_of(std::iter::empty())),
        ("ep-one", epoll_of([one.as_fd()].into_iter())),
        ("ep-pipe", epoll_of([pipe.0.as_fd(), event.as_fd()].into_iter())),
    ];
    for (name, instance) in instances {
        blocked(name, move || drop(epoll::wait(&instance, Vec::with_capacity(1).spare_capacity_mut(), None)));
    }
    for scan in scans() {
        // A walk counts a few files and does not tell what the others are.
        let event = if *scan == "kernel" { "1 other" } else { "1 event" };
        let expected = [
            "ep-few | epoll: 2 sockets, 1 pipe | yes: poll".to_owned(),
            "ep-many | epoll: 12 sockets, 1 timer, 1 event | yes: poll".to_owned(),
            "ep-nothing | epoll: nothing | yes: poll".to_owned(),
            format!("ep-one | epoll: tcp {}->{} | yes: poll", there.0, there.1),
            format!("ep-pipe | epoll: 1 pipe, {event} | no: wake-up"),
        ];
        let columns = "comm2,filename,idle";
        assert_eq!(told(&look(scan, "ep-.*", &["-g", columns]), columns), expected, "{scan}");
        let sums = told(&look(scan, "ep-many", &["-g", "filenamesum"]), "filenamesum");
        assert_eq!(sums, ["epoll: * sockets, 1 timer, 1 event"], "{scan}");
    }
    drop(server);
}

#[test]
fn poll_and_select_show_what_they_wait_for() {
    let service = (2_000..32_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let client = TcpStream::connect(service.local_addr().unwrap()).unwrap();
    let (server, here) = service.accept().unwrap();
    let there = service.local_addr().unwrap();
    let (pipe, timer) = (std::io::pipe().unwrap(), timer());
    let (one, other) = UnixStream::pair().unwrap();
    let poll = |name: &str, files: Vec<OwnedFd>| {
        blocked(name, move || {
            let mut entries: Vec<PollFd<'_>> = files.iter().map(|file| PollFd::new(file, PollFlags::IN)).collect();
            let _ = rustix::event::poll(&mut entries, None);
        });
    };
    poll("po-client", vec![client.try_clone().unwrap().into()]);
    poll("po-server", vec![server.try_clone().unwrap().into()]);
    poll("po-many", vec![one.try_clone().unwrap().into(), other.into(), pipe.0.try_clone().unwrap().into(), timer]);
    poll("po-none", Vec::new());
    let mut running = None;
    if has_program("bash") {
        // Its `read` with a time limit waits in select, or in poll.
        let script = format!("exec 3<>/dev/tcp/{}/{}; read -t 60 -u 3 line", there.ip(), there.port());
        running = Some(Running::start(command("bash").args(["-c", &script])));
    }
    for scan in scans() {
        let columns = "comm2,filename,idle";
        let expected = [
            format!("po-client | poll: tcp {here}->{there} | no: server"),
            "po-many | poll: 2 sockets, 1 pipe, 1 timer | yes: poll".to_owned(),
            "po-none | poll: nothing | yes: poll".to_owned(),
            format!("po-server | poll: tcp {there}->{here} | yes: client"),
        ];
        let late = |key: &String| !key.contains("poll: 1 socket |");
        let shown = told(&look(scan, "po-.*", &["-g", columns]), columns).into_iter().filter(late);
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{scan}");
        let columns = "comm2,remote,conn_state,peer_pid";
        let one = told(&look(scan, "po-client|po-many", &["-g", columns]), columns);
        let pid = std::process::id();
        assert_eq!(
            one,
            [format!("po-client | {there} | ESTABLISHED | {pid}"), "po-many | - | - | -".to_owned()],
            "{scan}"
        );
        let Some(bash) = &running else { continue };
        let pid = bash.pid().to_string();
        let syscall = format!("/proc/{pid}/syscall");
        let waits = ["7 ", "23 ", "270 ", "271 "];
        let number = || std::fs::read_to_string(&syscall).unwrap();
        wait_until("bash waits", || waits.iter().any(|wait| number().starts_with(wait)));
        let report = json::sample(&["-p", &pid, "-a", "--scan", scan, "-d", "0.5", "-g", "filename"]);
        let told = told(&report, "filename");
        assert!(matches!(&told[..], [row] if row.contains(&format!("->{there}"))), "{scan} {told:?}");
    }
    drop((service, client, server, one, pipe));
}

fn timer() -> OwnedFd {
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
    timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap()
}

/// An epoll instance that watches these.
fn epoll_of<'a>(files: impl Iterator<Item = std::os::fd::BorrowedFd<'a>>) -> OwnedFd {
    let instance = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for file in files {
        epoll::add(&instance, file, epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
    }
    instance
}

#[test]
fn sockets_of_another_network_namespace_are_found_there() {
    if !is_root() || !["unshare", "bash", "ip", "socat"].into_iter().all(has_program) {
        return skip(
            "a network namespace of one's own needs root, unshare (util-linux), bash, ip (iproute2) and socat",
        );
    }
    // The client's end is that of bash, which reads; the other one is that of socat, which ends with the connection.
    let script = "ip link set lo up; socat -u TCP-LISTEN:7007,bind=127.0.0.1 OPEN:/dev/null & \
        until exec 3<>/dev/tcp/127.0.0.1/7007; do sleep 0.05; done 2>/dev/null; read -u 3 line";
    let other = Running::start(command("unshare").args(["-n", "bash", "-c", script]));
    let pid = other.pid().to_string();
    let syscall = format!("/proc/{pid}/syscall");
    wait_until("bash reads", || std::fs::read_to_string(&syscall).unwrap_or_default().starts_with("0 0x3 "));
    // A socket with the same address here is another one.
    let _here = TcpListener::bind("127.0.0.1:7007");
    for scan in scans() {
        let report =
            json::sample(&["-p", &pid, "-a", "--scan", scan, "-d", "2", "-g", &format!("{COLUMNS},peer_comm")]);
        let [row] = &told(&report, &format!("{COLUMNS},peer_comm"))[..] else { panic!("{report:?}") };
        assert!(row.contains("->127.0.0.1:7007 | tcp | ") && row.contains(" | 7007 | ESTABLISHED | "), "{scan}: {row}");
        assert!(row.ends_with(" | socat"), "{scan}: {row}");
    }
}

#[test]
fn a_replay_tells_what_was_told() {
    let (_, there) = connection("again", "127.0.0.1:0");
    let dir = Dir::new();
    let own = std::process::id().to_string();
    for (scan, file) in scans().iter().flat_map(|scan| [(scan, "x.db"), (scan, "x.parquet"), (scan, "x.csv")]) {
        let file = dir.path(&format!("{scan}-{file}"));
        let condition = "comm2 ~ '^again-'";
        let args = ["-a", "-g", COLUMNS, "--where", condition];
        let live = json::sample(&[&args[..], &["-p", &own, "--scan", scan, "-d", "0.5", "-o", &file]].concat());
        let replay = json::sample(&[&args[..], &["-i", &file]].concat());
        let columns: Vec<&str> = COLUMNS.split(',').collect();
        assert_eq!(live.samples(&columns), replay.samples(&columns), "{file}");
        assert!(told(&replay, COLUMNS).iter().any(|key| key.contains(&there.to_string())), "{file}");
    }
}

#[test]
fn what_may_not_be_read_of_sockets_is_denied_and_ones_own_is_told() {
    if !can_become_anybody() {
        return;
    }
    let psn = PublicCopy::new();
    connection("denied", "127.0.0.1:0");
    let own = std::process::id().to_string();
    let nobody = Reader::Nobody(&[]);
    let sample = |pid: &str, condition: &str| {
        let mut command = nobody.command(&psn.path());
        command.args(["--format", "json", "-a", "-p", pid, "-d", "0.5", "-g", COLUMNS, "--where", condition]);
        json::parse(&Running::start(&mut command).end())
    };
    let report = sample(&own, "comm2 ~ '^denied-'");
    let denied = ["[denied]"; 7].join(" | ");
    let expected = ["accept", "client", "server"].map(|end| format!("denied-{end} | {denied}"));
    assert_eq!(told(&report, COLUMNS), expected);
    if !has_program("bash") {
        return skip("bash is missing");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    let script = format!("exec 3<>/dev/tcp/{}/{}; read -u 3 line", there.ip(), there.port());
    let client = nobody.start("bash", |bash| bash.args(["-c", &script]));
    let pid = client.pid().to_string();
    let syscall = format!("/proc/{pid}/syscall");
    wait_until("bash reads", || std::fs::read_to_string(&syscall).unwrap_or_default().starts_with("0 0x3 "));
    let told = told(&sample(&pid, "comm2 = bash"), COLUMNS);
    assert!(matches!(&told[..], [row] if row.contains(&format!("->{there} | tcp | "))), "{told:?}");
}
