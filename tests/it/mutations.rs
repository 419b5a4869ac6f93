//! Runs the bodies of the fuzz targets with a deterministic mutator. It finds again what a fuzzer found once, and finds
//! without a fuzzer what a fuzzer would find first.
//!
//! `PSN_FUZZ_SECONDS` is the time for all targets together (default 60); `PSN_FUZZ_SEED` selects another series.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use targets::{TARGETS, Target};

/// The largest length of an input.
const MAX_LEN: usize = 4096;

/// Bytes that mean something to some parser or printer.
const TOKENS: &[&[u8]] = &[
    b")",
    b" (",
    b") R 1 2",
    b"\n",
    b"\0",
    b"\t",
    b" ",
    b":",
    b"/",
    b"\\",
    b"\\n",
    b"\\x1b",
    b"\\u{202e}",
    b"-1",
    b"-",
    b"0x",
    b"0xffffffffffffffff",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"4294967296",
    b"running",
    b"State:\t",
    b"Name:\t",
    b"Uid:\t",
    b" kB",
    b"[<0>] ",
    b"+0x1/0x2",
    b"->",
    b"()",
    b"do_syscall_64",
    b"schedule",
    b".isra.0",
    b"socket:[",
    b"pipe:[",
    b" (deleted)",
    b"0::/",
    b"docker-",
    b".scope",
    b"lxc",
    b"machine.slice/",
    b"\x1b[2J",
    b"\x9b",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\xae",
    b"\xcc\x81",
    b"\xe6\x97\xa5",
    b"\xf0\x9f\xa6\x80",
    b";",
    b" 12",
    b"\"",
    b",",
    b"'",
    b"=",
    b"==",
    b"!=",
    b"!~",
    b"~",
    b"<=",
    b">=",
    b"@SUM(1)",
    b"\x1f",
    b"g:",
    b"s:",
    b"o:",
    b"comm",
    b"utime_sec",
    b"syscall",
    b":max",
    b":delta",
    b"samples",
    b"(?i)",
    b"[a-z]+",
    b"{2,9}",
    b"\\d",
    b"1e400",
    b"0.29",
    b"NaN",
    b"#0",
    b"#1",
    b"#2",
    b"00400000-00401000 r-xp 00000000 fe:00 11 /a\n",
    b"Rss: 4 kB\n",
    b"hidepid=2",
    b" - proc proc rw",
    b"task_struct\0",
    b"\0\0\0\x04",
    b"\x02\0\0\x84",
];

/// Random numbers that are the same in each run (splitmix64).
struct Series(u64);

impl Series {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`, or 0.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap().max(1);
        usize::try_from(self.next() % limit).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// One change to `input`; `other` is another input to take parts from.
fn mutate(series: &mut Series, input: &mut Vec<u8>, other: &[u8]) {
    let at = series.below(input.len() + 1);
    let end = at + series.below((input.len() - at).min(64) + 1);
    match series.below(9) {
        0 if at < input.len() => input[at] ^= 1 << series.below(8),
        1 if at < input.len() => input[at] = series.byte(),
        2 => input.truncate(at),
        3 => drop(input.drain(at..end)),
        4 => {
            let part = input[at..end].to_vec();
            input.splice(at..at, part);
        }
        5 => {
            let from = series.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        6 => {
            let to = series.below(input.len() + 1);
            let part: Vec<u8> = input.drain(at..end).collect();
            let to = to.min(input.len());
            input.splice(to..to, part);
        }
        _ => {
            let token = TOKENS[series.below(TOKENS.len())];
            let replaced = if series.below(2) == 0 { at..at } else { at..end };
            input.splice(replaced, token.iter().copied());
        }
    }
    input.truncate(MAX_LEN);
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// The checked-in inputs of a target, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("the corpus of {target}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[track_caller]
fn run(target: &Target, input: &[u8], whence: &dyn std::fmt::Display) {
    let (name, body) = target;
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        panic!("{name} fails on {whence}: b\"{}\"", input.escape_ascii());
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn fuzz(target: &str) {
    let target = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = corpus(target.0);
    assert!(!seeds.is_empty(), "{} has no corpus", target.0);
    run(target, b"", &"nothing");
    for (path, seed) in &seeds {
        run(target, seed, &path.display());
    }
    let each = Duration::from_secs(setting("PSN_FUZZ_SECONDS", 60)) / u32::try_from(TARGETS.len()).unwrap();
    let first = setting("PSN_FUZZ_SEED", 1);
    let deadline = Instant::now() + each;
    // Each input has its own series, so that one number identifies a failure.
    for number in first.. {
        if Instant::now() >= deadline {
            return;
        }
        let mut series = Series(number);
        let mut input = seeds[series.below(seeds.len())].1.clone();
        for _ in 0..=series.below(8) {
            let other = &seeds[series.below(seeds.len())].1;
            mutate(&mut series, &mut input, other);
        }
        run(target, &input, &format_args!("PSN_FUZZ_SEED={number}"));
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run_here_and_by_the_fuzzer() {
            let here = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), here);
            for name in here {
                let program = folder("../fuzz_targets").join(format!("{name}.rs"));
                let text = fs::read_to_string(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
                assert!(text.contains(&format!("psn_fuzz::{name}(data)")));
            }
            assert_eq!(fs::read_dir(folder("")).unwrap().count(), here.len(), "a corpus without a target");
        }
    };
}

targets!(
    stat,
    status,
    syscall,
    stack,
    io_schedstat,
    cmdline_cgroup,
    fd_link,
    smaps,
    system,
    btf,
    expressions,
    escape,
    render
);
