//! Tests of psn from the outside, in one binary so that everything is linked once.
//!
//! A test that needs a privilege or a program that the machine lacks says so on standard error and passes. No test is
//! retried. Every process that a test starts has a deadline, and is killed and reaped when the test ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "what fails here fails a test"
)]

/// Shared code: fake proc roots, a driver of the engine, child processes with a deadline, values of reports.
mod support;

/// The engine over a fake proc root, where every value is known: columns, marks, selection, counts.
mod fake_proc;

/// The real /proc, with threads whose states are known.
mod live;

/// The load of the host beside what psn saw.
mod host_load;

/// The kernel walk in the place of /proc.
mod walk;

/// How long threads wait, and for what.
mod waits;

/// What a socket is connected to, and what an epoll instance watches.
mod sockets;

/// How long all waits last, seen or not.
mod latency;

/// Command lines and executables of the row's own moment, long ones, and those of processes whose first thread has ended.
mod titles;
/// Figures that mean what they seem to mean: system calls of both tables, times that are not measured, output to terminals.
mod truth;

/// Task lists while tasks are born and end.
mod listing;

/// psn as an ordinary user, whom the kernel refuses many reads.
mod unprivileged;

/// The permission matrix, row by row; mounts and namespaces that hide processes.
mod capabilities;

/// Threads that change their state all the time: rows of one instant, averages without bias.
mod torn;

/// Exit codes, messages, streams and signals.
mod cli;

/// Other users cannot make psn take unbounded memory.
mod memory;

/// Recordings with impossible figures.
mod figures;

/// Signals that become errors, and signals that were ignored when psn was started.
mod signals;

/// User names: directories that do not answer, and proc roots of other systems.
mod users;

/// A copy of psn with file capabilities.
mod rights;

/// What a tick costs when nothing changes: system calls and allocations.
mod steady;

/// Every failure at every call on every file.
mod faults;

/// The corpus of hostile input: names in every place and format, files, lives of threads.
#[path = "../hostile/mod.rs"]
mod hostile;

/// What is kept of waits that last.
mod same_wait;

/// The path that a call was given, and the mount of its file.
mod lookups;

/// Readers that get stuck on named pipes.
mod hung;

/// Readers that get stuck on processes that hang on a file system which never answers.
mod hung_fuse;

/// Recordings: written, read back, cut off, replayed.
mod recordings;

/// Databases in directories where other users may write.
mod strangers;

/// Damaged recordings, read by the program psn.
mod damage;
/// Datasets: files of other users, damaged and hostile files, parts with different columns.
mod datasets;
/// Questions to recordings of every format and size: by time, by slice, by name.
mod replays;

/// Recordings read by other programs.
mod engines;

/// The bodies of the fuzz targets under a deterministic mutator.
mod mutations;

#[global_allocator]
static ALLOCATOR: support::alloc::Counting = support::alloc::Counting;
