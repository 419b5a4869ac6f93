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
//!                                            a walk in the kernel (`scan`);    replay
//!                                            more (`detail`) only behind       ▲
//!                                            the state gate                     │
//!                                               └── rows ──► record ──► file ───┘
//! ```
//!
//! The coordinator, [`session`], is the caller's thread. It owns the [`clock`] and the stop flag,
//! never reads a file of any task, and waits for every other thread with a deadline: a reader can be
//! stuck in the kernel for ever, and the run must end all the same.
//!
//! One noun goes through it: an [`observation`], one thread at one instant; many of them are [`rows`].
//!
//! # The modules, in the order of the flow
//! - asked for: [`cli`] (names and help), [`options`] (which has a say in what), [`config`] (arguments made sense of), [`mod@column`] (what can
//!   be asked for), [`filter`], [`select`], [`plan`] (what to read and count)
//! - read: [`procfs`] (the only place that opens anything under the proc root), [`task`] (what there
//!   is to read, and what is kept with it), [`discover`] (keeps that current), [`fds`] (which
//!   files stay open), [`facts`] (what may
//!   block, read beside the sampling), [`users`], [`visibility`] (what is not shown), [`rights`]
//!   (what psn may beyond its user), [`measured`] (of what the kernel keeps no measure), [`cpus`]
//! - understood: [`parse`] (pure: bytes to fields), [`syscall`] (numbers to names), [`extract`]
//!   (fields to column values)
//! - sampled: [`sampler`] (one pass over the tasks), [`scan`] (the kernel's own walk in its place, where psn may
//!   have it), [`detail`] (one active thread)
//! - counted: [`intern`], [`aggregate`] within [`memory`] that is bounded, [`distinct`] (how many there was no room for), [`health`]
//!   (every read accounted for), [`histogram`], [`lookup`]
//! - told: [`sleepers`] (where threads sleep, if none was active), [`report`] (counts to rows, pure), [`output`] (rows to bytes), [`mod@list`]
//! - kept: [`record`] (rows to files, by a writer thread, and back), [`replay`] (files through the same counting),
//!   [`slices`] (`--per`), [`diff`], [`export`], [`moment`] (times as people type them)
//! - [`app`]: the command as its user meets it; [`signals`]
//!
//! # As a library
//! ```no_run
//! use clap::Parser as _;
//! use psn::{cli::Cli, config::Config, session};
//!
//! let cli = Cli::parse_from(["psn", "-G", "syscall,wchan", "-d", "1"]);
//! let config = Config::new(&cli.sample)?;
//! let report = session::run(&config, &session::Stop::default(), &mut ())?;
//! println!("{} groups in {} ticks", report.rows.len(), report.ticks.completed);
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
pub mod time;
