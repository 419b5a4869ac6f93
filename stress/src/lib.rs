//! Synthetic thread storms with a known ground truth, and what is built on them.
//!
//! ```text
//!  psn-storm:  leader ──fork──► worker ──threads──► kinds        psn-compare: compare ──► chart
//!                │               └── churn            │          psn-soak:    soak
//!                │                                    │                         │
//!                │◄────────────── board ◄─────────────┘                         ▼
//!                └── audit (/proc) ──► truth: one line of JSON ─────────────► storm (a child process)
//! ```
//!
//! The leader forks every worker of the plan, waits until all threads are on the board, looks each of them
//! up in `/proc`, and prints the truth. Then it sleeps until something ends the storm: a signal, the end of
//! its parent, or the time. The kernel ties each worker to the leader (`PR_SET_PDEATHSIG`) and kills it when
//! the leader ends.
//!
//! # Words
//! - **storm**: all threads that one run of `psn-storm` starts.
//! - **kind**: what a thread of the storm does, and so the state it is found in: `futex`, `spin`, `vfork` …
//! - **mix**: how many threads of which kind (`--mix`).
//! - **plan**: the mix dealt to processes; each thread has a **slot**, its number in the plan.
//! - **leader**: the process that was started as `psn-storm`. It has one thread and no kind.
//! - **worker**: a process of the plan. Its threads are of the mix.
//! - **behaviour**: the code of a kind, with the kernel objects that its threads sleep on.
//! - **board**: the memory that leader and workers share: who has **arrived**, what failed, the **gate** that
//!   busy threads wait at until the storm is complete.
//! - **churn**: short-lived threads, forks and programs; a **churner** is a thread that starts them.
//! - **truth**: the line that says what is there; the **ending**: the line that says how it went.
//! - **contender**: what a step of a comparison runs: psn, a **floor** (a bare loop of the same reads), a
//!   **peer** (another program).
//!
//! # The rooms, from the top: each imports only from those below it
//! - `soak`: `psn-soak`, psn in churn for as long as asked
//! - `compare`: `psn-compare`, psn on storms beside bare loops and peers
//! - `chart`: lines and axes to SVG
//! - `hang`: processes that block whoever reads their files in `/proc`
//! - `storm`: a storm as a test holds it, in a child process
//! - `leader`: `psn-storm`, builds a storm, checks it, tells the truth about it, ends it
//! - `truth`: the lines that the leader prints and tests read
//! - `worker`: one process of the storm, and the churners
//! - `kinds`: what the threads of each kind do, a file for each
//! - `board`: the memory that all processes of a storm share
//! - `plan`: what there is to be: kinds, mix, names, rates of churn, and which thread is in which process
//! - `host`: what the host is, how busy it is, and what bounds the threads on it
//! - `sys`: system calls that neither std nor rustix offers in a safe form
//!
//! # Adding a kind
//! 1. A row in `plan/kind.rs`: its name, the state its threads settle in, its line of `--help`.
//! 2. A file in `kinds/` that implements `Behaviour`: opens what the threads sleep on, in the leader and
//!    before any fork, and sleeps; and the file's line in `kinds/mod.rs`, which the compiler asks for.
//!
//! Names, arrival, the mix, the check that threads settle, and the truth follow from these. A thread whose
//! system call no other kind is in also needs the call's name in `leader/audit.rs`; without it the truth tells
//! the number alone. A kind that gets a process for itself (like `stopped`) or a second slot (like `vfork`) is
//! dealt in `plan/mod.rs`.
//!
//! Threads that wait for one another (for the holder of a lock, for a peer's answer) meet in what their behaviour
//! opens: all processes inherit it, and `sys::memory` maps words that they share. A kind that calls deeply
//! needs larger stacks: `sys::stacks` makes all of one size. What a test must know beyond a state (who holds a
//! lock, how long a wait is) goes from the thread to the board, and from there into a field of the truth.
//!
//! # As a library
//! Tests use [`Storm`], which runs the program `psn-storm` as a child process and reads its [`Truth`], and
//! [`Hang`]. The other functions are the programs.

mod board;
mod chart;
mod compare;
mod hang;
mod host;
mod kinds;
mod leader;
mod plan;
mod soak;
pub mod storm;
mod sys;
pub mod truth;
mod worker;

pub use compare::main as compare_main;
pub use hang::Hang;
pub use hang::roles::hang_if_told;
pub use host::limits::Limit;
pub use leader::main as storm_main;
pub use plan::kind::Kind;
pub use soak::main as soak_main;
pub use storm::Storm;
pub use truth::{Ending, TaskGroup, Truth};
pub use worker::churn::execs::live_if_told;

/// Names of threads.
pub mod names {
    pub use crate::plan::names::HOSTILE;
}
