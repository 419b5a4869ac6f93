//! psn

pub mod aggregate;
pub mod clock;
pub mod column;
pub mod config;
pub mod detail;
pub mod discover;
pub mod extract;
pub mod facts;
pub mod filter;
pub mod health;
pub mod histogram;
pub mod intern;
pub mod observation;
pub mod parse;
pub mod plan;
pub mod procfs;
pub mod report;
pub mod sampler;
pub mod select;
pub mod syscall;
pub mod task;
pub mod users;
