//! What can be asked for: columns, filters, selections, and the plan that is made of them.

pub mod column;
pub mod filter;
pub mod idle;
pub mod list;
pub mod measured;
pub mod plan;
pub mod select;
