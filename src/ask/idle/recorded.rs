//! Waits of real programs, as the kernel (Linux 6.18, x86-64) told them, held against what the rules say of them.

use super::{FileKind, Sleep, decide};

/// No time limit, as the kernel shows it of an `int`.
const ENDLESS: u64 = 0xffff_ffff;

fn wait(call: &'static [u8], args: [u64; 6], kernel: &'static [u8]) -> Sleep<'static> {
    Sleep {
        state: b'S',
        is_kernel_thread: false,
        is_first: false,
        call: Some(call),
        is_in_no_call: false,
        args,
        sp: 0x7f67_8b1f_b338,
        file: None,
        watches_pipes: None,
        kernel,
    }
}

fn epoll(events: u64, limit: u64, watches_pipes: Option<bool>) -> Sleep<'static> {
    let args = [4, 0x5637_9b01_dc30, events, limit, 0, 0];
    Sleep { watches_pipes, ..wait(b"epoll_wait", args, b"do_epoll_wait") }
}

fn futex(operation: u64, value: u64, limit: u64) -> Sleep<'static> {
    wait(b"futex", [0x564f_ae73_99c8, operation, value, limit, 0, ENDLESS], b"futex_do_wait")
}

fn poll(files: u64, limit: u64) -> Sleep<'static> {
    wait(b"poll", [0x7ffc_1383_1418, files, limit, 0x4000, 0, 0], b"poll_schedule_timeout.constprop.0")
}

fn read(call: &'static [u8], file: FileKind, kernel: &'static [u8]) -> Sleep<'static> {
    Sleep { file: Some(file), ..wait(call, [3, 0x5565_ad83_f0e8, 4096, 0, 0, 0], kernel) }
}

fn sleeping(call: &'static [u8], kernel: &'static [u8]) -> Sleep<'static> {
    wait(call, [0; 6], kernel)
}

#[track_caller]
fn check(cases: &[(&str, Sleep<'_>, &str)]) {
    for (name, sleep, expected) in cases {
        let told = decide(sleep).map(|rule| format!("{}: {}", rule.verdict.name(), rule.what));
        assert_eq!(told.as_deref(), Some(*expected), "{name}: {sleep:?}");
    }
}

#[test]
fn postgresql_blocked_on_a_row_beside_idle_sessions() {
    check(&[
        ("session that waits for a row", epoll(1, ENDLESS, Some(true)), "no: wake-up"),
        ("session whose client asks for nothing", epoll(1, ENDLESS, Some(false)), "yes: poll"),
        ("either, if its files are not known", epoll(1, ENDLESS, None), "maybe: wake-up"),
        ("checkpointer", epoll(1, 0x2bf20, Some(true)), "yes: poll"),
        ("background writer", epoll(1, 0x2710, Some(true)), "yes: poll"),
        ("launcher, not known", epoll(1, 0xea5d, None), "yes: poll"),
        ("postmaster", wait(b"pselect6", [7, 0, 0, 0, 0, 0], b"poll_schedule_timeout.constprop.0"), "yes: poll"),
        ("lightweight lock", futex(0x189, 0, 0), "maybe: condition"),
        (
            "psql that waits for its answer",
            Sleep { file: Some(FileKind::ClientSocket), ..poll(1, ENDLESS) },
            "no: server",
        ),
        ("the same, of which it is not known what it waits for", poll(1, ENDLESS), "maybe: one file"),
        ("psql without a terminal", read(b"read", FileKind::Pipe, b"anon_pipe_read"), "no: pipe"),
        ("psql at a terminal", read(b"read", FileKind::Terminal, b"wait_woken"), "yes: terminal"),
    ]);
}

#[test]
fn mariadb_blocked_on_a_row_beside_idle_connections() {
    check(&[
        ("connection that waits for a row", futex(0x189, 0, 0x7782_0af1_9960), "maybe: condition"),
        ("idle thread of a pool", futex(0x89, 0, 0x7782_0bff_ecb0), "maybe: condition"),
        ("purge", futex(0x189, 0, 0), "maybe: condition"),
        ("idle connection, by wait_timeout", poll(1, 28_800_000), "yes: poll"),
        ("first thread, which accepts", poll(4, ENDLESS), "yes: poll"),
        ("signals", sleeping(b"rt_sigtimedwait", b"do_sigtimedwait.isra.0"), "yes: time"),
        ("collector of finished I/O", sleeping(b"io_uring_enter", b"io_cqring_wait"), "maybe: finished I/O"),
    ]);
}

#[test]
fn java_with_a_contended_monitor_beside_an_idle_pool() {
    let launcher = Sleep { is_first: true, ..futex(0x109, 0x457a, 0) };
    check(&[
        ("monitor", futex(0x189, 0, 0), "maybe: condition"),
        ("monitor, the one that looks again", futex(0x89, 0, 0x7f1d_d86f_d740), "maybe: condition"),
        ("java.util.concurrent lock", futex(0x189, 0, 0), "maybe: condition"),
        ("idle thread of an executor", futex(0x189, 0, 0), "maybe: condition"),
        ("launcher", launcher, "maybe: thread end"),
    ]);
}

#[test]
fn nginx_and_redis_idle_and_with_clients() {
    check(&[
        ("nginx worker", epoll(512, ENDLESS, Some(false)), "yes: poll"),
        ("nginx worker through /proc", epoll(512, ENDLESS, None), "yes: poll"),
        ("nginx master", sleeping(b"rt_sigsuspend", b"sigsuspend.isra.0"), "yes: time"),
        ("Redis", epoll(10_128, 100, Some(false)), "yes: poll"),
        ("background thread of Redis", futex(0x189, 0, 0), "maybe: condition"),
        ("I/O thread of Redis, which it stops by a mutex", futex(0x80, 2, 0), "no: lock"),
        ("redis-cli", read(b"recvfrom", FileKind::ClientSocket, b"wait_woken"), "no: server"),
        ("redis-cli through /proc", read(b"recvfrom", FileKind::Socket, b"wait_woken"), "maybe: socket"),
    ]);
}

#[test]
fn node_idle() {
    check(&[
        ("event loop", epoll(1024, ENDLESS, Some(false)), "yes: poll"),
        ("delayed tasks: a pipe and an eventfd", epoll(1024, ENDLESS, Some(true)), "yes: poll"),
        ("worker", futex(0x189, 0, 0), "maybe: condition"),
    ]);
}

#[test]
fn a_file_system_in_user_space_that_hangs() {
    let hung = |call| sleeping(call, b"request_wait_answer");
    let fault = Sleep { state: b'D', call: None, is_in_no_call: true, ..sleeping(b"", b"folio_wait_bit_common") };
    check(&[
        ("open", hung(b"openat"), "no: FUSE"),
        ("stat", hung(b"statx"), "no: FUSE"),
        ("read", Sleep { file: Some(FileKind::Other), ..hung(b"pread64") }, "no: FUSE"),
        ("fsync", hung(b"fsync"), "no: FUSE"),
        ("mapped file", fault, "no: uninterruptible"),
        ("its program, idle", read(b"read", FileKind::Device, b"fuse_dev_do_read"), "yes: FUSE requests"),
    ]);
}
