//! psn: what every thread of a very large Linux host is doing, and what it waits for.
//!
//! psn samples thread states from /proc, or by a walk inside the kernel, at a fixed rate, groups the samples by any columns,
//! and reports how many threads on average were in each group. It attaches to nothing.
//!
//! ```text
//!             TaskSet: immutable, swapped whole           observations, counted per worker
//!  discover ───── crossbeam-channel ──────► sampler ─────────────────────────► aggregate ──► report ──► output
//!  (1 thread)                              (rayon pool)                       (lock-sharded)  (pure)
//!   getdents on /proc and on kept            one pread on a kept fd             ▲
//!   task/ directories                        per idle thread, or none:          │ the same rows, tick by tick
//!                                            a walk in the kernel;             replay
//!                                            more (`observe`) only behind      ▲
//!                                            the state gate                     │
//!                                               └── rows ──► record ──► file ───┘
//! ```
//!
//! The coordinator, [`session`], is the caller's thread. It owns the [clock](time::clock) and the stop flag,
//! never reads a file of any task, and waits for every other thread with a deadline: a reader can be
//! stuck in the kernel for ever, and the run must end all the same.
//!
//! One noun goes through it: an [observation](row::observation), one thread at one instant; many of them are [rows](row::rows).
//!
//! # The rooms, from the door inward
//! - [`app`]: the command as its user meets it: a live run, recordings, what is told on standard error
//! - [`session`]: a live run: clock, coordination, warnings, where threads sleep if none was active
//! - [`config`]: arguments made sense of; which option has a say in what
//! - [`replay`]: recordings through the same counting: questions of later, `--per`, diff, export
//! - [`record`]: rows to files and back: recorder, header, text; CSV, SQLite, Parquet
//! - [`sample`]: one tick: the pass over the tasks, lanes, quarantine, the kernel's walk as a pass
//! - [`output`]: a report becomes text: table, CSV, JSON, folded
//! - [`observe`]: one active thread: what is read of it, what values are made of that, titles of their own moment
//! - [`report`]: counts to rows (pure), facts of a run
//! - [`count`]: folds, groups, texts and the memory they may take: the lock-sharded aggregate
//! - [`tasks`]: which tasks there are: the set, discovery, descriptors, slow facts, users, the census
//! - [`kernel`]: the walk: [`kernel::bpf`], parts (a file for each fact), layout, program, record, recipe, waits
//! - [`symbol`]: addresses to names
//! - [`ask`]: what can be asked for: columns, filters, selections, the plan, what the kernel does not measure
//! - [`proc`]: the only place that opens anything under the proc root: files, accounts, rights, signals, call names, [`proc::parse`]
//! - [`row`]: the noun: an observation, and many of them
//! - [`text`]: bytes and numbers to text that is safe to show: the escaper, sentences, decimals
//! - [`time`]: clock, moment, histogram
//!
//! # As a library
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
//! Nothing but [`app`] prints or touches the process's own state, save that a session raises the
//! soft limit on open files.
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
