//! psn: a passive sampling profiler for very large Linux hosts.
//!
//! psn samples the state of every thread at a fixed rate, from /proc or by a walk inside the kernel, groups the samples by any
//! columns, and reports the average number of threads in each group. It attaches to nothing.
//!
//! ```text
//!             TaskSet: immutable, swapped whole        observations, counted per lane
//!  discovery ──── crossbeam-channel ────► sampler ──────────────────────► aggregator ──► report ──► output
//!  (1 thread)                             (rayon pool)                    (lock-sharded)  (pure)
//!   lists /proc and the kept                one read of a kept descriptor   ▲
//!   task/ directories                       per idle thread, or none:       │ the same rows, tick by tick
//!                                           a walk in the kernel;          replay
//!                                           more reads (`observe`) only     ▲
//!                                           for threads that pass the gate  │
//!                                             └── rows ──► recorder ──► recording
//! ```
//!
//! The coordinator, [`session`], runs on the caller's thread. It owns the clock and the stop flag, reads no file of a task, and
//! waits for other threads with a deadline only: a thread that reads /proc may block in the kernel for ever, and the run has to end
//! nevertheless.
//!
//! What flows through the program are [observations](row::observation), one thread at one tick each; their values are stored as
//! [rows](row::rows).
//!
//! # The rooms, from the top
//! A room imports only from rooms below it.
//! - [`app`]: the command as its user meets it: live runs, recordings, messages on standard error
//! - [`session`]: a live run: the [engine](session::engine) and the clock that drives it, warnings, where threads sleep if none was active
//! - [`config`]: the command line: options, which of them apply, the configuration made of them
//! - [`replay`]: reports on recordings by the same counting; `--per`, diff, export
//! - [`record`]: rows to files and back: recorder, header, text; CSV, SQLite, Parquet
//! - [`sample`]: one tick: the pass over the tasks, lanes, quarantine, watchdog, the kernel walk as a pass
//! - [`output`]: a report as text: table, CSV, JSON, folded
//! - [`observe`]: one active thread: what is read of it, the values made of that, the title at that moment
//! - [`report`]: counts to rows (pure), facts of a run
//! - [`count`]: folds, groups, texts and their memory limit: the lock-sharded aggregate
//! - [`tasks`]: which tasks there are: the set, discovery, descriptors, facts, users, the census
//! - [`kernel`]: the kernel walk: [`kernel::bpf`], parts (a file for each fact), layout, program, record, builder, waits
//! - [`symbol`]: addresses to names
//! - [`ask`]: what a user can ask for: columns, filters, selections, and the plan made of them
//! - [`proc`]: the only room that opens files under the proc root: files, accounts, rights, signals, call names, [`proc::parse`]
//! - [`row`]: observations, rows of their values, last values of counters
//! - [`text`]: bytes and numbers as text that is safe to show: escapes, messages, decimals
//! - [`time`]: clocks and the tick schedule, times as text, histograms of durations
//!
//! # As a library
//! The library offers a run as the command makes it: [`config::cli::Cli`] parses a command line, [`config::Config`] validates it,
//! [`session::run`] samples and returns a [`report::Report`], and [`output::render`] formats that. The other public items are for
//! psn's own tests and benchmarks, and may change at any time.
//!
//! ```no_run
//! use clap::Parser as _;
//! use psn::{config::Config, config::cli::Cli, session};
//!
//! let cli = Cli::parse_from(["psn", "-G", "syscall,wchan", "-d", "1"]);
//! let config = Config::new(&cli.sample)?;
//! let report = session::run(&config, &session::Stop::default(), &mut ())?;
//! println!("{} groups in {} ticks", report.rows.len(), report.facts.ticks.completed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Only [`app`] prints and changes the state of the process, except that a session raises the soft limit on open files.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap))]

pub mod app;
pub mod ask;
pub mod config;
pub mod count;
pub mod kernel;
pub mod observe;
pub mod output;
pub mod proc;
pub mod record;
pub mod replay;
pub mod report;
pub mod row;
pub mod sample;
pub mod session;
pub mod symbol;
pub mod tasks;
pub mod text;
pub mod time;
