//! Throughput of the parsers on captured lines, compared with two other ways to parse the same lines.
//!
//! ```text
//! cargo bench --bench parse
//! ```
//! The groups are `stat/FIXTURE`. In each, `state` parses what a tick needs of an idle thread, `to-22` and `to-52` split the line
//! up to the start time and up to its end, `naive` uses `from_utf8` and `split_whitespace` and parses every number, and `procfs`
//! uses the crate of that name.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot be set up must fail")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use procfs::FromRead as _;
use psn::proc::parse::stat::{self, Stat};
use psn::proc::parse::{schedstat, stack, syscall};

const NORMAL: &[u8] = include_bytes!("data/stat.txt");
const HOSTILE: &str = include_str!("data/stat-hostile.txt");
const LONG: &[u8] = include_bytes!("data/stat-long.txt");

// The fields up to which a line is split to observe a thread, and to show all fields.
const START_TIME: usize = stat::field::STARTTIME;
const ALL: usize = stat::field::EXIT_CODE;

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// The bytes that an escaped line stands for, without the end of the line.
fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, len) = match (*first, after.first()) {
            (b'\\', Some(b'n')) => (b'\n', 1),
            (b'\\', Some(b'x')) => (u8::from_str_radix(&line[line.len() - after.len()..][1..3], 16).unwrap(), 3),
            (b'\\', _) => (b'\\', 1),
            (byte, _) => (byte, 0),
        };
        bytes.push(byte);
        rest = &after[len..];
    }
    bytes
}

/// The usual way: takes the line as text, cuts it at the last parenthesis, and parses every number.
fn naive(line: &[u8]) -> Option<(&str, char, Vec<i128>)> {
    let line = std::str::from_utf8(line).ok()?;
    let (head, tail) = line.rsplit_once(')')?;
    let (_, comm) = head.split_once('(')?;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let numbers = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    Some((comm, state, numbers))
}

fn by_crate(line: &[u8]) -> Option<procfs::process::Stat> {
    procfs::process::Stat::from_read(line).ok()
}

fn stat_lines(criterion: &mut Criterion) {
    let hostile = HOSTILE.lines().map(unescaped).collect();
    for (name, lines) in [("normal", lines(NORMAL)), ("hostile", hostile), ("long", lines(LONG))] {
        report_rejected(name, &lines);
        let mut group = criterion.benchmark_group(format!("stat/{name}"));
        group.throughput(Throughput::Bytes(lines.iter().map(Vec::len).sum::<usize>() as u64));
        group.bench_function("state", |bench| bench.iter(|| each(&lines, |line| stat::state(line).ok())));
        group.bench_function("to-22", |bench| bench.iter(|| each(&lines, |line| Stat::parse(line, START_TIME).ok())));
        group.bench_function("to-52", |bench| bench.iter(|| each(&lines, |line| Stat::parse(line, ALL).ok())));
        group.bench_function("naive", |bench| bench.iter(|| each(&lines, naive)));
        group.bench_function("procfs", |bench| bench.iter(|| each(&lines, by_crate)));
        group.finish();
    }
}

fn each<'a, T>(lines: &'a [Vec<u8>], parse: impl Fn(&'a [u8]) -> Option<T>) {
    for line in lines {
        black_box(parse(black_box(line)));
    }
}

/// Tells how many lines each parser rejects, because a parser that gives up early looks fast.
fn report_rejected(name: &str, lines: &[Vec<u8>]) {
    let rejected = [
        ("state", lines.iter().filter(|line| stat::state(line).is_err()).count()),
        ("to-52", lines.iter().filter(|line| Stat::parse(line, ALL).is_err()).count()),
        ("naive", lines.iter().filter(|line| naive(line).is_none()).count()),
        ("procfs", lines.iter().filter(|line| by_crate(line).is_none()).count()),
    ];
    for (parser, count) in rejected.into_iter().filter(|(_, count)| *count > 0) {
        eprintln!("stat/{name}: {parser} rejects {count} of {} lines, and takes less time for these", lines.len());
    }
}

fn details(criterion: &mut Criterion) {
    const CALL: &[u8] =
        b"270 0xfb 0x7ffc4edfe620 0x0 0x0 0x7ffc4edfe530 0x7ffc4edfe540 0x7ffc4edfe500 0x7f3c1a159aec\n";
    const TIMES: &[u8] = b"127944741 19081424 227\n";
    const FRAMES: &[u8] = b"[<0>] poll_schedule_timeout.constprop.0+0x37/0x90\n[<0>] do_select+0x63a/0x930\n\
        [<0>] core_sys_select+0x275/0x4a0\n[<0>] do_pselect.constprop.0+0xc5/0x180\n\
        [<0>] __x64_sys_pselect6+0x46/0xa0\n[<0>] do_syscall_64+0x71/0x280\n\
        [<0>] entry_SYSCALL_64_after_hwframe+0x76/0x7e\n";
    let mut group = criterion.benchmark_group("detail");
    group.throughput(Throughput::Bytes(CALL.len() as u64));
    group.bench_function("syscall", |bench| bench.iter(|| syscall::parse(black_box(CALL))));
    group.throughput(Throughput::Bytes(TIMES.len() as u64));
    group.bench_function("schedstat", |bench| bench.iter(|| schedstat::parse(black_box(TIMES))));
    group.throughput(Throughput::Bytes(FRAMES.len() as u64));
    group.bench_function("stack", |bench| {
        let mut out = Vec::new();
        bench.iter(|| {
            out.clear();
            stack::render(black_box(FRAMES), &mut out);
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, stat_lines, details);
criterion_main!(benches);
