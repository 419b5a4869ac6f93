//! What a user can ask for: columns, filters, selections, and the plan made of them.

pub mod column;
pub mod filter;
pub mod kernel_times;
pub(crate) mod list;
mod pattern;
pub mod plan;
pub mod registry;
pub mod select;
