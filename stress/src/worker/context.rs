//! The context: data that every process of the storm needs. The leader sets it, and all processes inherit it by fork.

use std::sync::OnceLock;

use rustix::process::Pid;

use crate::board::Board;
use crate::kinds::Behaviours;
use crate::plan::Plan;
use crate::plan::names::Names;
use crate::plan::rates::ChurnRates;
use crate::sys::stacks::Stacks;

/// Data that every process of the storm needs.
pub(crate) struct Context {
    pub(crate) leader: Pid,
    pub(crate) names: Names,
    pub(crate) churn: ChurnRates,
    pub(crate) plan: Plan,
    pub(crate) board: Board,
    pub(crate) behaviours: Behaviours,
    /// The stacks of this process, mapped by its main thread before it starts any other.
    pub(crate) stacks: OnceLock<Stacks>,
}

static CURRENT: OnceLock<Context> = OnceLock::new();

/// Sets the context of this process; `None` if it is set already.
pub(crate) fn set(context: Context) -> Option<&'static Context> {
    CURRENT.set(context).ok()?;
    CURRENT.get()
}

/// The context of this process, once it is set.
pub(crate) fn current() -> Option<&'static Context> {
    CURRENT.get()
}
