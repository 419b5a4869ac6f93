//! Synthetic thread storms with a known ground truth.
//!
//! ```text
//! cli → mix → plan ──fork──► worker ──threads──► kinds (vfork, churn)
//!               │              └── arrivals on the shared board ──┐
//!             leader ── watch, children ◄── audit (/proc) ◄───────┘
//!               └── report → truth: one line of JSON when all is in place, one at the end
//! ```
//!
//! The **leader** is the process that was started. It has one thread, forks every **worker** process of
//! the plan, waits until all threads are on the **board**, looks each of them up in `/proc`, and prints
//! the **truth**. Then it sleeps until something ends the storm: a signal, the end of its parent, or
//! the time. Each worker is tied to the leader by the kernel (`PR_SET_PDEATHSIG`) and dies with it.
//!
//! [`compare`] is the other program of this package, `psn-compare`: psn measured on storms, beside the bare
//! reads it is made of and beside its peers.
//!
//! Tests use [`Storm`], which runs the program `psn-storm` as a child process and reads its truth.

mod board;
mod chart;
mod compare;
mod hang;
pub mod host;
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
