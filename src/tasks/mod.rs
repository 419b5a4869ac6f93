//! Which tasks there are: processes, their threads, and what is kept with each between ticks.
//!
//! A [`TaskSet`] is immutable and replaced as a whole. What a worker keeps with a thread (open files, slow facts, last counter
//! values) belongs to its [`Task`], which lives until the last set that lists the thread is dropped. So a file is never closed
//! while a worker reads it.

pub mod census;
mod chosen;
mod desk;
pub mod discover;
pub mod discoverer;
pub mod facts;
pub mod fds;
mod links;
mod listing;
pub mod lookups;
mod memory;
mod reads;
mod requests;
mod schedule;
mod set;
mod task;
pub mod users;

pub use links::{CallOfWait, KeptLink, LinkBudget};
pub use memory::{DetailFiles, TaskFacts, TaskMemory};
pub use set::{Process, Span, TaskSet};
pub use task::{Permit, Task};
