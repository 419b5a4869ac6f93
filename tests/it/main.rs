//! psn from the outside: one binary, so that everything is linked once.
//!
//! A test that needs a privilege or a program the machine lacks says so on standard error and
//! passes; no test is retried, and every process a test starts has a deadline and is killed and
//! reaped when the test ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "what fails here fails a test"
)]

/// Fake proc roots, a driver of the engine, children with a deadline, values of reports.
mod support;

/// The engine over a fake proc root, where every answer is known: columns, marks, selection, counts.
mod fake_proc;

/// The real /proc, with threads whose states are known.
mod live;

/// The kernel's own walk in the place of /proc.
mod walk;

/// How long threads wait, and for what.
mod waits;

/// Command lines and executables of the row's own moment, and facts that are long or outlive their first thread.
mod titles;
/// Figures that are what they seem to be: system calls of either table, what is not measured, what a terminal is shown.
mod truth;

/// Lists of tasks while those come and go.
mod listing;

/// psn as an ordinary user, who is refused much.
mod unprivileged;

/// The permission matrix, row by row; mounts and namespaces that hide processes.
mod capabilities;

/// Threads that never stand still: rows of one instant, averages without bias.
mod torn;

/// Exit codes, messages, streams and signals.
mod cli;

/// Memory that other users would have psn take.
mod memory;

/// Recordings with figures that no host has.
mod figures;

/// Signals that are errors, and those that were ignored before psn was there.
mod signals;

/// Names of users, from directories that do not answer and from other worlds.
mod users;

/// A psn that was given capabilities.
mod rights;

/// What a tick costs when nothing changes: system calls and allocations.
mod steady;

/// Every failure on every file at every call.
mod faults;

/// The corpus of what is hostile: names in every place and every form, files, lives.
#[path = "../hostile/mod.rs"]
mod hostile;

/// Readers that get stuck, by named pipes.
mod hung;

/// Readers that get stuck in processes that hang on a file system which never answers.
mod hung_fuse;

/// Recordings: written, read back, cut off, asked.
mod recordings;

/// Databases in places where other users may write.
mod strangers;

/// Recordings that were damaged, as a user's psn reads them.
mod damage;
/// Datasets: of other users, damaged, hostile, of parts that differ.
mod datasets;
/// Questions of recordings: of every form and size, by time, slice by slice, by name.
mod replays;

/// Recordings in the hands of engines that are not psn's.
mod engines;

/// The bodies of the fuzz targets under a deterministic mutator.
mod mutations;

#[global_allocator]
static ALLOCATOR: support::alloc::Counting = support::alloc::Counting;
